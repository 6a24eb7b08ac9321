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

"""What every picture of a plan shows, a row for each volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ipa_partitions.disk import lvm
from ipa_partitions.disk.size import mib_text
from ipa_partitions.layout.model import NONE
from ipa_partitions.layout.values import ALIASES
from ipa_partitions.resolved import (
    Array,
    Bcache,
    Disk,
    Group,
    LogicalVolume,
    Partition,
    ResolvedLayout,
    Volume,
)


@dataclass(frozen=True)
class Row:
    """A volume; ``number`` and ``start_bytes`` are those of a partition.

    ``kind`` is a type GUID, its alias, what service a partition has, or the
    layout of another volume. ``taken_bytes`` are those of its container.
    ``is_new`` says that what was there is wiped.
    """

    number: int | None
    name: str
    kind: str
    start_bytes: int | None
    size_bytes: int
    taken_bytes: int
    mount: str
    file_system: str
    keep_data: bool
    is_new: bool
    images: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Container:
    """A disk, an array, a cached set or a group, and what is in it."""

    title: str
    size_bytes: int
    rows: tuple[Row, ...]


def containers(resolved: ResolvedLayout) -> Iterator[Container]:
    """Yield everything of a layout that has volumes."""
    yield from map(_disk, resolved.disks)
    yield from map(_array, resolved.arrays)
    yield from map(_bcache, resolved.bcaches)
    yield from map(_group, resolved.groups)


def _disk(disk: Disk) -> Container:
    boot = ", boot loader" if disk.is_boot else ""
    title = (
        f"{disk.device}: {mib_text(disk.size_bytes)}, {disk.table},"
        f" {disk.sector_bytes}-byte sectors{boot}"
    )
    return Container(title, disk.size_bytes, rows(disk))


def _array(array: Array) -> Container:
    spec = array.spec
    spares = f", spare {', '.join(spec.spares)}" if spec.spares else ""
    title = (
        f"array {spec.name}: {mib_text(array.size_bytes)}, level"
        f" {spec.level}, of {', '.join(spec.members)}{spares}"
    )
    if array.vg:
        title += f", for group {array.vg}"
    its_rows = (
        (row(array.volume, f"raid{spec.level}"),) if array.volume else ()
    )
    return Container(title, array.size_bytes, its_rows)


def _bcache(bcache: Bcache) -> Container:
    spec, volume = bcache.spec, bcache.volume
    title = (
        f"bcache {volume.name}: {mib_text(volume.size_bytes)}, {spec.mode},"
        f" of {spec.backing}, cached on {', '.join(spec.caches) or 'nothing'}"
    )
    return Container(title, volume.size_bytes, (row(volume, "bcache"),))


def _group(group: Group) -> Container:
    title = (
        f"group {group.name}: {mib_text(group.size_bytes)}, of"
        f" {', '.join(group.pvs)}"
    )
    return Container(title, group.size_bytes, tuple(map(_lv, group.volumes)))


def _lv(lv: LogicalVolume) -> Row:
    taken = lvm.consumed_extents(lv.spec) * lvm.EXTENT_BYTES
    return row(lv.volume, lv.spec.layout, taken_bytes=taken)


def rows(disk: Disk) -> tuple[Row, ...]:
    """Return the rows of ``disk``, in the order of the disk."""
    if disk.whole is not None:
        return (row(disk.whole, disk.whole_role, start_bytes=0),)
    return tuple(
        row(
            partition.volume,
            _kind(partition),
            partition.number,
            partition.start_bytes,
        )
        for partition in disk.partitions
    )


def _kind(partition: Partition) -> str:
    if partition.role != "partition":
        return partition.role
    return ALIASES.get(partition.type_guid, partition.type_guid)


def row(
    volume: Volume,
    kind: str,
    number: int | None = None,
    start_bytes: int | None = None,
    taken_bytes: int | None = None,
) -> Row:
    """Return the row of ``volume``."""
    content = volume.content
    encrypted = ("encrypted",) if volume.luks else ()
    subvolumes = (
        f"{each.name} on {each.mount}" if each.mount != NONE else each.name
        for each in content.subvolumes
    )
    return Row(
        number=number,
        name=volume.name,
        kind=kind,
        start_bytes=start_bytes,
        size_bytes=volume.size_bytes,
        taken_bytes=volume.size_bytes if taken_bytes is None else taken_bytes,
        mount=content.mount,
        file_system=content.file_system,
        keep_data=content.keep_data,
        is_new=volume.is_new,
        images=content.images,
        notes=(*encrypted, *subvolumes),
    )


def shares(sizes: Sequence[int], width: int, least: int) -> list[int]:
    """Return ``width`` shared out in proportion, each part ``least`` wide.

    Parts too small to be seen are widened at the cost of the larger ones;
    if even the least does not fit, the sum is more than ``width``.
    """
    spare = max(0, width - least * len(sizes))
    whole = sum(sizes) or 1
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    places = [end * spare // whole for end in ends]
    return [least + after - before for before, after in pairwise(places)]
