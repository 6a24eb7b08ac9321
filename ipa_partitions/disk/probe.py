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

"""Look at this machine's disks and firmware; nothing here writes."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oslo_serialization import jsonutils

from ipa_partitions.disk.machine import Disk, Machine
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

_COLUMNS = (
    "KNAME,PATH,TYPE,SIZE,LOG-SEC,ROTA,RO,MODEL,VENDOR,SERIAL,WWN,HCTL,TRAN"
)
_TYPES = ("disk", "loop")
# Disks of memory: lsblk shows them as disks, nobody deploys onto one.
_MEMORY = ("ram", "zram")

NODE_TIMEOUT_S = 30
BUSY_TIMEOUT_S = 2


def probe() -> Machine:
    """Return the disks that are there, and how the machine was booted."""
    shown = run("lsblk", "--json", "--bytes", "--nodeps", "-o", _COLUMNS)
    links = _links()
    disks = tuple(
        _disk(row, links)
        for row in jsonutils.loads(shown)["blockdevices"]
        if row["type"] in _TYPES
        and row["size"]
        and not row["kname"].startswith(_MEMORY)
    )
    is_uefi = Path("/sys/firmware/efi").is_dir()
    return Machine(disks, "uefi" if is_uefi else "bios")


def filesystem_devices() -> tuple[str, ...]:
    """Return every block device that may hold a filesystem."""
    shown = run("lsblk", "--json", "--bytes", "--list", "-o", _COLUMNS)
    return tuple(
        row["path"]
        for row in jsonutils.loads(shown)["blockdevices"]
        if row["size"]
        and row["type"] != "rom"
        and not row["kname"].startswith(_MEMORY)
    )


def _disk(row: dict[str, Any], links: dict[str, list[str]]) -> Disk:
    return Disk(
        device=row["path"],
        size_bytes=int(row["size"]),
        sector_bytes=int(row["log-sec"]),
        links=tuple(links.get(row["kname"], ())),
        hctl=row["hctl"],
        model=_stripped(row["model"]),
        vendor=_stripped(row["vendor"]),
        serial=_stripped(row["serial"]),
        wwn=row["wwn"],
        transport=row["tran"],
        rotational=row["rota"],
        read_only=row["ro"],
        is_loop=row["type"] == "loop",
        in_use=tuple(_uses(row["kname"])),
    )


def _stripped(text: str | None) -> str | None:
    return text.strip() if text else None


def _links() -> dict[str, list[str]]:
    """Return udev's links to every device, by its kernel name."""
    links: dict[str, list[str]] = {}
    for link in sorted(Path("/dev/disk").glob("*/*")):
        if link.is_symlink():
            links.setdefault(link.resolve().name, []).append(str(link))
    return links


def _uses(name: str) -> Iterator[str]:
    """Yield what holds the disk ``name`` or one of its partitions."""
    disk = Path("/sys/class/block") / name
    parts = [disk, *(child.parent for child in disk.glob("*/partition"))]
    mounts = _mounts()
    swaps = Path("/proc/swaps").read_text()
    for part in parts:
        device = f"/dev/{part.name.replace('!', '/')}"
        number = (part / "dev").read_text().strip()
        for where in mounts.get(number, ()):
            yield f"{device} is mounted on {where}"
        if f"{device} " in swaps:
            yield f"{device} is used as swap"
        for holder in (part / "holders").glob("*"):
            yield f"{device} is held by {holder.name}"


def _mounts() -> dict[str, list[str]]:
    """Return the mount points of every device, by its number."""
    mounts: dict[str, list[str]] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        mounts.setdefault(words[2], []).append(words[4])
    return mounts


def busy(device: str) -> bool:
    """Tell whether something holds ``device``, seen from here or not.

    The kernel grants exclusive use of a disk only while neither it nor a
    partition of it is mounted, or a member of anything, in any namespace.
    """
    try:
        os.close(open_exclusively(device, os.O_RDONLY))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise CommandError(f"{device}: {error.strerror}") from error
    return False


def open_exclusively(device: str, flags: int) -> int:
    """Open ``device`` for ourselves alone, and return the file descriptor.

    Raises OSError, EBUSY only if it stays in use: what another namespace
    had mounted is let go a moment after that ended.
    """
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return os.open(device, flags | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > end:
                raise
        time.sleep(0.02)


def wait_for_device(device: str, size_bytes: int | None) -> None:
    """Return once the node ``device`` is there and of ``size_bytes``.

    With None it may be of any size.

    Raises CommandError after NODE_TIMEOUT_S. The node is looked for, since
    ``udevadm settle`` succeeds at once where no udevd runs.
    """
    end = time.monotonic() + NODE_TIMEOUT_S
    found = -1
    while time.monotonic() < end:
        found = _size_bytes(device)
        if found == size_bytes or (size_bytes is None and found >= 0):
            return
        time.sleep(0.01)
    raise CommandError(
        f"{device}: has {found} bytes, not {size_bytes}"
        if found >= 0
        else f"{device}: did not appear within {NODE_TIMEOUT_S} s"
    )


def _size_bytes(device: str) -> int:
    """Return the size of ``device``, -1 if it is not there."""
    try:
        node = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    try:
        return os.lseek(node, 0, os.SEEK_END)
    finally:
        os.close(node)
