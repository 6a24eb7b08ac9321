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

"""Write a partition table and make the kernel see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ipa_partitions.disk import partitions
from ipa_partitions.disk.filesystem import MSDOS_TYPES
from ipa_partitions.disk.probe import wait_for_device
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

Kind = Literal["gpt", "msdos"]

# What a GPT has room for unless its script says otherwise: sfdisk(8).
_GPT_ENTRIES = 128


@dataclass(frozen=True)
class Entry:
    """One partition; ``name`` and ``uuid`` are for gpt only."""

    number: int
    device: str
    name: str
    type_guid: str
    uuid: str
    start_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class Table:
    """All partitions of ``device``, as they shall be."""

    device: str
    kind: Kind
    uuid: str
    sector_bytes: int
    entries: tuple[Entry, ...]


def script(table: Table) -> str:
    """Return ``table`` as a script for sfdisk(8)."""
    return "\n".join((*_header(table), "", *_lines(table), ""))


def _header(table: Table) -> Iterator[str]:
    is_gpt = table.kind == "gpt"
    yield f"label: {'gpt' if is_gpt else 'dos'}"
    yield f"label-id: {table.uuid if is_gpt else '0x' + table.uuid[:8]}"
    yield "unit: sectors"
    yield f"sector-size: {table.sector_bytes}"
    if len(table.entries) > _GPT_ENTRIES:
        yield f"table-length: {len(table.entries)}"


def _lines(table: Table) -> Iterator[str]:
    for entry in table.entries:
        words = {
            "start": str(entry.start_bytes // table.sector_bytes),
            "size": str(entry.size_bytes // table.sector_bytes),
            "type": entry.type_guid,
        }
        if table.kind == "gpt":
            words |= {"uuid": entry.uuid, "name": quoted(entry.name)}
        else:
            words["type"] = MSDOS_TYPES[entry.type_guid]
        yield f"{entry.number} : " + ", ".join(
            f"{key}={value}" for key, value in words.items()
        )


def quoted(name: str) -> str:
    """Return ``name`` as a quoted string of an sfdisk script."""
    plain = name.isascii() and name.isprintable()
    if plain and not set(name) & set('"\\'):
        return f'"{name}"'
    return '"' + "".join(f"\\x{byte:02x}" for byte in name.encode()) + '"'


def write(table: Table) -> None:
    """Write ``table``, wait for its partitions, and wipe what is in them.

    Raises CommandError also if the kernel sees something else than was
    written. The disk must hold no partition that is in use.
    """
    run(
        "sfdisk", "--no-reread", "--no-tell-kernel", "--quiet",
        # The whole run holds the lock already.
        "--lock=no",
        "--wipe", "never",
        table.device,
        stdin=script(table),
    )  # fmt: skip
    if not table.entries:
        return
    partitions.update(table.device)
    for entry in table.entries:
        wait_for_device(entry.device, entry.size_bytes)
        start_bytes = partitions.start_bytes(entry.device)
        if start_bytes != entry.start_bytes:
            raise CommandError(
                f"{entry.device}: starts at {start_bytes},"
                f" not at {entry.start_bytes}"
            )
    wipe(*(entry.device for entry in table.entries))


def wipe(*devices: str) -> None:
    """Remove every signature that anything could know the devices by."""
    if devices:
        run("wipefs", "--all", "--force", "--quiet", "--lock=no", *devices)
