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

import time
from collections.abc import Iterable, Iterator
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
MDSTAT = Path("/proc/mdstat")


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


def running() -> list[str]:
    """Return the devices that have something in them."""
    shown = output("lsblk", "--list", "--noheadings", "--output", "NAME,SIZE")
    return [line for line in shown.splitlines() if line.split()[1:] != ["0B"]]


@contextmanager
def nothing_written(resolved: ResolvedLayout) -> Iterator[None]:
    """See that nothing is written, started or stopped by the block."""
    before, up_before = digests(resolved), running()
    yield
    assert digests(resolved) == before
    assert running() == up_before


def assert_told(found: Iterable[str], told: Iterable[str]) -> None:
    assert {*found} - {*told} == set()
    assert {*told} - {*found} == set()


@contextmanager
def quiet(resolved: ResolvedLayout) -> Iterator[None]:
    """Have all up, and wait until nothing is written any more."""
    with up(resolved):
        until = time.monotonic() + SYNC_TIMEOUT_S
        while _syncing() or _percents() - {"", "100.00"}:
            assert time.monotonic() < until, MDSTAT.read_text()
            time.sleep(0.5)
        yield


def _syncing() -> bool:
    # What is PENDING waits for the first write, and so for ever.
    return any(word in MDSTAT.read_text() for word in (" = ", "DELAYED"))


def _percents() -> set[str]:
    shown = output(
        "lvs", "--noheadings", "--options", "sync_percent", "vg0/copies"
    )
    return {line.strip() for line in shown.splitlines()}


@pytest.mark.disks(*everything.SIZES)
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
    first, second, third = (
        changed(document, names, disks) for names in TOGETHER
    )
    with nothing_written(resolved):
        with pytest.raises(DifferencesError) as raised:
            deploy(request(first[0]))
        assert_told(raised.value.differences, first[1])
        assert_told(verify(request(second[0])), second[1])
        assert verify(request(third[0])) == ()
    with quiet(resolved), nothing_written(resolved):
        assert_told(verify(request(first[0])), first[1])
        assert_told(verify(request(second[0])), second[1])
        assert verify(request(third[0])) == ()
