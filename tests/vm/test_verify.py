#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""Policy verify on disks with everything: all is told, nothing written."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipa_partitions.deploy import Request, deploy, make_plan, verify
from ipa_partitions.errors import DifferencesError
from ipa_partitions.resolved import ResolvedLayout
from tests import everything
from tests.deployed import output, up
from tests.differences import TOGETHER, changed
from tests.digest import digest

SEED = "00000000-0000-4000-8000-000000000001"
SYNC_TIMEOUT_S = 120


def request(document: everything.Document) -> Request:
    return Request(document, firmware="bios", seed=SEED)


def digests(resolved: ResolvedLayout) -> list[str]:
    """Return those of the disks, without what a running cache remembers."""
    caches = [cache for each in resolved.bcaches for cache in each.spec.caches]
    found = []
    for disk in resolved.disks:
        own = [p for p in disk.partitions if p.volume.home in caches]
        start, size = (
            (own[0].start_bytes, own[0].size_bytes) if own else (0, 0)
        )
        found.append(digest(disk.device, range(start, start + size)))
    return found


def shown_devices() -> str:
    return output("lsblk", "--list", "--noheadings", "--output", "NAME,TYPE")


def assert_told(
    document: everything.Document,
    devices: Sequence[str],
    resolved: ResolvedLayout,
) -> None:
    """Compare what is told of each case, and see that nothing is written."""
    before, shown = digests(resolved), shown_devices()
    for names in TOGETHER:
        case, told = changed(document, names, devices)
        found = verify(request(case))
        assert {*found} - {*told} == set()
        assert {*told} - {*found} == set()
    case, told = changed(document, TOGETHER[0], devices)
    with pytest.raises(DifferencesError) as raised:
        deploy(request(case))
    assert sorted(raised.value.differences) == sorted(told)
    assert digests(resolved) == before
    assert shown_devices() == shown


@contextmanager
def quiet(resolved: ResolvedLayout) -> Iterator[None]:
    """Have all up, and wait until nothing is written any more."""
    with up(resolved):
        for each in resolved.arrays:
            # It fails where there is nothing to wait for.
            subprocess.run(["mdadm", "--wait", each.spec.device], check=False)
        until = time.monotonic() + SYNC_TIMEOUT_S
        while _percents() - {"", "100.00"}:
            assert time.monotonic() < until
            time.sleep(0.5)
        yield


def _percents() -> set[str]:
    shown = output(
        "lvs", "--noheadings", "--options", "sync_percent", "vg0/copies"
    )
    return {line.strip() for line in shown.splitlines()}


@pytest.mark.disks(*everything.SIZES, timeout_s=900)
def test_all_differences_are_told_and_nothing_is_written(
    disks: tuple[str, ...], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    for file, text in ((key, "a key"), (tmp_path / "key.other", "another")):
        file.write_text(text)
        file.chmod(0o600)
    names = [device.removeprefix("/dev/") for device in disks]
    document = everything.document(names, str(key))
    resolved = make_plan(request(document)).resolved
    deploy(request(document))
    assert_told(document, disks, resolved)
    with quiet(resolved):
        assert_told(document, disks, resolved)
