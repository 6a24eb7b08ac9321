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
from pathlib import Path

from ipa_partitions.disk.size import MIB
from ipa_partitions.disk.table import wipe
from ipa_partitions.run import run


def clear(device: str) -> None:
    """Remove the partitions of ``device`` and all that is known to mark it.

    Nothing on it may be in use. Its bytes are discarded where it can.
    """
    partitions = _partitions(device)
    wipe(*partitions)
    if partitions:
        run("partx", "--delete", device)
    wipe(device)
    if _can_discard(device):
        run("blkdiscard", "--force", device)
    _zero_ends(device)


def _partitions(device: str) -> list[str]:
    """Return the partitions of ``device`` that the kernel knows."""
    name = Path(device).name
    found = Path("/sys/class/block", name).glob(f"{name}*/partition")
    return sorted(f"/dev/{child.parent.name}" for child in found)


def _can_discard(device: str) -> bool:
    limit = Path(
        "/sys/class/block", Path(device).name, "queue/discard_max_bytes"
    )
    return limit.exists() and int(limit.read_text()) > 0


def _zero_ends(device: str) -> None:
    """Zero the first and the last MiB: boot code, tables and their copies."""
    node = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    try:
        end = os.lseek(node, 0, os.SEEK_END)
        with mmap.mmap(-1, MIB) as zeroes:
            for start in (0, max(0, end - MIB)):
                os.pwrite(node, zeroes[: min(MIB, end)], start)
        os.fsync(node)
    finally:
        os.close(node)
