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

"""Resolve a layout against a machine: find disks, allot bytes, name all.

Pure: the machine was probed, or imagined, before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ipa_partitions.disk import machine as there
from ipa_partitions.errors import ProblemError, raise_all
from ipa_partitions.layout import model
from ipa_partitions.layout.classic import as_written
from ipa_partitions.layout.mounts import block_volumes, contents, deploys
from ipa_partitions.resolve.disks import find_disks
from ipa_partitions.resolve.geometry import Maker, lay_out
from ipa_partitions.resolve.members import too_small
from ipa_partitions.resolve.storage import resolve_storage
from ipa_partitions.resolve.systems import (
    block_targets,
    find_multiboot,
    resolve_systems,
)
from ipa_partitions.resolve.volumes import (
    Firmware,
    disk_volumes,
    find_boot_disks,
    loader_disks,
    refuse_homeless,
)
from ipa_partitions.resolved import ResolvedLayout, SpaceRequest


def resolve(
    layout: model.Layout,
    machine: there.Machine,
    seed: str,
    requests: Sequence[SpaceRequest] = (),
) -> ResolvedLayout:
    """Return all that ``layout`` will be on ``machine``.

    ``seed`` is a UUID from which every other one is made. Raises
    MachineErrors, or LayoutErrors where no machine would do.
    """
    errors: list[ProblemError] = []
    found = find_disks(layout, machine, errors)
    firmware = _firmware(layout, machine)
    boot_disks = find_boot_disks(layout)
    refuse_homeless(layout, boot_disks, requests)
    with_loader = loader_disks(layout, boot_disks)
    maker = Maker(seed, layout.policy, block_targets(layout))
    disks = tuple(
        lay_out(
            disk,
            found[disk.at],
            disk_volumes(disk, layout, firmware, boot_disks, requests),
            disk in with_loader,
            maker,
            errors,
        )
        for disk in layout.disks
        if disk.at in found
    )
    raise_all(as_written(layout.form, errors))
    storage = resolve_storage(layout, disks, maker)
    resolved = ResolvedLayout(
        layout=layout,
        firmware=firmware,
        disks=disks,
        arrays=storage.arrays,
        groups=storage.groups,
        bcaches=storage.bcaches,
        systems=(),
        multiboot=find_multiboot(disks)
        if with_loader and len(layout.systems) > 1
        else None,
        default_system=layout.default_system,
        seed=seed,
        tells_firmware=machine.firmware == "uefi" and firmware != "bios",
        warnings=(*layout.warnings, *_warnings(layout, firmware)),
    )
    raise_all(as_written(layout.form, too_small(resolved.volumes)))
    return replace(resolved, systems=resolve_systems(layout, resolved.volumes))


def _warnings(layout: model.Layout, firmware: Firmware) -> Iterator[str]:
    yield from _config_drive_warnings(layout)
    for image in layout.images:
        for at, content in block_volumes(layout, image):
            if content.mkfs_options and deploys(layout.policy, image, content):
                yield (
                    f"{at}.mkfs_options: the image {image.name!r} brings its"
                    " own filesystem, unless its files have to be copied"
                )
    boot = layout.boot
    if boot.loader == model.NONE or not layout.systems:
        return
    if boot.fallback and len(layout.systems) == 1:
        yield "$.boot.fallback: there is no second system to fall back to"
    for at, content in contents(layout):
        names = {image.name for image in layout.systems} & {*content.images}
        if "/boot" in dict(content.mounts) and len(names) > 1:
            yield (
                f"{at}: is /boot of {' and '.join(sorted(names))}: each boots"
                " the newest kernel in it"
            )
    if boot.secure_boot is True and firmware == "bios":
        yield "$.boot.secure_boot: BIOS has no Secure Boot"


def _config_drive_warnings(layout: model.Layout) -> Iterator[str]:
    drive = layout.configdrive
    if not drive or drive.is_hidden:
        return
    if str(drive.content).startswith("http://"):
        yield "$.configdrive: comes over plain http and cannot be checked"
    if layout.policy == "clean":
        return
    for disk in layout.disks:
        for volume in disk.volumes:
            if volume.name == model.CONFIG_DRIVE and volume.content.keep_data:
                yield f"{volume.at}: keeps the config drive that it has"


def _firmware(layout: model.Layout, machine: there.Machine) -> Firmware:
    if layout.boot.firmware == "auto":
        return machine.firmware
    return layout.boot.firmware
