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

"""Tests in a test machine: what takes md, LVM, LUKS, bcache, vfat or a TPM.

A test that is marked with disks runs in the machine, with these disks, blank::

    @pytest.mark.disks("1 GiB", "1 GiB")
    def test_a_mirror_is_made(disks):
        one, two = disks  # /dev/sda, /dev/sdb

It is an ordinary test of pytest: rows, fixtures and ``tmp_path`` are as
everywhere. Sizes are written as in a document. More words of the mark (that of
a row, a test or, ``pytestmark``, a module: the nearest counts):

``sector_bytes=4096``
    of the disks; 512 if nothing is said.
``timeout_s=1800``
    is the time it may take, before it is killed; 900 if nothing is said.
``then=function``
    is called afterwards, on this side, with the files of the disks (a list
    of paths) and what the test has given to ``record_property`` (a dict; its
    ``tpm`` is the folder of the machine's TPM): to boot them.

Machines are booted at the first such test, for all that are selected. Each
test runs in a process of its own, in a machine where everything is imported.
When it ends, its arrays, groups and mappings are stopped and its disks taken
away; what it leaves mounted, attached or in $TMPDIR makes it fail.

``python -m tests.vm.rig SCRIPT [SIZE ...]`` runs a shell script in a machine
that has disks of these sizes, which are its arguments: for trying things.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions.disk.size import exact_bytes
from tests.vm import machine
from tests.vm.guest import LINKS, failed
from tests.vm.machines import (
    ROOT,
    TPM,
    Machines,
    Outcome,
    Then,
    Wanted,
    blank_disks,
    environment,
)

MARK = (
    "disks(*sizes, sector_bytes=512, timeout_s=900, then=None):"
    " runs in a test machine, see tests/vm/rig.py"
)

_MACHINES = pytest.StashKey[Machines]()


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest about the mark."""
    config.addinivalue_line("markers", MARK)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Let a marked test run in a machine, and report what it says there."""
    wanted = Wanted.by(item)
    if wanted is None:
        return None
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item, wanted):
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _reports(item: pytest.Item, wanted: Wanted) -> list[Any]:
    try:
        outcome = _machines(item).outcome(item.nodeid)
    except machine.MachineError as error:
        return [failed(item, str(error))]
    except Exception:  # of the rig, not of the test
        return [failed(item, traceback.format_exc())]
    reports = [
        item.config.hook.pytest_report_from_serializable(
            config=item.config, data=data
        )
        for data in outcome.reports
    ]
    if wanted.then and all(report.passed for report in reports):
        reports.append(_then(item, wanted.then, outcome))
    shutil.rmtree(outcome.folder)
    return reports


def _machines(item: pytest.Item) -> Machines:
    stash = item.session.stash
    if _MACHINES not in stash:
        stash[_MACHINES] = Machines(item.session.items)
        item.config.add_cleanup(stash[_MACHINES].close)
    return stash[_MACHINES]


def _then(item: pytest.Item, then: Then, outcome: Outcome) -> Any:
    """Do the part of a test that follows on this side."""
    told = outcome.properties | {TPM: outcome.folder / TPM}
    capture: Any = item.config.pluginmanager.getplugin("capturemanager")
    with capture.item_capture("then", item):
        call = pytest.CallInfo.from_call(
            lambda: then(outcome.disks, told), "call"
        )
    return pytest.TestReport.from_item_and_call(item, call)


def main(script: str, *sizes: str) -> None:
    """Run a shell script in a machine, on its console."""
    with tempfile.TemporaryDirectory() as scratch:
        disks = blank_disks(Path(scratch), [exact_bytes(s) for s in sizes])
        argv = ["bash", str(Path(script).resolve())]
        argv += [f"{LINKS}/scsi-0QEMU_QEMU_HARDDISK_{d.serial}" for d in disks]
        with machine.running(argv, ROOT, environment()) as its:
            for number, disk in enumerate(disks):
                its.add(number, disk)
            its.follow(lambda line: print(line, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
