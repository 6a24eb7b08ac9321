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

"""What a test leaves in the test machine, and its clearing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

BLOCK = Path("/sys/block")
SETS = Path("/sys/fs/bcache")
TIMEOUT_S = 60

# What LVM remembers of groups that are no more.
FORGOTTEN = ("/etc/lvm/archive", "/etc/lvm/backup", "/etc/lvm/devices")


@dataclass(frozen=True)
class Before:
    """The machine as it was before the first test."""

    mounts: tuple[str, ...]
    devices: frozenset[str]
    processes: frozenset[int]

    @classmethod
    def now(cls) -> Self:
        """Return the machine as it is now."""
        return cls(
            tuple(_mounts()), frozenset(_devices()), frozenset(_processes())
        )

    def left(self) -> list[str]:
        """Tell what no test may leave: arrays and the like are no such."""
        return [
            *(f"left mounted: {where}" for where in self._mounts()),
            *(f"left swapping: {device}" for device in _swaps()),
            *(f"left attached: {name}" for name in self._of("loop")),
        ]

    def cleared(self, but_disks: bool) -> list[str]:
        """Clear away what is left; tell what could not be.

        Disks are taken away from outside: wait for them, or leave them out.
        """
        until = time.monotonic() + TIMEOUT_S
        while left := [*self._left_at_all(), *([] if but_disks else _disks())]:
            if time.monotonic() > until:
                return left
            self._clear()
            time.sleep(0.05)
        for folder in FORGOTTEN:
            shutil.rmtree(folder, ignore_errors=True)
        return []

    def _left_at_all(self) -> list[str]:
        return [
            *self.left(),
            *(f"process {pid}" for pid in _processes() - self.processes),
            *self._of("dm-", "md", "bcache"),
            *(f"cache set {folder.name}" for folder in SETS.glob("*-*")),
        ]

    def _clear(self) -> None:
        for pid in _processes() - self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for device in _swaps():
            _try("swapoff", device)
        for where in self._mounts():
            _try("umount", where)
        for name in self._of("loop", "dm-", "md", "bcache"):
            # What was stopped before may go just now.
            with contextlib.suppress(OSError):
                if not any((BLOCK / name).glob("**/holders/*")):
                    _stop(name)
        for folder in SETS.glob("*-*"):
            _write(folder / "stop")

    def _mounts(self) -> list[str]:
        """Return what was mounted since, the last first."""
        return [w for w in reversed(_mounts()) if w not in self.mounts]

    def _of(self, *kinds: str) -> list[str]:
        return sorted(
            name
            for name in _devices() - self.devices
            if name.startswith(kinds)
        )


def _disks() -> list[str]:
    """Return the addresses of disks, of those too that are just going."""
    return [path.name for path in Path("/sys/bus/scsi/devices").glob("*:*:*")]


def _stop(name: str) -> None:
    device = f"/dev/{name}"
    if name.startswith("loop"):
        _try("losetup", "--detach", device)
    elif name.startswith("md"):
        _try("mdadm", "--stop", device)
    elif name.startswith("bcache"):
        _write(BLOCK / name / "bcache/stop")
    else:
        mapping = (BLOCK / name / "dm/name").read_text().strip()
        _try("dmsetup", "remove", "--force", mapping)


def _mounts() -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [
        line.split(" ")[1].encode().decode("unicode_escape") for line in lines
    ]


def _swaps() -> list[str]:
    lines = Path("/proc/swaps").read_text().splitlines()
    return [line.split()[0] for line in lines[1:]]


def _devices() -> set[str]:
    """Return the devices that have something in them."""
    return {path.name for path in BLOCK.iterdir() if _is_there(path)}


def _is_there(path: Path) -> bool:
    # An array that is stopped, or never started, may have a device as well.
    if path.name.startswith("md"):
        return _text(path / "md/array_state") not in ("", "clear")
    return _text(path / "size") not in ("", "0")


def _processes() -> set[int]:
    return set(_found_processes())


def _found_processes() -> Iterator[int]:
    """Yield the processes that are programs, but not udev's workers."""
    for folder in Path("/proc").glob("[0-9]*"):
        command = _text(folder / "cmdline")
        if command and "systemd-udevd" not in command:
            yield int(folder.name)


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _write(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.write_text("1")


def _try(*argv: str) -> None:
    """Run a program that may fail, and is then tried again."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            argv, check=False, capture_output=True, timeout=TIMEOUT_S
        )
