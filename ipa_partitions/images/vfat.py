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

"""A small vfat filesystem with a few files, made without mounting it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ipa_partitions.errors import ActionError
from ipa_partitions.run import run

TOOLS = ("blkdiscard", "mkfs.vfat", "mcopy")

_SECTOR_BYTES = slice(11, 13)  # of the boot sector
_JUMPS = (0xEB, 0xE9)


def make_vfat(device: str, label: str, files: Mapping[str, bytes]) -> None:
    """Make all of ``device`` a vfat with ``files``, and sync it.

    It has sectors as large as the device's. Raises CommandError if the
    files do not fit, ActionError if the device fails.
    """
    # What was there before may have a signature elsewhere, and secrets.
    run("blkdiscard", "--zeroout", device)
    run("mkfs.vfat", "-n", label, device)
    with tempfile.TemporaryDirectory() as scratch:
        for path, content in files.items():
            file = Path(scratch, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        tops = [str(top) for top in Path(scratch).iterdir()]
        run("mcopy", "-i", device, "-s", *tops, "::/")
    node = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.fsync(node)
    except OSError as error:
        raise ActionError(f"{device}: {error.strerror}") from error
    finally:
        os.close(node)


def vfat_sector_bytes(content: bytes) -> int | None:
    """Return the sector size of a FAT filesystem, None if it is none."""
    if len(content) < 512 or content[0] not in _JUMPS:
        return None
    if content[510:512] != b"\x55\xaa":
        return None
    return int.from_bytes(content[_SECTOR_BYTES], "little")
