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

"""Members of arrays, groups and sets: what each can be a member of.

What a size alone decides, and no document tells before its disks are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ipa_partitions.disk import bcache, luks, lvm, md
from ipa_partitions.disk.filesystem import known
from ipa_partitions.disk.size import MIB, mib_text
from ipa_partitions.errors import MachineError, ProblemError
from ipa_partitions.layout import model
from ipa_partitions.resolved import Disk, Volume

Homes = Mapping[str, Volume]

# For mdadm(8), one extent, and more than 512 buckets of 512 KiB, which the
# kernel wants: drivers/md/bcache/super.c, cache_alloc.
_LEAST_BYTES = {
    "raid": md.OVERHEAD_BYTES + MIB,
    "pv": MIB + lvm.EXTENT_BYTES,
    "bcache_backing": bcache.OVERHEAD_BYTES + MIB,
    "bcache_cache": 257 * MIB,
}

# md(4), of kernels since 3.1.
_MOST_BYTES_0_90 = 4 * 1024**2 * MIB


def member_problems(
    layout: model.Layout, disks: Sequence[Disk]
) -> Iterator[ProblemError]:
    """Yield every member that cannot be one."""
    found = homes(disks)
    yield from _too_small(layout, found)
    yield from _not_for_mdadm(layout, found)
    if layout.policy == "clean":
        yield from _not_for_lvm(layout, disks)


def homes(disks: Sequence[Disk]) -> Homes:
    """Return the volumes of ``disks`` by their paths in the document."""
    return {volume.at: volume for disk in disks for volume in disk.volumes}


def _too_small(layout: model.Layout, found: Homes) -> Iterator[ProblemError]:
    """Yield every member that has no room for what it is a member of."""
    for disk in layout.disks:
        for volume in disk.volumes:
            size_bytes = found[volume.at].size_bytes
            needed = _LEAST_BYTES.get(volume.role, 0)
            if size_bytes < needed:
                yield MachineError(
                    f"{volume.at}.size",
                    f"a {volume.role} of {mib_text(size_bytes)} has no room"
                    f" for anything, which takes {mib_text(needed)}",
                )


def _not_for_mdadm(
    layout: model.Layout, found: Homes
) -> Iterator[ProblemError]:
    """Yield every member that mdadm(8) would take another size of, or none."""
    for array in layout.arrays:
        for member in layout.members("raid", array.id):
            volume = found[member.at]
            at, device = f"{array.at}.metadata", volume.home
            # The size of level 0 cannot be given, and mdadm takes more than
            # we do where the superblock is at the end.
            is_cut = volume.size_bytes % MIB and array.metadata == "1.0"
            if is_cut and array.level == 0:
                yield MachineError(
                    at, f"level 0 under 1.0 is of whole MiB, {device} is not"
                )
            is_old = array.metadata == "0.90"
            if is_old and volume.size_bytes > _MOST_BYTES_0_90:
                yield MachineError(
                    at,
                    f"0.90 takes members of {mib_text(_MOST_BYTES_0_90)},"
                    f" {device} has {mib_text(volume.size_bytes)}",
                )


def _not_for_lvm(
    layout: model.Layout, disks: Sequence[Disk]
) -> Iterator[ProblemError]:
    """Yield every group that vgcreate(8) would not make.

    That is one of several sector sizes, unless lvm.conf(5) allows it.
    """
    sectors = {v.at: disk.sector_bytes for disk in disks for v in disk.volumes}
    for group in layout.groups:
        found = {sectors[pv.at] for pv in layout.members("pv", group.id)}
        for array in layout.arrays:
            if array.vg == group.id:
                members = layout.members("raid", array.id)
                # Linux takes the largest: block/blk-settings.c.
                found.add(max(sectors[member.at] for member in members))
        if len(found) > 1:
            yield MachineError(
                group.at,
                f"the group {group.id} would mix sectors of"
                f" {' and '.join(map(str, sorted(found)))} bytes,"
                " which LVM does not do",
            )


def too_small(volumes: Iterable[Volume]) -> Iterator[ProblemError]:
    """Yield every volume with no room for its encryption or filesystem."""
    for volume in volumes:
        name = volume.content.file_system
        least_bytes = known()[name].min_bytes if name in known() else 0
        if volume.inner_bytes <= 0:
            yield MachineError(
                f"{volume.at}.size",
                f"encryption alone takes {mib_text(luks.HEADER_BYTES)}",
            )
        elif (
            volume.inner_bytes < least_bytes
            and volume.is_new
            and not volume.block_image
        ):
            # Arrays and sets have no size of their own.
            has_size = ".volumes[" in volume.at
            yield MachineError(
                f"{volume.at}.size" if has_size else volume.at,
                f"{name} needs {mib_text(least_bytes)}, the volume has"
                f" {mib_text(volume.inner_bytes)}",
            )
