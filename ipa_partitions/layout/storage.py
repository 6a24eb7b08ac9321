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

"""What is wrong with groups, arrays and sets, whatever the machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from ipa_partitions.errors import LackError, LayoutError
from ipa_partitions.layout import model
from ipa_partitions.layout.mounts import contents

_OWNERS = {
    "pv": "vg",
    "raid": "raid",
    "bcache_backing": "bcache",
    "bcache_cache": "bcache",
}

_MIN_MEMBERS = {0: 2, 1: 2, 4: 3, 5: 3, 6: 4, 10: 2}
# Its superblock has no room for more: linux/raid/md_p.h, MD_SB_DISKS. md(4)
# says 28.
_MAX_MEMBERS_0_90 = 27
# 32 bytes hold "any:" and the name: mdadm(8).
_ARRAY_NAME_LENGTH = 27

# lvm(8), VALID NAMES. A mount may make another one.
_NAME = re.compile(r"[A-Za-z0-9_.+][A-Za-z0-9_.+-]*")
# The same: the volumes that a raid or a pool is made of.
_LVM_RESERVED = re.compile(
    r"(snapshot|pvmove).*|.*_(cdata|cmeta|corig|cpool|cvol|mimage|mlog"
    r"|pmspare|rimage|rmeta|tdata|tmeta|vdata|vorigin|wcorig|imeta|iorig).*"
)
# dm names double each "-" and are shorter than 128.
_LVM_NAME_LENGTH = 120

_KEY_OF_LAYOUT = {"striped": "stripes", "raid1": "mirrors", "thin": "pool"}


def storage_problems(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield what is wrong with groups, arrays, sets and their members."""
    yield from _references(layout)
    for group in layout.groups:
        yield from _group_problems(group)
        yield from _group_members(layout, group)
    for array in layout.arrays:
        yield from _array_problems(array)
        yield from _array_members(layout, array)
    for bcache in layout.bcaches:
        yield from _bcache_members(layout, bcache)
    for at, content in contents(layout):
        yield from _subvolume_problems(at, content)


def _memberships(layout: model.Layout) -> Iterator[tuple[str, str, str]]:
    """Yield the path, the role and the owner of every member."""
    for disk in layout.disks:
        for volume in disk.volumes:
            if volume.member_of:
                at = f"{volume.at}.{_OWNERS[volume.role]}"
                yield at, volume.role, volume.member_of
    for array in layout.arrays:
        if array.vg:
            yield f"{array.at}.vg", "pv", array.vg


def _references(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield every member of a group, array or set that is not there."""
    there = {
        "vg": [group.id for group in layout.groups],
        "raid": [array.id for array in layout.arrays],
        "bcache": [bcache.id for bcache in layout.bcaches],
    }
    for at, role, owner in _memberships(layout):
        if owner not in there[_OWNERS[role]]:
            yield LackError(
                at,
                f"there is no {_OWNERS[role]} {owner!r};"
                f" there is {', '.join(there[_OWNERS[role]]) or 'none'}",
                "entries",
            )


def _group_problems(group: model.Group) -> Iterator[LayoutError]:
    if _LVM_RESERVED.fullmatch(group.id) or len(group.id) > _LVM_NAME_LENGTH:
        yield LayoutError(
            f"{group.at}.id", f"{group.id!r} is no name for a group"
        )
    seen: set[str] = set()
    pools = [lv.name for lv in group.volumes if lv.layout == "thin-pool"]
    for lv in group.volumes:
        at = f"{lv.at}.{lv.name_key}"
        if lv.name in seen:
            yield LayoutError(at, f"a second {lv.name!r} in the group")
        seen.add(lv.name)
        yield from _nameless(at, lv.name)
        if _LVM_RESERVED.fullmatch(lv.name):
            yield LayoutError(at, f"LVM keeps names such as {lv.name!r}")
        if _dm_length(group.id) + _dm_length(lv.name) > _LVM_NAME_LENGTH:
            yield LayoutError(at, "with its group's the name is too long")
        yield from _volume_problems(lv, pools)


def _nameless(at: str, name: str) -> Iterator[LayoutError]:
    """Yield that ``name``, which its mount made, is none."""
    if not _NAME.fullmatch(name):
        yield LayoutError(at, f"makes the name {name!r}: give it another name")


def _dm_length(name: str) -> int:
    return len(name) + name.count("-")


def _volume_problems(
    lv: model.LogicalVolume, pools: list[str]
) -> Iterator[LayoutError]:
    for layout, key in _KEY_OF_LAYOUT.items():
        if getattr(lv, key) is not None and lv.layout != layout:
            yield LayoutError(
                f"{lv.at}.{key}", f"is for the layout {layout} alone"
            )
    if lv.layout == "thin" and lv.pool is None:
        yield LayoutError(f"{lv.at}.pool", "is required for the layout thin")
    elif lv.layout == "thin" and lv.pool not in pools:
        yield LackError(
            f"{lv.at}.pool",
            f"there is no thin-pool {lv.pool!r} in the group;"
            f" there is {', '.join(pools) or 'none'}",
            "members",
        )
    if lv.layout == "thin-pool" and _holds_something(lv.content):
        yield LayoutError(
            lv.at, "a thin-pool holds thin volumes, no filesystem"
        )
    if lv.layout == "thin-pool" and not lv.content.keep_data:
        yield LayoutError(
            f"{lv.at}.keep_data",
            "a thin-pool holds none of its own; say it of its volumes",
        )


def _holds_something(content: model.Content) -> bool:
    """Tell whether it says more than what to keep."""
    return replace(content, keep_data=True) != model.Content()


def _array_problems(array: model.Array) -> Iterator[LayoutError]:
    at = f"{array.at}.{array.name_key}"
    yield from _nameless(at, array.id)
    if len(array.id) > _ARRAY_NAME_LENGTH:
        yield LayoutError(
            at,
            f"{array.id!r} is longer than the {_ARRAY_NAME_LENGTH}"
            " characters of an array's name",
        )
    if array.level == 0 and array.spares:
        yield LayoutError(f"{array.at}.spares", "level 0 can use no spare")
    if array.level == 0 and array.metadata == "0.90":
        # Linux 5.4 wants to be told how level 0 is laid out, and mdadm(8)
        # has nowhere to write it.
        yield LayoutError(
            f"{array.at}.metadata",
            "0.90 has no room for the layout of level 0",
        )
    if array.vg and _holds_something(array.content):
        yield LayoutError(
            f"{array.at}.vg", "the array has a content of its own already"
        )


def _subvolume_problems(
    at: str, content: model.Content
) -> Iterator[LayoutError]:
    if content.subvolumes and content.file_system != "btrfs":
        yield LayoutError(
            f"{at}.subvolumes", f"{content.file_system} has none, btrfs has"
        )
    seen: set[str] = set()
    for n, each in enumerate(content.subvolumes):
        here = f"{at}.subvolumes[{n}]"
        if each.name in seen:
            yield LayoutError(f"{here}.name", f"a second {each.name!r}")
        seen.add(each.name)
        if each.mount in ("swap", "multiboot"):
            yield LayoutError(
                f"{here}.mount", f"a subvolume cannot be {each.mount}"
            )


def _group_members(
    layout: model.Layout, group: model.Group
) -> Iterator[LayoutError]:
    pvs = len(layout.members("pv", group.id)) + sum(
        array.vg == group.id for array in layout.arrays
    )
    if not pvs:
        yield LackError(f"{group.at}.id", "the group has no pv", "members")
    for lv in group.volumes:
        if pvs and lv.areas > pvs:
            yield LackError(
                f"{lv.at}.{_KEY_OF_LAYOUT[lv.layout]}",
                f"{lv.layout} takes {lv.areas} pvs, the group has {pvs}",
                "members",
            )


def _array_members(
    layout: model.Layout, array: model.Array
) -> Iterator[LayoutError]:
    members = layout.members("raid", array.id)
    is_short = array.at in {member.at for member in members}
    needed = _MIN_MEMBERS[array.level] + array.spares
    if len(members) < needed:
        yield LackError(
            f"{array.at}.{'mount' if is_short else 'level'}",
            f"level {array.level} with {array.spares} spares takes"
            f" {needed} members, here are {len(members)}",
            "members",
        )
    if array.metadata == "0.90" and len(members) > _MAX_MEMBERS_0_90:
        yield LayoutError(
            f"{array.at}.metadata",
            f"0.90 has room for {_MAX_MEMBERS_0_90} members",
        )
    for member in members:
        if is_short and member.content != array.content:
            yield LayoutError(
                member.at,
                f"is not described as {array.at}, the same array by its mount",
            )
        elif not is_short and _holds_something(member.content):
            yield LayoutError(
                member.at,
                f"the array {array.id!r} has the filesystem, not its members",
            )
    homes = Counter(member.at.rpartition(".")[0] for member in members)
    doubled = [at for at, count in homes.items() if count > 1]
    if is_short and doubled:
        yield LayoutError(
            f"{array.at}.mount",
            f"two members of one array are on {doubled[0]}; where that is"
            " meant, name the array",
        )


def _bcache_members(
    layout: model.Layout, bcache: model.Bcache
) -> Iterator[LayoutError]:
    if bcache.id in ("by-uuid", "by-label"):
        yield LayoutError(
            f"{bcache.at}.id", f"udev keeps /dev/bcache/{bcache.id}"
        )
    if len(layout.members("bcache_backing", bcache.id)) != 1:
        yield LackError(
            f"{bcache.at}.id",
            "a set has exactly one bcache_backing",
            "members",
        )
    # drivers/md/bcache/super.c: MAX_CACHES_PER_SET has never been more.
    if len(layout.members("bcache_cache", bcache.id)) > 1:
        yield LayoutError(
            f"{bcache.at}.id", "a set has at most one bcache_cache"
        )
