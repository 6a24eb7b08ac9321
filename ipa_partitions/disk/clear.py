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

"""Make a disk forget what was on it."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from ipa_partitions.disk import partitions
from ipa_partitions.disk.probe import open_exclusively, sysfs
from ipa_partitions.disk.size import MIB
from ipa_partitions.disk.table import wipe
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

# What marks a disk or a partition lies within these: the farthest are the
# second header of LUKS2, at 4 MiB, and that of a Promise controller, 1.5 MiB
# from the end; see libblkid/src/superblocks of util-linux.
_HEAD_BYTES = 5 * MIB
_TAIL_BYTES = 2 * MIB

# UEFI 2.10, table 5-5: the other copy of the table is at AlternateLBA.
_GPT_HEADER = struct.Struct("<8s24xQ")
_GPT_SIGNATURE = b"EFI PART"
_SECTOR_SIZES = (512, 4096)


def clear(device: str) -> None:
    """Remove the partitions of ``device`` and all that is known to mark it.

    What is at the ends of its partitions goes as well, so that it does not
    show up again in new ones. The bytes of the disk are discarded where it
    can. Raises CommandError if anything uses it.
    """
    places = [*partitions.extents(device), *_table_copies(device)]
    partitions.forget(device)
    if _can_discard(device):
        run("blkdiscard", "--force", device)
    # No device promises that it reads as zeroes after a discard.
    _zero_ends(device, places)
    wipe(device)
    if left := run("wipefs", "--noheadings", device):
        raise CommandError(f"{device}: still has {left.strip()}")


def _table_copies(device: str) -> Iterator[tuple[int, int]]:
    """Yield where a gpt on ``device`` says that its copy is, in bytes.

    That is not at the end of a disk that has grown since.
    """
    with Path(device).open("rb") as disk:
        for sector_bytes in _SECTOR_SIZES:
            disk.seek(sector_bytes)
            header = disk.read(_GPT_HEADER.size)
            signature, sector = _GPT_HEADER.unpack(header)
            if signature == _GPT_SIGNATURE:
                start = sector * sector_bytes
                yield start, start + sector_bytes


def _can_discard(device: str) -> bool:
    limit = sysfs(device) / "queue/discard_max_bytes"
    return limit.exists() and int(limit.read_text()) > 0


def _zero_ends(device: str, places: Iterable[tuple[int, int]]) -> None:
    """Zero the ends of ``places`` on ``device``, and at last its own."""
    node = open_exclusively(device, os.O_WRONLY)
    try:
        size = os.lseek(node, 0, os.SEEK_END)
        with mmap.mmap(-1, _HEAD_BYTES) as zeroes:
            for start, end in (*places, (0, size)):
                stop = min(end, size)
                for first in (start, max(start, stop - _TAIL_BYTES)):
                    length = min(_HEAD_BYTES, stop - first)
                    if length > 0:
                        os.pwrite(node, zeroes[:length], first)
        os.fsync(node)
    finally:
        os.close(node)
