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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from oslo_serialization import jsonutils

from ipa_partitions.disk.machine import Disk, Machine
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

_COLUMNS = (
    "NAME,KNAME,PATH,TYPE,SIZE,LOG-SEC,ROTA,RO,"
    "MODEL,VENDOR,SERIAL,WWN,HCTL,TRAN"
)
_TYPES = ("disk", "loop", "mpath")
# Disks of memory: lsblk shows them as disks, nobody deploys onto one.
_MEMORY = ("ram", "zram")

NODE_TIMEOUT_S = 30
# How long what looks at a device for a moment may take on a busy machine.
BUSY_TIMEOUT_S = 10
_GLANCE_S = 2


def probe() -> Machine:
    """Return the disks that are there, and how the machine was booted."""
    is_uefi = Path("/sys/firmware/efi").is_dir()
    disks = parse_disks(read_lsblk(), read_links())
    return Machine(disks, "uefi" if is_uefi else "bios")


def filesystem_devices() -> tuple[str, ...]:
    """Return every block device that may hold a filesystem."""
    found = (
        row["path"]
        for row in _all(read_lsblk())
        if row["size"] and row["type"] != "rom" and not _is_memory(row)
    )
    return tuple(dict.fromkeys(found))


def parse_disks(
    shown: Iterable[Mapping[str, Any]], links: Mapping[str, str]
) -> tuple[Disk, ...]:
    """Return the disks that lsblk has ``shown``, as a tree.

    ``links`` says to which node each link of udev leads. Several paths to
    one disk are one disk, known by every link and node of them.
    """
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in shown:
        for disk in _maps(row) or [row]:
            if disk["type"] in _TYPES and disk["size"]:
                rows.setdefault(disk["kname"], [disk]).append(row)
    return tuple(
        _disk(own, links) for own in rows.values() if not _is_memory(own[0])
    )


def read_lsblk() -> list[dict[str, Any]]:
    """Return every device, with those that stand on it as its children."""
    shown = run("lsblk", "--json", "--bytes", "--output", _COLUMNS)
    return list(jsonutils.loads(shown)["blockdevices"])


def _all(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield every device, but no path to one nor what is seen by a path."""
    for row in rows:
        if not _maps(row):
            yield row
        yield from _all(_maps(row) or row.get("children", ()))


def _maps(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the disk that ``row`` is one of several paths to."""
    children = row.get("children", ())
    return [child for child in children if child["type"] == "mpath"]


def _is_memory(row: Mapping[str, Any]) -> bool:
    return bool(row["kname"].startswith(_MEMORY))


def _disk(rows: list[Mapping[str, Any]], links: Mapping[str, str]) -> Disk:
    """Return the disk of the first row; the others are its paths."""

    def known(column: str) -> Any:
        # The kernel knows most of a disk by its paths only.
        return next((r[column] for r in rows if r[column] is not None), None)

    own = rows[0]
    nodes = dict.fromkeys(f"/dev/{r['kname'].replace('!', '/')}" for r in rows)
    return Disk(
        device=own["path"],
        size_bytes=int(own["size"]),
        sector_bytes=int(own["log-sec"]),
        links=(
            *(node for node in nodes if node != own["path"]),
            *(link for link, node in links.items() if node in nodes),
        ),
        hctl=known("hctl"),
        model=_stripped(known("model")),
        vendor=_stripped(known("vendor")),
        serial=_stripped(known("serial")),
        wwn=known("wwn"),
        transport=known("tran"),
        rotational=own["rota"],
        read_only=own["ro"],
        is_loop=own["type"] == "loop",
    )


def _stripped(text: str | None) -> str | None:
    return text.strip() if text else None


def read_links() -> dict[str, str]:
    """Return the node that each of udev's links leads to."""
    return {
        str(link): str(link.resolve())
        for folder in sorted(Path("/dev/disk").glob("*"))
        for link in _links(folder)
    }


def _links(folder: Path) -> list[Path]:
    try:
        return sorted(link for link in folder.iterdir() if link.is_symlink())
    except FileNotFoundError:
        # udev took it away with the last of its links.
        return []


def sysfs(device: str) -> Path:
    """Return the folder of ``device`` in sysfs."""
    number = Path(device).stat().st_rdev
    link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    return link.resolve()


def is_there(device: str, size_bytes: int) -> bool:
    """Tell whether ``device`` is there and has this size."""
    return _size_bytes(device) == size_bytes


def is_read_only(device: str) -> bool:
    """Tell whether ``device`` is write-protected."""
    return (sysfs(device) / "ro").read_text() != "0\n"


def busy(device: str) -> bool:
    """Tell whether something holds ``device``, seen from here or not.

    The kernel grants exclusive use of a disk only while neither it nor a
    partition of it is mounted, or a member of anything, in any namespace.
    """
    try:
        os.close(open_exclusively(device, os.O_RDONLY, _GLANCE_S))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise CommandError(f"{device}: {error.strerror}") from error
    return False


def open_exclusively(
    device: str, flags: int, patience_s: float = BUSY_TIMEOUT_S
) -> int:
    """Open ``device`` for ourselves alone, and return the file descriptor.

    Raises OSError, EBUSY only if it stays in use: what another namespace
    had mounted is let go a moment after that ended.
    """
    end = time.monotonic() + patience_s
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
