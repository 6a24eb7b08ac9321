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

"""Write the partition tables: SPEC 2.5."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.disk import table
from ipa_partitions.disk.size import mib_text
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import Disk, ResolvedLayout


@dataclass(frozen=True)
class WriteTable:
    """Write the table of one disk, once, with all that is in it."""

    table: table.Table
    phase: ClassVar[Phase] = Phase.PARTITION
    tools: ClassVar[tuple[str, ...]] = ("sfdisk", "partx", "wipefs")

    @property
    def devices(self) -> frozenset[str]:
        """The disk."""
        return frozenset({self.table.device})

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for every disk that gets a table."""
        if resolved.layout.policy == "clean":
            for disk in resolved.disks:
                if disk.table != "none":
                    yield cls(_table(disk, disk.table))

    def __str__(self) -> str:
        """Tell the partitions by number, name and size."""
        partitions = ", ".join(
            f"{entry.number} {entry.name} {mib_text(entry.size_bytes)}"
            for entry in self.table.entries
        )
        return (
            f"write a {self.table.kind} table to {self.table.device}:"
            f" {partitions or 'empty'}"
        )

    def validate(self) -> None:
        """Do nothing: the sizes were computed for this very disk."""

    def execute(self) -> None:
        """Write it."""
        table.write(self.table)


def _table(disk: Disk, kind: table.Kind) -> table.Table:
    return table.Table(
        device=disk.device,
        kind=kind,
        uuid=disk.uuid,
        sector_bytes=disk.sector_bytes,
        entries=tuple(
            table.Entry(
                number=partition.number,
                device=partition.volume.home,
                name=partition.volume.name,
                type_guid=partition.type_guid,
                uuid=partition.uuid,
                start_bytes=partition.start_bytes,
                size_bytes=partition.size_bytes,
            )
            for partition in disk.partitions
        ),
    )
