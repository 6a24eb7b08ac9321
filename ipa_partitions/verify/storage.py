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

"""How arrays, cached sets and groups differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ipa_partitions.disk import lvm
from ipa_partitions.disk.inventory import Array as FoundArray
from ipa_partitions.disk.inventory import Inventory
from ipa_partitions.disk.size import mib_text
from ipa_partitions.resolved import Array, Bcache, Group, LogicalVolume
from ipa_partitions.verify.content import (
    NONE,
    content_differences,
    size_difference,
    told,
)


def array_of(wanted: Array, found: Inventory) -> FoundArray | None:
    """Return the array that the first member it has is of."""
    for member in (*wanted.spec.members, *wanted.spec.spares):
        for array in found.arrays:
            if member in array.members:
                return array
    return None


def array_differences(wanted: Array, found: Inventory) -> Iterator[str]:
    spec, there = wanted.spec, array_of(wanted, found)
    where = f"array {spec.name}"
    if there is None:
        yield told(
            where,
            "not there",
            f"level {spec.level} of {', '.join(spec.members)}",
        )
        return
    if there.level != spec.level:
        yield told(f"{where} level", str(there.level), str(spec.level))
    members = (*spec.members, *spec.spares)
    if {*there.members} != {*members}:
        yield told(
            f"{where} members", _listed(there.members), _listed(members)
        )
    if there.raid_devices != len(spec.members):
        yield told(
            f"{where} active members",
            str(there.raid_devices),
            str(len(spec.members)),
        )
    if wanted.volume:
        yield from content_differences(wanted.volume, there.device, found)


def _listed(devices: Iterable[str]) -> str:
    return ", ".join(sorted(devices)) or NONE


def bcache_differences(wanted: Bcache, found: Inventory) -> Iterator[str]:
    spec, where = wanted.spec, f"bcache {wanted.volume.name}"
    blocks = {block.device: block for block in found.bcaches}
    backing = blocks.get(spec.backing)
    if backing is None:
        yield told(where, "not there", f"on {spec.backing}")
        return
    caches = [
        block.device
        for block in found.bcaches
        if block.kind == "cache" and block.set_uuid == backing.set_uuid
    ]
    if {*caches} != {*spec.caches}:
        yield told(f"{where} caches", _listed(caches), _listed(spec.caches))
    if spec.caches and backing.mode != spec.mode:
        yield told(f"{where} mode", str(backing.mode), spec.mode)
    yield from content_differences(wanted.volume, spec.backing, found)


def group_differences(wanted: Group, found: Inventory) -> Iterator[str]:
    where = f"group {wanted.name}"
    pvs = {*wanted.pvs}
    there = [group for group in found.groups if pvs & {*group.pvs}]
    named = [group for group in there if group.name == wanted.name]
    if not named:
        yield told(
            where,
            _listed(group.name for group in there) if there else "not there",
            f"{wanted.name} on {', '.join(wanted.pvs)}",
        )
        return
    if {*named[0].pvs} != pvs:
        yield told(f"{where} pvs", _listed(named[0].pvs), _listed(pvs))
    yield from _volumes(wanted, named[0].volumes, found)


def _volumes(
    wanted: Group, there: Sequence[lvm.Volume], found: Inventory
) -> Iterator[str]:
    by_name = {volume.name: volume for volume in there}
    for lv in wanted.volumes:
        if lv.spec.name in by_name:
            yield from _volume(lv, by_name[lv.spec.name], found)
        else:
            yield told(
                lv.spec.device,
                "not there",
                f"{lv.spec.layout} of {mib_text(lv.spec.size_bytes)}",
            )
    named = {lv.spec.name for lv in wanted.volumes}
    for extra in sorted(by_name.keys() - named):
        yield told(
            f"/dev/{wanted.name}/{extra}",
            f"{by_name[extra].layout} of"
            f" {mib_text(by_name[extra].size_bytes)}",
            "no volume",
        )


def _volume(
    wanted: LogicalVolume, there: lvm.Volume, found: Inventory
) -> Iterator[str]:
    spec = wanted.spec
    yield from size_difference(
        f"{spec.device} size", there.size_bytes, spec.size_bytes
    )
    for key in ("layout", "stripes", "mirrors", "pool"):
        if getattr(there, key) != getattr(spec, key):
            yield told(
                f"{spec.device} {key}",
                str(getattr(there, key) or NONE),
                str(getattr(spec, key) or NONE),
            )
    yield from content_differences(wanted.volume, spec.device, found)
