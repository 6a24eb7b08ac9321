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

"""The partition table that came with an image of a whole disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ipa_partitions.disk import partitions
from ipa_partitions.disk.filesystem import MSDOS_TYPES
from ipa_partitions.disk.probe import wait_for_device
from ipa_partitions.disk.size import MIB
from ipa_partitions.disk.table import quoted
from ipa_partitions.errors import ActionError, CommandError
from ipa_partitions.run import run

_LINUX = next(iter(MSDOS_TYPES))
_SFDISK = (
    # The whole run holds the lock already.
    "sfdisk", "--no-reread", "--no-tell-kernel", "--quiet", "--lock=no",
)  # fmt: skip

# The 32 bits that the boot code of a PC tells disks apart by.
_IDENTIFIER_AT = 440


def move_backup(device: str) -> None:
    """Put the backup of a GPT where the disk ends, if it has one.

    The kernel knows the partitions afterwards. Raises CommandError for a
    table that is damaged.
    """
    table = _read(device)
    if table.get("label") == "gpt":
        run(*_SFDISK, "--relocate", "gpt-bak-std", device)
    if table.get("partitions"):
        partitions.update(device)


def find_labelled(device: str, label: str) -> str | None:
    """Return the partition whose filesystem has ``label``, in any case."""
    for partition in _read(device).get("partitions", ()):
        found = run(
            "blkid", "--probe", "--match-tag", "LABEL", "--output", "value",
            partition["node"],
            ok_codes=(0, 2, 8),  # nothing found, or too much
        ).strip()  # fmt: skip
        if found.lower() == label:
            return str(partition["node"])
    return None


def append(device: str, disk_bytes: int, name: str, size_bytes: int) -> str:
    """Add a partition at the end of the disk, and return its node.

    Raises ActionError if there is no room, or no table.
    """
    table = _read(device)
    label = table.get("label")
    if label not in ("gpt", "dos"):
        raise ActionError(f"{device}: has no table to add {name} to")
    sector_bytes = int(table.get("sectorsize", 512))
    # The last MiB is the backup's of a GPT.
    end_bytes = disk_bytes // MIB * MIB - (MIB if label == "gpt" else 0)
    start_bytes = end_bytes - size_bytes
    words = [
        f"start={start_bytes // sector_bytes}",
        f"size={size_bytes // sector_bytes}",
        f"type={_LINUX if label == 'gpt' else MSDOS_TYPES[_LINUX]}",
    ]
    if label == "gpt":
        words.append(f"name={quoted(name)}")
    before = {each["node"] for each in table.get("partitions", ())}
    try:
        run(*_SFDISK, "--append", device, stdin=", ".join(words) + "\n")
    except CommandError as error:
        raise ActionError(
            f"{device}: has no room for {name} at its end: {error}"
        ) from error
    after = {each["node"] for each in _read(device)["partitions"]}
    (node,) = after - before
    partitions.update(device)
    wait_for_device(node, size_bytes)
    if partitions.start_bytes(node) != start_bytes:
        raise ActionError(f"{node}: does not start at {start_bytes}")
    return str(node)


def identifier(device: str) -> str:
    """Return the disk identifier, as Ironic writes it."""
    with Path(device).open("rb") as disk:
        disk.seek(_IDENTIFIER_AT)
        return f"{int.from_bytes(disk.read(4), 'little'):#010x}"


def _read(device: str) -> dict[str, Any]:
    """Return what sfdisk shows, empty without a table."""
    try:
        shown = run(*_SFDISK, "--json", device)
    except CommandError as error:
        if "does not contain a recognized partition table" in str(error):
            return {}
        raise
    table: dict[str, Any] = json.loads(shown)["partitiontable"]
    return table
