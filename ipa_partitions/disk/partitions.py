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

"""The partitions of a disk that the kernel knows.

It reads no table of a mapping, such as a disk that is reached by several
paths; there ``kpartx`` makes more mappings.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from ipa_partitions.disk.probe import BUSY_TIMEOUT_S, sysfs
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

# sysfs and mappings count in these, whatever the sector size of the disk.
_SECTOR_BYTES = 512
# As udev's rules call it for such disks, in Debian and in RHEL.
_KPARTX = ("kpartx", "-s", "-p", "-part")


def partition_device(disk: str, number: int) -> str:
    """Return the node of a partition, as kernel, kpartx or udev names it."""
    if is_mapping(disk) or disk.startswith("/dev/disk/"):
        return f"{disk}-part{number}"
    # block/partitions/core.c: "p" parts the digits of a disk from its own.
    return f"{disk}{'p' if re.search(r'[0-9]$', disk) else ''}{number}"


def is_mapping(disk: str) -> bool:
    """Tell whether the partitions of ``disk`` are mappings, too."""
    return disk.startswith("/dev/mapper/")


def missing_program(disk: str) -> str | None:
    """Return what else it takes for ``disk``, unless it is there."""
    if is_mapping(disk) and not shutil.which("kpartx"):
        return "kpartx"
    return None


def update(disk: str) -> None:
    """Let the kernel know the partitions of the table, and no others."""
    if is_mapping(disk):
        run(*_KPARTX, "-u", disk)
    else:
        run("partx", "--update", disk)


def forget(disk: str) -> None:
    """Let the kernel know no partitions; none of them may be in use."""
    if is_mapping(disk):
        run(*_KPARTX, "-d", disk)
        return
    end = time.monotonic() + BUSY_TIMEOUT_S
    while _known(disk):
        try:
            run("partx", "--delete", disk)
        except CommandError:
            # Somebody looks at one of them for a moment.
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def extents(disk: str) -> set[tuple[int, int]]:
    """Return where partitions start and end, in bytes.

    They may be those of the table or those that the kernel knows.
    """
    shown = run(
        "partx", "--show", "--noheadings", "--output", "START,SECTORS", disk,
        ok_codes=(0, 1),  # 1: there is no table
    )  # fmt: skip
    found = [line.split() for line in shown.splitlines()]
    for folder in _known(disk):
        words = ((folder / name).read_text() for name in ("start", "size"))
        found.append([*words])
    sectors = ((int(start), int(size)) for start, size in found)
    return {
        (start * _SECTOR_BYTES, (start + size) * _SECTOR_BYTES)
        for start, size in sectors
    }


def _known(disk: str) -> list[Path]:
    """Return the folders in sysfs of what the kernel knows."""
    return [path.parent for path in sysfs(disk).glob("*/partition")]


def start_bytes(partition: str) -> int:
    """Return where ``partition`` starts on its disk."""
    if is_mapping(partition):
        table = run("dmsetup", "table", partition)
        return int(table.split()[-1]) * _SECTOR_BYTES
    start = (sysfs(partition) / "start").read_text()
    return int(start) * _SECTOR_BYTES
