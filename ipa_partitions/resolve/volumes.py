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

from collections.abc import Sequence
from typing import Literal

from ipa_partitions.errors import LayoutError, LayoutErrors
from ipa_partitions.layout import model
from ipa_partitions.layout.build import service_volume
from ipa_partitions.resolved import SpaceRequest

Firmware = Literal["bios", "uefi", "both"]


def find_boot_disks(layout: model.Layout) -> tuple[model.Disk, ...]:
    """Return the disks for the loader: those named, or else the first."""
    if layout.boot.loader == model.NONE or not layout.systems:
        return ()
    named = tuple(disk for disk in layout.disks if disk.boot)
    possible = (
        disk
        for disk in layout.disks
        if disk.boot is None and disk.table != model.NONE
    )
    chosen = named or tuple(possible)[:1]
    if not chosen:
        raise LayoutErrors(
            [LayoutError("$.partitions", "there is no disk to boot from")]
        )
    return chosen


def disk_volumes(
    disk: model.Disk,
    layout: model.Layout,
    firmware: Firmware,
    boot_disks: Sequence[model.Disk],
    requests: Sequence[SpaceRequest],
) -> tuple[model.Volume, ...]:
    """Return the disk's volumes with those that are implicit: SPEC 3.2."""
    if disk not in boot_disks:
        return disk.volumes
    roles = []
    if firmware != "uefi" and disk.table == "gpt":
        roles.append("bios_boot")
    if firmware != "bios":
        roles.append("esp")
    is_first = disk is boot_disks[0]
    if is_first and len(layout.systems) > 1 and not _has(layout, "multiboot"):
        roles.append("multiboot")
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
            keep_data=False,
        ),
    )
