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

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ipa_partitions import registry
from ipa_partitions.disk import machine as there
from ipa_partitions.disk import match
from ipa_partitions.disk.filesystem import known
from ipa_partitions.disk.size import MIB, ceil_mib, floor_mib, mib_text
from ipa_partitions.disk.space import NoSpaceError, allot
from ipa_partitions.errors import (
    LayoutError,
    LayoutErrors,
    MachineError,
    MachineErrors,
    ProblemError,
)
from ipa_partitions.later import refusals
from ipa_partitions.layout import model
from ipa_partitions.layout.build import SERVICE_SIZES, service_volume
from ipa_partitions.layout.check import contents, holder
from ipa_partitions.resolved import (
    Disk,
    Partition,
    ResolvedLayout,
    SpaceRequest,
    System,
    Volume,
)

Firmware = Literal["bios", "uefi", "both"]

# The first MiB holds the table; on gpt the last one holds its copy.
_RESERVED_BYTES = {"gpt": 2 * MIB, "msdos": MIB, "none": 0}
_MSDOS_PARTITIONS = 4
_MSDOS_SECTORS = 2**32


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
    _raise_all(refusals(layout, machine))
    found = _find_disks(layout, machine)
    firmware = _firmware(layout, machine)
    boot_disks = _boot_disks(layout)
    maker = _Maker(seed, layout.policy, _block_targets(layout))
    errors: list[ProblemError] = []
    disks = tuple(
        _disk(
            disk,
            found[disk.at],
            _volumes(disk, layout, firmware, boot_disks, requests),
            disk in boot_disks,
            maker,
            errors,
        )
        for disk in layout.disks
    )
    _raise_all(errors)
    systems = _systems(layout, disks)
    return ResolvedLayout(
        layout=layout,
        firmware=firmware,
        disks=disks,
        systems=systems,
        multiboot=_multiboot(disks) if boot_disks else None,
        default_system=_default_system(layout),
        seed=seed,
        warnings=layout.warnings,
    )


@dataclass(frozen=True)
class _Maker:
    """Makes volumes: what they share, and every UUID out of one seed.

    ``block_targets`` are the paths of those that an image is written onto.
    """

    seed: str
    policy: Literal["verify", "clean"]
    block_targets: frozenset[str]

    def uuid(self, *what: str) -> str:
        """Return the UUID of ``what``, always the same for one seed."""
        return str(uuid.uuid5(uuid.UUID(self.seed), " ".join(what)))

    def volume(
        self, volume: model.Volume, device: str, size_bytes: int
    ) -> Volume:
        """Return ``volume`` on its device."""
        content, identity = volume.content, ""
        if content.file_system != model.NONE:
            identity = known()[content.file_system].uuid_text(
                content.uuid or self.uuid(volume.at, volume.name, "filesystem")
            )
        return Volume(
            at=volume.at,
            name=volume.name,
            device=device,
            size_bytes=size_bytes,
            content=content,
            uuid=identity,
            is_new=self.policy == "clean" or not content.keep_data,
            block_image=volume.at in self.block_targets,
        )


def _raise_all(errors: Iterable[ProblemError]) -> None:
    every = tuple(errors)
    for kind, group in (
        (LayoutError, LayoutErrors),
        (MachineError, MachineErrors),
    ):
        of_kind = [error for error in every if isinstance(error, kind)]
        if of_kind:
            raise group(of_kind)


def _find_disks(
    layout: model.Layout, machine: there.Machine
) -> dict[str, there.Disk]:
    """Return the disk that is meant, by the path in the document."""
    found: dict[str, there.Disk] = {}
    errors = []
    for disk in layout.disks:
        at = f"{disk.at}.id" if layout.form == "layout" else disk.at
        try:
            it = _find(disk.id, machine)
        except match.NoSingleDiskError as error:
            errors.append(MachineError(at, str(error)))
            continue
        twin = next((a for a, d in found.items() if d == it), None)
        if twin:
            errors.append(
                MachineError(at, f"{it.device} is the disk of {twin} already")
            )
        found[disk.at] = it
    _raise_all(errors)
    return found


def _find(wanted: model.DiskId, machine: there.Machine) -> there.Disk:
    if wanted.type == "os_install":
        return match.os_install(machine)
    if wanted.type == "hints":
        return match.by_hints(machine, wanted.hints)
    by = {
        "name": match.by_name,
        "path": match.by_path,
        "scsi": match.by_scsi,
    }[wanted.type]
    return by(machine, wanted.value)


def _firmware(layout: model.Layout, machine: there.Machine) -> Firmware:
    if layout.boot.firmware == "auto":
        return machine.firmware
    return layout.boot.firmware


def _boot_disks(layout: model.Layout) -> tuple[model.Disk, ...]:
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


def _volumes(
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


def _disk(
    disk: model.Disk,
    found: there.Disk,
    volumes: tuple[model.Volume, ...],
    is_boot: bool,
    maker: _Maker,
    errors: list[ProblemError],
) -> Disk:
    """Return the disk laid out; what does not fit is added to ``errors``."""
    sizes: list[int] = []
    try:
        sizes = _sizes(disk, found, volumes)
    except ProblemError as error:
        errors.append(error)
    errors += _table_problems(disk, found, volumes, sizes)
    has_table = disk.table != model.NONE
    resolved = Disk(
        at=disk.at,
        device=found.device,
        size_bytes=found.size_bytes,
        sector_bytes=found.sector_bytes,
        table=disk.table,
        uuid=maker.uuid(disk.at, "disk"),
        is_boot=is_boot,
        partitions=(),
    )
    if not has_table and volumes:
        whole = maker.volume(volumes[0], found.device, found.size_bytes)
        return replace(resolved, whole=whole)
    return replace(
        resolved,
        partitions=tuple(_partitions(found.device, volumes, sizes, maker)),
    )


def _sizes(
    disk: model.Disk, found: there.Disk, volumes: tuple[model.Volume, ...]
) -> list[int]:
    """Return the bytes of every volume. Raises ProblemError."""
    if disk.table == model.NONE:
        return [found.size_bytes for _ in volumes]
    budget, base_bytes = disk.budget_bytes, found.size_bytes
    if budget is not None:
        if budget > base_bytes:
            raise MachineError(
                f"{disk.at}.size",
                f"{mib_text(budget)} is more than {found}",
            )
        base_bytes = min(base_bytes, ceil_mib(budget))
    usable = floor_mib(base_bytes) - _RESERVED_BYTES[disk.table]
    kind = MachineError if budget is None else LayoutError
    try:
        return allot(
            [volume.size for volume in volumes],
            base_bytes,
            max(0, usable),
            [volume.role not in SERVICE_SIZES for volume in volumes],
        )
    except NoSpaceError as error:
        at = disk.at
        if error.index is not None:
            at = f"{volumes[error.index].at}.size"
        raise kind(
            at, f"{error} ({found.device}, {mib_text(base_bytes)})"
        ) from error


def _table_problems(
    disk: model.Disk,
    found: there.Disk,
    volumes: tuple[model.Volume, ...],
    sizes: list[int],
) -> Iterator[ProblemError]:
    """Yield what an msdos table cannot hold on this disk."""
    if disk.table != "msdos":
        return
    if len(volumes) > _MSDOS_PARTITIONS >= len(disk.volumes):
        yield LayoutError(
            f"{disk.at}.volumes",
            f"with {', '.join(v.name for v in volumes[: -len(disk.volumes)])}"
            f" {len(volumes)} partitions do not fit an msdos table",
        )
    end_bytes = MIB + sum(sizes)
    if end_bytes > _MSDOS_SECTORS * found.sector_bytes:
        yield MachineError(
            f"{disk.at}.table",
            f"msdos ends at {mib_text(_MSDOS_SECTORS * found.sector_bytes)},"
            f" the volumes at {mib_text(end_bytes)}",
        )


def _partitions(
    device: str,
    volumes: Sequence[model.Volume],
    sizes: Sequence[int],
    maker: _Maker,
) -> Iterator[Partition]:
    start_bytes = MIB
    for number, (volume, size) in enumerate(
        zip(volumes, sizes, strict=False), start=1
    ):
        yield Partition(
            number=number,
            role=volume.role,
            type_guid=volume.type_guid,
            uuid=maker.uuid(volume.at, volume.name, "partition"),
            start_bytes=start_bytes,
            size_bytes=size,
            volume=maker.volume(
                volume, partition_device(device, number), size
            ),
        )
        start_bytes += size


def partition_device(disk: str, number: int) -> str:
    """Return the node of a partition, as the kernel names it."""
    # block/partitions/core.c: "p" parts the digits of a disk from its own.
    return f"{disk}{'p' if re.search(r'[0-9]$', disk) else ''}{number}"


def _block_targets(layout: model.Layout) -> frozenset[str]:
    """Return the paths of the volumes that block images are written onto.

    Raises LayoutErrors where the target of one is not a volume.
    """
    deployers = registry.load("deployers")
    targets, errors = set(), []
    for image in layout.images:
        if deployers[image.disk_format].kind != "block":
            continue
        holding = [
            (at, content)
            for at, content in contents(layout)
            if image.name in content.images and content.mount == image.target
        ]
        if not holding:
            errors.append(
                LayoutError(
                    f"{image.at}.target",
                    f"a {image.disk_format} image needs a volume with the"
                    f" mount {image.target}",
                )
            )
        targets |= {
            at
            for at, content in holding
            if _deploys(layout.policy, image, content)
        }
    _raise_all(errors)
    return frozenset(targets)


def _deploys(policy: str, image: model.Image, onto: model.Content) -> bool:
    """Tell whether the image is deployed: SPEC 3.3."""
    if image.deploy == "auto":
        return policy == "clean" or not onto.keep_data
    return image.deploy == "always"


def _systems(
    layout: model.Layout, disks: Sequence[Disk]
) -> tuple[System, ...]:
    """Return every image with the volumes that it mounts."""
    volumes = [volume for disk in disks for volume in disk.volumes]
    return tuple(_system(layout, image, volumes) for image in layout.images)


def _system(
    layout: model.Layout, image: model.Image, volumes: Sequence[Volume]
) -> System:
    own = [volume for volume in volumes if image.name in volume.content.images]
    mounts = sorted(
        (volume for volume in own if volume.content.is_mounted),
        # Parents first: "/" has no parts.
        key=lambda volume: volume.content.mount.strip("/").split("/"),
    )
    target = holder(image.target, [v.content.mount for v in mounts])
    onto = next(v for v in mounts if v.content.mount == target)
    return System(
        image=image,
        mounts=tuple(mounts),
        swaps=tuple(v for v in own if v.content.mount == "swap"),
        deploys=_deploys(layout.policy, image, onto.content),
    )


def _multiboot(disks: Sequence[Disk]) -> Volume | None:
    return next(
        (
            partition.volume
            for disk in disks
            for partition in disk.partitions
            if partition.role == "multiboot"
        ),
        None,
    )


def _default_system(layout: model.Layout) -> int:
    """Return which of the systems is the default: SPEC 2.6."""
    chosen = [n for n, image in enumerate(layout.systems) if image.boot]
    return chosen[0] if chosen else 0
