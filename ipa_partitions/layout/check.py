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

"""What is wrong with a layout between its objects, whatever the machine.

Every function yields all that it finds; none stops the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from ipa_partitions import registry
from ipa_partitions.disk.filesystem import MSDOS_TYPES, known
from ipa_partitions.disk.size import Size
from ipa_partitions.errors import LayoutError
from ipa_partitions.layout import model
from ipa_partitions.layout.booting import booting_problems
from ipa_partitions.layout.build import SERVICE_SIZES
from ipa_partitions.layout.images import image_problems
from ipa_partitions.layout.mounts import contents, mount_problems
from ipa_partitions.layout.storage import storage_problems
from ipa_partitions.layout.values import TYPE_GUIDS

_MSDOS_PARTITIONS = 4
_GPT_NAME_LENGTH = 36
_ROLE_FILE_SYSTEMS = {
    # GRUB writes its environment there, and firmware reads FAT.
    "multiboot": ("ext2", "ext3", "ext4"),
    "esp": ("vfat",),
}


def problems(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield everything that is wrong with ``layout``."""
    yield from _doubled_ids(layout)
    yield from storage_problems(layout)
    yield from mount_problems(layout)
    yield from booting_problems(layout)
    for disk in layout.disks:
        yield from _disk_problems(disk)
    for group in layout.groups:
        for pool in {None, *(lv.pool for lv in group.volumes)}:
            yield from _greedy(lv for lv in group.volumes if lv.pool == pool)
    for at, content in contents(layout):
        # What brings a whole disk brings its filesystems, too.
        if not layout.is_whole_disk:
            yield from _content_problems(at, content)
    yield from image_problems(layout.images)
    drive = layout.configdrive
    if layout.is_whole_disk and drive and drive.into != "partition":
        yield LayoutError(
            "$.configdrive", "goes into no image of a whole disk"
        )
    loaders = registry.load("bootloaders")
    if layout.boot.loader not in loaders:
        yield LayoutError(
            "$.boot.loader",
            f"{layout.boot.loader!r} is not one of {', '.join(loaders)}",
        )


def _disk_problems(disk: model.Disk) -> Iterator[LayoutError]:
    yield from _greedy(disk.volumes)
    yield from {
        "gpt": _gpt_problems,
        "msdos": _msdos_problems,
        "none": _tableless_problems,
    }[disk.table](disk)
    seen: set[str] = set()
    for volume in disk.volumes:
        if volume.role in SERVICE_SIZES and volume.role in seen:
            yield LayoutError(volume.at, f"a second {volume.role} on the disk")
        seen.add(volume.role)
        allowed = _ROLE_FILE_SYSTEMS.get(volume.role)
        if allowed and volume.content.file_system not in allowed:
            yield LayoutError(
                f"{volume.at}.file_system",
                f"{volume.content.file_system!r} will not do for"
                f" {volume.role}, which takes {' or '.join(allowed)}",
            )
        if volume.role == "esp" and volume.type_guid != TYPE_GUIDS["esp"]:
            yield LayoutError(
                f"{volume.at}.partition_guid",
                "firmware looks for an ESP by the type esp",
            )
        if allowed and volume.content.encryption:
            yield LayoutError(
                f"{volume.at}.encryption",
                f"neither firmware nor GRUB can open a {volume.role}",
            )
        if volume.role == "multiboot" and volume.content.images:
            yield LayoutError(
                f"{volume.at}.images", "no image mounts the multiboot volume"
            )


def _greedy(
    volumes: Iterable[model.Volume | model.LogicalVolume],
) -> Iterator[LayoutError]:
    """Yield every volume after the first that takes what remains."""
    greedy = [volume for volume in volumes if volume.size.kind == "remaining"]
    for volume in greedy[1:]:
        yield LayoutError(
            f"{volume.at}.size", f"{greedy[0].at} is 'remaining' already"
        )


def _gpt_problems(disk: model.Disk) -> Iterator[LayoutError]:
    for volume in disk.volumes:
        # UTF-16 has two for characters such as emoji.
        if len(volume.name.encode("utf-16-le")) > 2 * _GPT_NAME_LENGTH:
            yield LayoutError(
                f"{volume.at}.{volume.name_key}",
                f"{volume.name!r} is longer than the {_GPT_NAME_LENGTH}"
                " characters of a GPT name",
            )


def _msdos_problems(disk: model.Disk) -> Iterator[LayoutError]:
    if len(disk.volumes) > _MSDOS_PARTITIONS:
        yield LayoutError(
            f"{disk.at}.volumes",
            f"{len(disk.volumes)} volumes do not fit the"
            f" {_MSDOS_PARTITIONS} primary partitions of an msdos table",
        )
    for volume in disk.volumes:
        if volume.type_guid not in MSDOS_TYPES:
            key = ".partition_guid" if volume.role == "partition" else ""
            yield LayoutError(
                f"{volume.at}{key}",
                f"an msdos table has no type for this {volume.role}",
            )


def _tableless_problems(disk: model.Disk) -> Iterator[LayoutError]:
    if len(disk.volumes) != 1:
        yield LayoutError(
            f"{disk.at}.volumes",
            f"{len(disk.volumes)} volumes where table none has exactly one",
        )
    if disk.boot:
        yield LayoutError(
            f"{disk.at}.boot", "a boot loader needs a partition table"
        )
    for volume in disk.volumes:
        if volume.role in SERVICE_SIZES:
            yield LayoutError(
                volume.at, f"a {volume.role} needs a partition table"
            )
        if volume.size not in (
            Size("remaining", Fraction(0)),
            Size("relative", Fraction(1)),
        ):
            yield LayoutError(
                f"{volume.at}.size",
                "without a table the volume takes the whole device:"
                " 'remaining' or '100%'",
            )


def _content_problems(
    at: str, content: model.Content
) -> Iterator[LayoutError]:
    """Yield what the filesystem that ``content`` names does not allow."""
    name, mount = content.file_system, content.mount
    if mount == "multiboot":
        yield LayoutError(f"{at}.mount", "only a partition can be multiboot")
    if name == model.NONE:
        if mount != model.NONE:
            yield LayoutError(
                f"{at}.file_system", f"'none' cannot be mounted: {mount!r}"
            )
        for key in ("label", "uuid"):
            if getattr(content, key) is not None:
                yield LayoutError(
                    f"{at}.{key}", f"there is no filesystem to have a {key}"
                )
        return
    if name not in known():
        yield LayoutError(
            f"{at}.file_system",
            f"{name!r} is not one of {', '.join((*known(), model.NONE))}",
        )
        return
    if mount != model.NONE and (name == "swap") != (mount == "swap"):
        yield LayoutError(
            f"{at}.file_system", f"{name!r} cannot have the mount {mount!r}"
        )
    for key, problem in known()[name].problems(content.label, content.uuid):
        yield LayoutError(f"{at}.{key}", problem)


def _doubled_ids(layout: model.Layout) -> Iterator[LayoutError]:
    entries = [
        *(("disk", str(disk.id), f"{disk.at}.id") for disk in layout.disks),
        *(("vg", group.id, f"{group.at}.id") for group in layout.groups),
        *(("raid", array.id, f"{array.at}.id") for array in layout.arrays),
        *(("bcache", each.id, f"{each.at}.id") for each in layout.bcaches),
        *(
            ("multiboot volume", "multiboot", volume.at)
            for disk in layout.disks
            for volume in disk.volumes
            if volume.role == "multiboot"
        ),
        *(
            ("uuid", content.uuid.lower(), f"{at}.uuid")
            for at, content in contents(layout)
            if content.uuid
        ),
    ]
    first: dict[tuple[str, str], str] = {}
    for kind, name, at in entries:
        if (kind, name) in first:
            yield LayoutError(
                at, f"{name!r} is at {first[kind, name]} already"
            )
        first.setdefault((kind, name), at)
