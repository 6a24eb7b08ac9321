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

"""What every picture of a plan shows of a disk, a row for each volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ipa_partitions.layout.values import ALIASES
from ipa_partitions.resolved import Disk, Partition, Volume


@dataclass(frozen=True)
class Row:
    """A partition, or the one volume of a disk without a table.

    ``number`` is None for the latter; ``kind`` is a type GUID, its alias,
    or what service the partition has. ``is_new`` says that what was on the
    disk there is wiped.
    """

    number: int | None
    name: str
    kind: str
    start_bytes: int
    size_bytes: int
    mount: str
    file_system: str
    keep_data: bool
    is_new: bool
    images: tuple[str, ...]


def rows(disk: Disk) -> tuple[Row, ...]:
    """Return the rows of ``disk``, in the order of the disk."""
    if disk.whole is not None:
        return (_row(disk.whole, None, "partition", 0, disk.whole.size_bytes),)
    return tuple(
        _row(
            partition.volume,
            partition.number,
            _kind(partition),
            partition.start_bytes,
            partition.size_bytes,
        )
        for partition in disk.partitions
    )


def _kind(partition: Partition) -> str:
    if partition.role != "partition":
        return partition.role
    return ALIASES.get(partition.type_guid, partition.type_guid)


def _row(
    volume: Volume, number: int | None, kind: str, start: int, size: int
) -> Row:
    content = volume.content
    return Row(
        number=number,
        name=volume.name,
        kind=kind,
        start_bytes=start,
        size_bytes=size,
        mount=content.mount,
        file_system=content.file_system,
        keep_data=content.keep_data,
        is_new=volume.is_new,
        images=content.images,
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
