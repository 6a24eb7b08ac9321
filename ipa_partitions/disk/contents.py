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

"""Read what is on a disk: its table, and the filesystems in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from oslo_serialization import jsonutils

from ipa_partitions.disk.partitions import partition_device
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

_ENCODED = re.compile(rb"\\x([0-9a-fA-F]{2})")
_KINDS: dict[str, Literal["gpt", "msdos"]] = {"gpt": "gpt", "dos": "msdos"}


@dataclass(frozen=True)
class Filesystem:
    """What ``blkid`` finds; all are empty where there is nothing."""

    kind: str = ""
    label: str = ""
    uuid: str = ""


@dataclass(frozen=True)
class Partition:
    """One partition; ``type_code`` is a GUID, or two digits on msdos."""

    device: str
    number: int
    name: str
    start_bytes: int
    size_bytes: int
    type_code: str
    filesystem: Filesystem


@dataclass(frozen=True)
class Contents:
    """A disk; ``table`` is ``none`` for one without, or with another's."""

    device: str
    table: Literal["gpt", "msdos", "none"]
    partitions: tuple[Partition, ...]
    whole: Filesystem


def read_contents(device: str, sector_bytes: int) -> Contents:
    """Return what is on ``device``. Nothing is written, no node needed."""
    # What was written by way of a partition is another's cache to the kernel.
    run("blockdev", "--flushbufs", device)
    table = _read_table(device)
    kind = _KINDS.get(table.get("label", ""))
    rows = table.get("partitions", ())
    if kind is None or _is_boot_sector(device, kind, rows):
        return Contents(device, "none", (), read_filesystem(device))
    return Contents(
        device,
        kind,
        tuple(_partition(device, row, sector_bytes) for row in rows),
        Filesystem(),
    )


def _is_boot_sector(
    device: str, table: str, rows: Sequence[Mapping[str, Any]]
) -> bool:
    """Tell whether what looks like a table is a part of a filesystem.

    The first sector of FAT ends like one, and mkfs.fat(8) may even write a
    partition into it, that is all of the disk.
    """
    if table != "msdos" or any(row["start"] for row in rows):
        return False
    return bool(read_filesystem(device).kind)


def _read_table(device: str) -> dict[str, Any]:
    try:
        shown = run("sfdisk", "--json", device)
    except CommandError as error:
        # Its only sign; other failures are to be seen.
        if "does not contain a recognized partition table" in str(error):
            return {}
        raise
    return dict(jsonutils.loads(shown)["partitiontable"])


def _partition(
    device: str, row: dict[str, Any], sector_bytes: int
) -> Partition:
    start, size = row["start"] * sector_bytes, row["size"] * sector_bytes
    # However it names that of a mapping, the number is at the end.
    number = int(re.findall(r"\d+", row["node"])[-1])
    return Partition(
        device=partition_device(device, number),
        number=number,
        name=row.get("name", ""),
        start_bytes=start,
        size_bytes=size,
        type_code=row["type"].upper(),
        filesystem=read_filesystem(
            device, f"--offset={start}", f"--size={size}"
        ),
    )


def read_filesystem(device: str, *where: str) -> Filesystem:
    """Return what ``device`` holds, there where blkid's options say."""
    shown = run(
        "blkid", "--probe", "--output", "udev",
        "--match-tag", "TYPE",
        "--match-tag", "LABEL",
        "--match-tag", "UUID",
        *where,
        device,
        ok_codes=(0, 2),  # 2: nothing was found
    )  # fmt: skip
    pairs = (line.partition("=") for line in shown.splitlines())
    found = {key.removeprefix("ID_FS_"): value for key, _, value in pairs}
    return Filesystem(
        found.get("TYPE", ""),
        _decoded(found.get("LABEL_ENC", "")),
        found.get("UUID", ""),
    )


def _decoded(text: str) -> str:
    """Return a label of which udev is shown some bytes in hexadecimal."""
    raw = _ENCODED.sub(
        lambda byte: bytes.fromhex(byte[1].decode()), text.encode()
    )
    return raw.decode(errors="replace")
