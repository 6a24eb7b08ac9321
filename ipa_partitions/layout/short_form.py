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

"""Bareon's short form: equal mounts of several disks make a raid1 array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ipa_partitions.layout import model


def with_short_form(
    disks: tuple[model.Disk, ...], arrays: tuple[model.Array, ...]
) -> tuple[tuple[model.Disk, ...], tuple[model.Array, ...]]:
    """Return both with the arrays that are not named, and their members."""
    # What a member names by mistake is not to mean an array of this form.
    named = {v.member_of or "" for disk in disks for v in disk.volumes}
    members = _short_form(disks, named | {array.id for array in arrays})
    return (
        tuple(_with_arrays(disk, members) for disk in disks),
        (*arrays, *_short_arrays(disks, members)),
    )


def _short_form(
    disks: Sequence[model.Disk], taken: set[str]
) -> Mapping[str, str]:
    """Return the id of its array for the path of every short-form member.

    Members with one mount, of the same images, are of one array.
    """
    ids: dict[tuple[str, tuple[str, ...]], str] = {}
    members = {}
    for disk in disks:
        for volume in disk.volumes:
            if volume.role != "raid" or volume.member_of:
                continue
            key = volume.content.mount, volume.content.images
            if key not in ids:
                ids[key] = _free_id(volume, {*taken, *ids.values()})
            members[volume.at] = ids[key]
    return members


def _free_id(volume: model.Volume, taken: set[str]) -> str:
    names = [volume.name, *(f"{volume.name}-{n}" for n in range(2, 999))]
    return next(name for name in names if name not in taken)


def _with_arrays(disk: model.Disk, short: Mapping[str, str]) -> model.Disk:
    return replace(
        disk,
        volumes=tuple(
            replace(volume, member_of=short.get(volume.at, volume.member_of))
            for volume in disk.volumes
        ),
    )


def _short_arrays(
    disks: Sequence[model.Disk], short: Mapping[str, str]
) -> Iterator[model.Array]:
    """Yield each array of the short form, with what its first member says."""
    seen: set[str] = set()
    for disk in disks:
        for volume in disk.volumes:
            name = short.get(volume.at)
            if name and name not in seen:
                seen.add(name)
                yield model.Array(
                    at=volume.at,
                    id=name,
                    level=1,
                    spares=0,
                    metadata="1.2",
                    vg=None,
                    content=volume.content,
                    name_key=volume.name_key,
                )
