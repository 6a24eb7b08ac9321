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

"""The test machines of a session, and what each test says in one."""

from __future__ import annotations

import os
import queue
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from ipa_partitions.disk.size import exact_bytes
from tests import loops
from tests.vm import machine

ROOT = Path(__file__).parents[2]

MACHINES = 2
# Those that break down are replaced, up to this number.
BOOTS = 10
UP_TIMEOUT_S = 900
# Of the folder of a test: the state of the TPM of its machine.
TPM = "tpm"
# What a machine may take longer than its test: disks, killing, clearing.
GRACE_S = 240

Then = Callable[[list[Path], dict[str, Any]], None]


@dataclass(frozen=True)
class Wanted:
    """What the mark of a test asks for."""

    sizes_bytes: tuple[int, ...]
    sector_bytes: int = 512
    timeout_s: float = 900
    then: Then | None = None

    @classmethod
    def by(cls, item: pytest.Item) -> Self | None:
        """Return what the test asks for; None if it does not run there."""
        mark = item.get_closest_marker("disks")
        if mark is None:
            return None
        sizes_bytes = tuple(exact_bytes(size) for size in mark.args)
        return cls(sizes_bytes, **mark.kwargs)


@dataclass(frozen=True)
class Outcome:
    """What a test said in its machine, and the folder of its disks."""

    reports: list[dict[str, Any]]
    folder: Path

    @property
    def disks(self) -> list[Path]:
        """The files of the disks."""
        return sorted(self.folder.glob("disk*"))

    @property
    def properties(self) -> dict[str, Any]:
        """What the test recorded."""
        # The report of the last phase has them all.
        return dict(self.reports[-1]["user_properties"])


class StuckError(Exception):
    """The machine could not be cleared after the test before."""


class Machines:
    """Some machines, each with a thread that gives it test after test."""

    def __init__(self, items: list[pytest.Item]) -> None:
        self._tests: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._wanted: dict[str, Wanted] = {}
        self._outcomes: dict[str, Future[Outcome]] = {}
        for item in items:
            if wanted := Wanted.by(item):
                self._wanted[item.nodeid] = wanted
                self._outcomes[item.nodeid] = Future()
                self._tests.put(item.nodeid)
        self._closing = False
        self._boots_left = BOOTS
        self._running: set[machine.Machine] = set()
        machine.accelerator()  # not in every thread
        self._folder = Path(tempfile.mkdtemp(prefix="ipa-partitions-disks-"))
        self._threads = [
            threading.Thread(target=self._work)
            for _ in range(min(MACHINES, len(self._wanted)))
        ]
        for thread in self._threads:
            thread.start()

    def outcome(self, test: str) -> Outcome:
        """Wait for a test; raise MachineError if its machine broke down."""
        return self._outcomes[test].result()

    def close(self) -> None:
        """End the machines, whatever they are at."""
        self._closing = True
        for each in tuple(self._running):
            each.kill()
        for thread in self._threads:
            thread.join()
        shutil.rmtree(self._folder)

    def _work(self) -> None:
        test = self._next()
        while test:
            test = self._run_many(test)

    def _run_many(self, test: str | None) -> str | None:
        """Run tests in one machine; return the one that is to go on with."""
        try:
            with self._machine() as its:
                while test:
                    self._run(its, test)
                    test = self._next()
        except StuckError:
            return test
        except Exception as error:  # whatever it is, this test has failed
            if test:
                self._outcomes[test].set_exception(error)
        return self._next()

    def _next(self) -> str | None:
        try:
            return None if self._closing else self._tests.get_nowait()
        except queue.Empty:
            return None

    @contextmanager
    def _machine(self) -> Iterator[machine.Machine]:
        files = sorted({test.partition("::")[0] for test in self._wanted})
        argv = [
            sys.executable, "-m", "pytest", "-p", "tests.vm.guest",
            "-p", "no:cacheprovider", *files,
        ]  # fmt: skip
        if not self._boots_left:
            raise machine.MachineError("no more machines: too many broke down")
        self._boots_left -= 1
        with machine.running(argv, ROOT, environment()) as started:
            self._running.add(started)
            try:
                if self._closing:
                    raise machine.MachineError("not needed any more")
                started.receive(UP_TIMEOUT_S)
                yield started
            finally:
                self._running.remove(started)

    def _run(self, its: machine.Machine, test: str) -> None:
        wanted = self._wanted[test]
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        disks = blank_disks(folder, wanted.sizes_bytes)
        its.send({})
        if stuck := its.receive(GRACE_S)["stuck"]:
            raise StuckError(stuck)
        with its.disks(disks, wanted.sector_bytes):
            its.send({
                "test": test,
                "serials": [disk.serial for disk in disks],
                "timeout_s": wanted.timeout_s,
            })  # fmt: skip
            answer = its.receive(wanted.timeout_s + GRACE_S)
        if wanted.then:
            shutil.copytree(its.tpm_state, folder / TPM)
        self._outcomes[test].set_result(Outcome(answer["reports"], folder))


def blank_disks(
    folder: Path, sizes_bytes: Iterable[int]
) -> list[machine.Disk]:
    """Make the files of blank disks."""
    return [
        machine.Disk(
            f"{folder.name}-{number}",
            loops.blank_image(folder / f"disk{number}", size),
        )
        for number, size in enumerate(sizes_bytes)
    ]


def environment() -> dict[str, str]:
    """Return the variables for the programs of a machine."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("IPA_PARTITIONS_", "PYTHON"))
    }
    return ours | {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
        "PYTEST_DEBUG_TEMPROOT": "/tmp",  # not the test's TMPDIR
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TERM": "dumb",
    }
