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

"""Compare a resolved layout with what is on the disks: SPEC 3.3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ipa_partitions.disk.contents import Contents, Filesystem
from ipa_partitions.disk.contents import Partition as FoundPartition
from ipa_partitions.disk.filesystem import MSDOS_TYPES
from ipa_partitions.disk.size import MIB, mib_text
from ipa_partitions.layout.values import ALIASES
from ipa_partitions.resolved import (
    Disk,
    Partition,
    ResolvedLayout,
    Volume,
)

NONE = "none"


def differences(
    resolved: ResolvedLayout, contents: Mapping[str, Contents]
) -> tuple[str, ...]:
    """Return every difference, ``device: is ..., wanted ...``.

    ``contents`` are those of the disks of the layout, by device.
    """
    return tuple(
        difference
        for disk in resolved.disks
        for difference in _disk(disk, contents[disk.device])
    )


def with_kept_uuids(
    resolved: ResolvedLayout, contents: Mapping[str, Contents]
) -> ResolvedLayout:
    """Return the layout with the UUIDs of filesystems that are kept."""
    found = {
        volume.device: filesystem.uuid
        for disk in resolved.disks
        for volume, filesystem in _filesystems(disk, contents[disk.device])
        if filesystem.uuid and not volume.is_new
    }

    def kept(volume: Volume) -> Volume:
        return replace(volume, uuid=found.get(volume.device, volume.uuid))

    def kept_disk(disk: Disk) -> Disk:
        return replace(
            disk,
            whole=disk.whole and kept(disk.whole),
            partitions=tuple(
                replace(p, volume=kept(p.volume)) for p in disk.partitions
            ),
        )

    return replace(
        resolved,
        disks=tuple(map(kept_disk, resolved.disks)),
        systems=tuple(
            replace(
                system,
                mounts=tuple(map(kept, system.mounts)),
                swaps=tuple(map(kept, system.swaps)),
            )
            for system in resolved.systems
        ),
        multiboot=resolved.multiboot and kept(resolved.multiboot),
    )


def _filesystems(
    disk: Disk, found: Contents
) -> Iterator[tuple[Volume, Filesystem]]:
    if disk.whole:
        yield disk.whole, found.whole
    by_number = {p.number: p.filesystem for p in found.partitions}
    for partition in disk.partitions:
        if partition.number in by_number:
            yield partition.volume, by_number[partition.number]


def _disk(disk: Disk, found: Contents) -> Iterator[str]:
    if found.table != disk.table:
        yield _told(
            disk.device, _table_text(found.table), _table_text(disk.table)
        )
        return
    if disk.whole:
        yield from _filesystem(disk.whole, found.whole)
    yield from _partitions(disk, found.partitions)


def _table_text(table: str) -> str:
    return "without a table" if table == NONE else table


def _partitions(disk: Disk, found: Sequence[FoundPartition]) -> Iterator[str]:
    by_number = {partition.number: partition for partition in found}
    wanted = {partition.number: partition for partition in disk.partitions}
    for number, partition in wanted.items():
        if number in by_number:
            yield from _partition(disk, partition, by_number[number])
        else:
            yield _told(
                partition.volume.device,
                "not there",
                f"{partition.volume.name} of {mib_text(partition.size_bytes)}",
            )
    for extra in by_number.keys() - wanted.keys():
        yield _told(
            f"{disk.device}, partition {extra}",
            f"{by_number[extra].filesystem.kind or 'a partition'} of"
            f" {mib_text(by_number[extra].size_bytes)}",
            "no partition",
        )


def _partition(
    disk: Disk, wanted: Partition, found: FoundPartition
) -> Iterator[str]:
    device = wanted.volume.device
    for what, is_bytes, wanted_bytes in (
        ("start", found.start_bytes, wanted.start_bytes),
        ("size", found.size_bytes, wanted.size_bytes),
    ):
        # Other programs align otherwise: less than 1 MiB off is the same.
        if abs(is_bytes - wanted_bytes) >= MIB:
            yield _told(
                f"{device} {what}", mib_text(is_bytes), mib_text(wanted_bytes)
            )
    type_code = wanted.type_guid
    if disk.table == "msdos":
        type_code = MSDOS_TYPES[type_code].upper()
    if found.type_code != type_code:
        yield _told(
            f"{device} type", _type_text(found.type_code),
            _type_text(type_code),
        )  # fmt: skip
    yield from _filesystem(wanted.volume, found.filesystem)


def _type_text(type_code: str) -> str:
    return ALIASES.get(type_code, type_code)


def _filesystem(wanted: Volume, found: Filesystem) -> Iterator[str]:
    """Yield how the filesystem differs, where its data is to be kept."""
    content = wanted.content
    if wanted.is_new or content.file_system == NONE:
        return
    if found.kind != content.file_system:
        yield _told(
            f"{wanted.device} filesystem",
            found.kind or NONE,
            content.file_system,
        )
    elif content.label is not None and found.label != content.label:
        yield _told(
            f"{wanted.device} label", repr(found.label), repr(content.label)
        )


def _told(where: str, what_is: str, wanted: str) -> str:
    return f"{where}: is {what_is}, wanted {wanted}"
