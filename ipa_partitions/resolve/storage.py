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

"""Arrays, sets and groups: their members, and where every extent goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ipa_partitions.disk import bcache, lvm, md
from ipa_partitions.disk.size import floor_mib, mib_text
from ipa_partitions.disk.space import Cost, NoSpaceError, allot
from ipa_partitions.errors import MachineError, ProblemError, raise_all
from ipa_partitions.layout import model
from ipa_partitions.resolve.geometry import Maker
from ipa_partitions.resolve.members import Homes, homes, member_problems
from ipa_partitions.resolved import (
    Array,
    Bcache,
    Disk,
    Group,
    LogicalVolume,
)


@dataclass(frozen=True)
class Storage:
    """What stands on the partitions of several disks."""

    arrays: tuple[Array, ...]
    groups: tuple[Group, ...]
    bcaches: tuple[Bcache, ...]


def resolve_storage(
    layout: model.Layout, disks: Sequence[Disk], maker: Maker
) -> Storage:
    """Return all of it. Raises MachineErrors."""
    found = homes(disks)
    raise_all(member_problems(layout, disks))
    arrays = tuple(
        _array(array, layout, found, maker) for array in layout.arrays
    )
    groups, errors = [], []
    for group in layout.groups:
        try:
            groups.append(_group(group, layout, found, arrays, maker))
        except ProblemError as error:
            errors.append(error)
    raise_all(errors)
    bcaches = (_bcache(each, layout, found, maker) for each in layout.bcaches)
    return Storage(arrays, tuple(groups), tuple(bcaches))


def _array(
    array: model.Array, layout: model.Layout, found: Homes, maker: Maker
) -> Array:
    """Return the array on its members, the last of which are the spares."""
    members = [found[m.at] for m in layout.members("raid", array.id)]
    sizes = [member.size_bytes for member in members]
    active = len(members) - array.spares
    size_bytes = md.array_bytes(array.level, sizes, array.spares)
    spec = md.Array(
        device=f"/dev/md/{array.id}",
        name=array.id,
        uuid=maker.uuid(array.at, array.id, "array"),
        level=array.level,
        members=tuple(member.device for member in members[:active]),
        spares=tuple(member.device for member in members[active:]),
        metadata=array.metadata,
        member_bytes=floor_mib(min(sizes) - md.OVERHEAD_BYTES),
    )
    volume = None
    if array.vg is None:
        volume = maker.volume(
            array.at, array.id, array.content, spec.device, size_bytes
        )
    return Array(array.at, spec, size_bytes, array.vg, volume)


def _bcache(
    wanted: model.Bcache, layout: model.Layout, found: Homes, maker: Maker
) -> Bcache:
    """Return the set on its members."""
    (backing,) = (
        found[m.at] for m in layout.members("bcache_backing", wanted.id)
    )
    caches = (found[m.at] for m in layout.members("bcache_cache", wanted.id))
    spec = bcache.Set(
        device=f"/dev/bcache/{wanted.id}",
        uuid=maker.uuid(wanted.at, wanted.id, "bcache"),
        backing=backing.device,
        caches=tuple(cache.device for cache in caches),
        mode=wanted.mode,
    )
    volume = maker.volume(
        wanted.at,
        wanted.id,
        wanted.content,
        spec.device,
        backing.size_bytes - bcache.OVERHEAD_BYTES,
    )
    return Bcache(wanted.at, spec, volume)


def _group(
    group: model.Group,
    layout: model.Layout,
    found: Homes,
    arrays: Sequence[Array],
    maker: Maker,
) -> Group:
    """Return the group laid out. Raises ProblemError."""
    pvs = {
        **{
            found[member.at].device: found[member.at].size_bytes
            for member in layout.members("pv", group.id)
        },
        **{a.spec.device: a.size_bytes for a in arrays if a.vg == group.id},
    }
    extents = {pv: lvm.extents(size) for pv, size in pvs.items()}
    size_bytes = sum(extents.values()) * lvm.EXTENT_BYTES
    thick = [lv for lv in group.volumes if lv.layout != "thin"]
    sizes = _sizes(group, size_bytes, thick, [_cost(group, v) for v in thick])
    for pool in (lv for lv in group.volumes if lv.layout == "thin-pool"):
        thin = [lv for lv in group.volumes if lv.pool == pool.name]
        costs = [_thin_cost(thin)] * len(thin)
        sizes |= _sizes(group, sizes[pool.at], thin, costs)
    wanted = {lv.at: _wanted(group, lv, sizes[lv.at]) for lv in group.volumes}
    _refuse_crowded(group, wanted, [*extents.values()])
    return Group(
        at=group.at,
        name=group.id,
        pvs=tuple(pvs),
        size_bytes=size_bytes,
        volumes=tuple(
            LogicalVolume(
                wanted[lv.at],
                maker.volume(
                    lv.at,
                    lv.name,
                    lv.content,
                    wanted[lv.at].device,
                    sizes[lv.at],
                ),
            )
            for lv in group.volumes
        ),
    )


def _sizes(
    group: model.Group,
    base_bytes: int,
    volumes: Sequence[model.LogicalVolume],
    costs: Sequence[Cost],
) -> dict[str, int]:
    """Return the bytes of ``volumes``, by path."""
    wanted = [lv.size for lv in volumes]
    asked = [True] * len(wanted)
    try:
        sizes = allot(wanted, base_bytes, base_bytes, asked, costs)
    except NoSpaceError as error:
        at = group.at
        if error.index is not None:
            at = f"{volumes[error.index].at}.size"
        raise MachineError(
            at, f"{error} (group {group.id}, {mib_text(base_bytes)})"
        ) from error
    return {lv.at: size for lv, size in zip(volumes, sizes, strict=True)}


def _cost(group: model.Group, lv: model.LogicalVolume) -> Cost:
    copies = lv.areas if lv.layout == "raid1" else 1
    unit = lvm.EXTENT_BYTES * (lv.areas if lv.layout == "striped" else 1)

    def more(size_bytes: int) -> int:
        taken = lvm.consumed_extents(_wanted(group, lv, size_bytes))
        return taken * lvm.EXTENT_BYTES - copies * size_bytes

    return Cost(unit, copies, more)


def _thin_cost(thin: Sequence[model.LogicalVolume]) -> Cost:
    """Return what each takes of its pool when it is made, which is nothing.

    So more can be promised than the pool has, but not with "remaining".
    """
    is_shared_out = any(lv.size.kind == "remaining" for lv in thin)
    return Cost(lvm.EXTENT_BYTES, copies=1 if is_shared_out else 0)


def _wanted(
    group: model.Group, lv: model.LogicalVolume, size_bytes: int
) -> lvm.Wanted:
    return lvm.Wanted(
        group=group.id,
        name=lv.name,
        layout=lv.layout,
        size_bytes=size_bytes,
        stripes=lv.areas if lv.layout == "striped" else None,
        mirrors=lv.areas - 1 if lv.layout == "raid1" else None,
        pool=lv.pool,
    )


def _refuse_crowded(
    group: model.Group,
    wanted: Mapping[str, lvm.Wanted],
    free: list[int],
) -> None:
    """Raise MachineError if parts that must be apart cannot be.

    ``free`` are the extents of each physical volume. LVM takes the ones
    with the most space first, and so does this.
    """
    apart = (lv for lv in group.volumes if lv.areas > 1)
    for lv in apart:
        each = lvm.consumed_extents(wanted[lv.at]) // lv.areas
        needed = each * lv.areas
        if sum(min(extents, each) for extents in free) < needed:
            raise MachineError(
                f"{lv.at}.size",
                f"{lv.areas} parts of {mib_text(each * lvm.EXTENT_BYTES)} on"
                f" pvs of their own do not fit the group {group.id}",
            )
        for index in sorted(range(len(free)), key=lambda i: -free[i]):
            taken = min(free[index], each, needed)
            free[index] -= taken
            needed -= taken
