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
from collections.abc import Iterator, Sequence
from pathlib import Path

from ipa_partitions.disk import partitions
from ipa_partitions.disk.probe import open_exclusively, sysfs
from ipa_partitions.disk.size import MIB
from ipa_partitions.disk.table import wipe
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

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
    partitions.add(device)
    for partition in partitions.known(device):
        _clear(partition)
    partitions.forget(device)
    _clear(device, tuple(_table_copies(device)))


def _clear(device: str, more: Sequence[int] = ()) -> None:
    wipe(device)
    if _can_discard(device):
        run("blkdiscard", "--force", device)
    # Some is not known by a signature: boot code, and what ZFS keeps.
    _zero(device, more)
    if left := run("wipefs", "--noheadings", device):
        raise CommandError(f"{device}: still has {left.strip()}")


def _table_copies(device: str) -> Iterator[int]:
    """Yield where a gpt on ``device`` says that its copy is, in bytes.

    That is not at the end of a disk that has grown since.
    """
    with Path(device).open("rb") as disk:
        for sector_bytes in _SECTOR_SIZES:
            disk.seek(sector_bytes)
            header = disk.read(_GPT_HEADER.size)
            signature, sector = _GPT_HEADER.unpack(header)
            if signature == _GPT_SIGNATURE:
                yield sector * sector_bytes


def _can_discard(device: str) -> bool:
    limit = sysfs(device) / "queue/discard_max_bytes"
    return limit.exists() and int(limit.read_text()) > 0


def _zero(device: str, more: Sequence[int]) -> None:
    """Zero the first and the last MiB, and a MiB from each of ``more``."""
    node = open_exclusively(device, os.O_WRONLY)
    try:
        end = os.lseek(node, 0, os.SEEK_END)
        with mmap.mmap(-1, MIB) as zeroes:
            for start in (0, max(0, end - MIB), *more):
                if start < end:
                    os.pwrite(node, zeroes[: min(MIB, end - start)], start)
        os.fsync(node)
    finally:
        os.close(node)
