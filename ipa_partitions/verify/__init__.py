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

from dataclasses import replace

from ipa_partitions.disk import md
from ipa_partitions.disk.inventory import Inventory
from ipa_partitions.resolved import Array, ResolvedLayout, Volume
from ipa_partitions.verify.disk import disk_differences
from ipa_partitions.verify.storage import (
    array_differences,
    array_of,
    bcache_differences,
    group_differences,
)


def differences(resolved: ResolvedLayout, found: Inventory) -> tuple[str, ...]:
    """Return every difference, ``device: is ..., wanted ...``."""
    return (
        *(d for disk in resolved.disks for d in disk_differences(disk, found)),
        *(
            d
            for array in resolved.arrays
            for d in array_differences(array, found)
        ),
        *(
            d
            for each in resolved.bcaches
            for d in bcache_differences(each, found)
        ),
        *(
            d
            for group in resolved.groups
            for d in group_differences(group, found)
        ),
    )


def with_kept_ids(
    resolved: ResolvedLayout, found: Inventory
) -> ResolvedLayout:
    """Return the layout with the UUIDs of all that is kept.

    What is made anew for a system that stays gets the one that it had, too:
    the fstab and crypttab of that system stay as they are.
    """
    places = _places(resolved)
    staying = _needed_as_they_are(resolved)

    def kept(volume: Volume) -> Volume:
        if volume.is_new and volume.at not in staying:
            return volume
        home = places.get(volume.home, volume.home)
        before = found.filesystem(home)
        is_same = before.kind == volume.content.file_system
        if not volume.is_new or (is_same and not volume.content.uuid):
            volume = replace(volume, uuid=before.uuid or volume.uuid)
        encrypted = found.encrypted.get(home)
        if not encrypted or not volume.luks:
            return volume
        if volume.is_new:
            luks = replace(volume.luks, uuid=encrypted.header.uuid)
            return replace(volume, luks=luks)
        # One that is open keeps its name.
        name = encrypted.mapping.removeprefix("/dev/mapper/")
        luks = replace(volume.luks, uuid=encrypted.header.uuid, name=name)
        return replace(volume, luks=luks, device=luks.mapping)

    return replace(
        resolved.changed(kept),
        arrays=tuple(
            replace(
                array,
                spec=_kept_spec(array, found),
                volume=array.volume and kept(array.volume),
            )
            for array in resolved.arrays
        ),
    )


def _needed_as_they_are(resolved: ResolvedLayout) -> frozenset[str]:
    """Return the volumes whose UUIDs a system that stays knows."""
    return frozenset(
        volume.at
        for system in resolved.bootable
        if not system.deploys
        for volume in (*system.mounts, *system.swaps, *system.esps)
    )


def _places(resolved: ResolvedLayout) -> dict[str, str]:
    """Return where what is cached is read, by its planned device."""
    return {each.spec.device: each.spec.backing for each in resolved.bcaches}


def _kept_spec(wanted: Array, found: Inventory) -> md.Array:
    array = array_of(wanted, found)
    # There are no differences, so it is there.
    assert array
    return replace(wanted.spec, uuid=array.uuid, metadata=array.metadata)
