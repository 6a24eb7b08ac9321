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

"""Which volumes a disk gets: those of the document, and the implicit ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from ipa_partitions.errors import LayoutError, raise_all
from ipa_partitions.layout import model
from ipa_partitions.layout.build import service_volume
from ipa_partitions.resolved import SpaceRequest

Firmware = Literal["bios", "uefi", "both"]


def find_boot_disks(layout: model.Layout) -> tuple[model.Disk, ...]:
    """Return the disks to boot from: those named, or else the first.

    With the first go the disks that share an array which is booted from, so
    that each of them boots alone. They are also where what actions ask for
    goes. Without a loader or a system nothing is added for booting, see
    ``disk_volumes``.
    """
    named = tuple(disk for disk in layout.disks if disk.boot)
    possible = tuple(disk for disk in layout.disks if disk.may_boot)
    return named or _with_mirrors(possible, layout)


def _with_mirrors(
    possible: tuple[model.Disk, ...], layout: model.Layout
) -> tuple[model.Disk, ...]:
    mirrored = {
        member.at
        for array in booted_arrays(layout)
        for member in layout.members("raid", array.id)
    }
    return tuple(
        disk
        for n, disk in enumerate(possible)
        if n == 0 or any(volume.at in mirrored for volume in disk.volumes)
    )


def booted_arrays(layout: model.Layout) -> Iterator[model.Array]:
    """Yield the arrays that hold the root or /boot of a system."""
    systems = {image.name for image in layout.systems}
    groups = {
        group.id
        for group in layout.groups
        if any(_is_booted(lv.content, systems) for lv in group.volumes)
    }
    for array in layout.arrays:
        if array.vg in groups or _is_booted(array.content, systems):
            yield array


def _is_booted(content: model.Content, systems: set[str]) -> bool:
    mounts = {mount for mount, _ in content.mounts}
    return bool(mounts & {"/", "/boot"} and systems & {*content.images})


def _needs_loader(layout: model.Layout) -> bool:
    return layout.boot.loader != model.NONE and bool(layout.systems)


def refuse_homeless(
    layout: model.Layout,
    boot_disks: tuple[model.Disk, ...],
    requests: Sequence[SpaceRequest],
) -> None:
    """Raise LayoutErrors if there is no disk for what actions ask for."""
    names = {volume.name for disk in layout.disks for volume in disk.volumes}
    raise_all(
        LayoutError(
            "$.partitions", f"there is no disk for the partition {each.name!r}"
        )
        for each in requests
        if not boot_disks and each.name not in names
    )


def loader_disks(
    layout: model.Layout, boot_disks: tuple[model.Disk, ...]
) -> tuple[model.Disk, ...]:
    """Return the disks that a loader goes to: all to boot from, or none."""
    return boot_disks if _needs_loader(layout) else ()


def disk_volumes(
    disk: model.Disk,
    layout: model.Layout,
    firmware: Firmware,
    boot_disks: tuple[model.Disk, ...],
    requests: Sequence[SpaceRequest],
) -> tuple[model.Volume, ...]:
    """Return the disk's volumes with those that are implicit: SPEC 3.2."""
    if disk not in boot_disks:
        return disk.volumes
    is_first = disk is boot_disks[0]
    roles = []
    if _needs_loader(layout):
        roles = [*_service_roles(disk, layout, firmware, is_first)]
    placed = {volume.role for volume in disk.volumes}
    names = {volume.name for each in layout.disks for volume in each.volumes}
    return (
        *(
            service_volume(disk.at, role)
            for role in roles
            if role not in placed
        ),
        *(
            _requested(disk, request)
            for request in requests
            if is_first and request.name not in names
        ),
        *disk.volumes,
    )


def _service_roles(
    disk: model.Disk, layout: model.Layout, firmware: Firmware, is_first: bool
) -> Iterator[str]:
    if firmware != "uefi" and disk.table == "gpt":
        yield "bios_boot"
    if firmware != "bios":
        yield "esp"
    if is_first and len(layout.systems) > 1 and not _has(layout, "multiboot"):
        yield "multiboot"


def _has(layout: model.Layout, role: str) -> bool:
    return any(
        volume.role == role for disk in layout.disks for volume in disk.volumes
    )


def _requested(disk: model.Disk, request: SpaceRequest) -> model.Volume:
    return model.Volume(
        at=disk.at,
        name=request.name,
        role="partition",
        size=request.size,
        type_guid=request.type_guid,
        content=model.Content(
            file_system=request.file_system,
            label=request.label,
            keep_data=request.keep_data,
        ),
        is_requested=True,
    )
