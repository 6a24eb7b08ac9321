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

"""How the table of a disk and its partitions differ."""

from __future__ import annotations

from collections.abc import Iterator

from ipa_partitions.disk.contents import Contents
from ipa_partitions.disk.contents import Partition as FoundPartition
from ipa_partitions.disk.filesystem import MSDOS_TYPES
from ipa_partitions.disk.inventory import Inventory
from ipa_partitions.disk.size import mib_text
from ipa_partitions.layout.values import ALIASES
from ipa_partitions.resolved import Disk, Partition
from ipa_partitions.verify.content import (
    NONE,
    content_differences,
    size_difference,
    told,
)


def disk_differences(disk: Disk, found: Inventory) -> Iterator[str]:
    contents = found.disks[disk.device]
    if contents.table != disk.table:
        yield told(
            disk.device, _table_text(contents.table), _table_text(disk.table)
        )
        return
    if disk.whole:
        yield from content_differences(disk.whole, disk.whole.home, found)
    yield from _partitions(disk, contents, found)


def _table_text(table: str) -> str:
    return "without a table" if table == NONE else table


def _partitions(
    disk: Disk, contents: Contents, found: Inventory
) -> Iterator[str]:
    by_number = {each.number: each for each in contents.partitions}
    wanted = {partition.number: partition for partition in disk.partitions}
    for number, partition in wanted.items():
        if number in by_number:
            there = by_number[number]
            yield from _partition(disk, partition, there)
            yield from content_differences(
                partition.volume, there.device, found
            )
        else:
            yield told(
                partition.volume.home,
                "not there",
                f"{partition.volume.name} of {mib_text(partition.size_bytes)}",
            )
    for extra in sorted(by_number.keys() - wanted.keys()):
        yield told(
            f"{disk.device}, partition {extra}",
            f"{by_number[extra].filesystem.kind or 'a partition'} of"
            f" {mib_text(by_number[extra].size_bytes)}",
            "no partition",
        )


def _partition(
    disk: Disk, wanted: Partition, there: FoundPartition
) -> Iterator[str]:
    device = wanted.volume.home
    for what, is_bytes, wanted_bytes in (
        ("start", there.start_bytes, wanted.start_bytes),
        ("size", there.size_bytes, wanted.size_bytes),
    ):
        yield from size_difference(f"{device} {what}", is_bytes, wanted_bytes)
    type_code = wanted.type_guid
    if disk.table == "msdos":
        type_code = MSDOS_TYPES[type_code].upper()
    if there.type_code != type_code:
        yield told(
            f"{device} type",
            _type_text(there.type_code),
            _type_text(type_code),
        )


def _type_text(type_code: str) -> str:
    return ALIASES.get(type_code, type_code)
