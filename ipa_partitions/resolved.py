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

"""A layout on one machine: devices, bytes and UUIDs, all decided.

``resolve.resolve`` makes it, the actions are planned from it, and nothing
that is written later is not in it. UUIDs are written as ``blkid`` shows
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from ipa_partitions.disk import bcache, luks, lvm, md
from ipa_partitions.disk.size import Size
from ipa_partitions.disk.tree import Mount
from ipa_partitions.layout import model
from ipa_partitions.layout.images import is_block
from ipa_partitions.layout.mounts import holder
from ipa_partitions.layout.values import TYPE_GUIDS


@dataclass(frozen=True)
class SpaceRequest:
    """A partition that an action asks for, on the first boot disk.

    It comes after the service partitions. A volume of the document with
    this name, wherever it stands, takes its place. ``keep_data`` as in the
    document.
    """

    name: str
    size: Size
    file_system: str = model.NONE
    label: str | None = None
    type_guid: str = TYPE_GUIDS["linux"]
    keep_data: bool = False


@dataclass(frozen=True)
class Volume:
    """A block device of our own making that may hold a filesystem.

    ``uuid`` is that of the filesystem, empty for file system ``none``.
    ``block_image`` says that an image brings the filesystem, so that none
    is made before. Where it is encrypted, ``device`` is the open ``luks``,
    whose own device has ``size_bytes``. With ``subvolume`` it is no more
    than a view of that part of a btrfs filesystem.
    """

    at: str
    name: str
    device: str
    size_bytes: int
    content: model.Content
    uuid: str
    is_new: bool = True
    block_image: bool = False
    luks: luks.Luks | None = None
    subvolume: str = ""

    @property
    def home(self) -> str:
        """The device that holds it, encrypted or not."""
        return self.luks.device if self.luks else self.device

    @property
    def inner_bytes(self) -> int:
        """The size of ``device``."""
        return self.size_bytes - (luks.HEADER_BYTES if self.luks else 0)

    @property
    def mount_options(self) -> tuple[str, ...]:
        """What it takes to mount it and no other part of its filesystem."""
        return (f"subvol={self.subvolume}",) if self.subvolume else ()

    @property
    def place(self) -> Mount:
        """Its place in the tree of an image."""
        return Mount(self.device, self.content.mount, self.mount_options)

    def views(self) -> Iterator[Volume]:
        """Yield it for every place in a tree that it has."""
        content = self.content
        if content.mount != model.NONE:
            yield replace(self, content=replace(content, subvolumes=()))
        for each in content.subvolumes:
            if each.mount != model.NONE:
                yield replace(
                    self,
                    subvolume=each.name,
                    content=replace(content, mount=each.mount, subvolumes=()),
                )


def mount_order(volume: Volume) -> list[str]:
    """Return what sorts mounted volumes, parents first."""
    return [part for part in volume.content.mount.split("/") if part]


@dataclass(frozen=True)
class Partition:
    """One partition, where it will be; ``type_guid`` also for msdos."""

    number: int
    role: str
    type_guid: str
    uuid: str
    start_bytes: int
    size_bytes: int
    volume: Volume


@dataclass(frozen=True)
class Disk:
    """One disk and what will be on it; ``partitions`` none without table.

    ``size_bytes`` is the physical size, ``whole`` the one volume of a disk
    without a table, and ``whole_role`` its type.
    """

    at: str
    device: str
    size_bytes: int
    sector_bytes: int
    table: Literal["gpt", "msdos", "none"]
    uuid: str
    is_boot: bool
    partitions: tuple[Partition, ...]
    whole: Volume | None = None
    whole_role: str = "partition"

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """Everything on it that may hold a filesystem, in its order."""
        if self.whole:
            return (self.whole,)
        return tuple(partition.volume for partition in self.partitions)


@dataclass(frozen=True)
class Array:
    """An MD array; ``volume`` is None for a member of the group ``vg``."""

    at: str
    spec: md.Array
    size_bytes: int
    vg: str | None
    volume: Volume | None


@dataclass(frozen=True)
class LogicalVolume:
    """A volume of a group; a thin pool's holds nothing."""

    spec: lvm.Wanted
    volume: Volume


@dataclass(frozen=True)
class Group:
    """An LVM volume group, ``pvs`` in their order in the document."""

    at: str
    name: str
    pvs: tuple[str, ...]
    size_bytes: int
    volumes: tuple[LogicalVolume, ...]


@dataclass(frozen=True)
class Bcache:
    """A bcache set."""

    at: str
    spec: bcache.Set
    volume: Volume


@dataclass(frozen=True)
class System:
    """An image and the volumes that it mounts.

    ``mounts`` are in mount order, parents first; ``swaps`` have no place in
    the tree, nor has an operating system's ESP while it is deployed: the
    loader there is ours. ``deploys`` is False where the policy leaves it as
    it is.
    """

    image: model.Image
    mounts: tuple[Volume, ...]
    swaps: tuple[Volume, ...]
    deploys: bool
    esps: tuple[Volume, ...] = ()

    @property
    def is_block(self) -> bool:
        """Tell whether its image is written onto a volume, not into it."""
        return is_block(self.image.disk_format)

    @property
    def root(self) -> Volume:
        """The volume mounted on ``/``; only ``os`` images must have one."""
        return next(v for v in self.mounts if v.content.mount == "/")

    @property
    def target(self) -> Volume:
        """The volume that the target of the image is on."""
        mount = holder(
            self.image.target, [v.content.mount for v in self.mounts]
        )
        return next(v for v in self.mounts if v.content.mount == mount)

    @property
    def below(self) -> tuple[Volume, ...]:
        """The volumes mounted below that one."""
        top = PurePosixPath(self.target.content.mount)
        return tuple(
            volume
            for volume in self.mounts
            if top in PurePosixPath(volume.content.mount).parents
        )

    @property
    def boot(self) -> Volume:
        """The volume that its ``/boot`` is on."""
        return next(
            (v for v in self.mounts if v.content.mount == "/boot"), self.root
        )


@dataclass(frozen=True)
class ResolvedLayout:
    """All that will be on this machine.

    ``systems`` has every image, data too, in the document's order.
    ``multiboot`` is the volume of the shared boot loader, None with one
    system or none. ``default_system`` is an index among ``bootable``.
    ``tells_firmware`` says that UEFI runs here, whose boot entries are to
    be made.
    """

    layout: model.Layout
    firmware: Literal["bios", "uefi", "both"]
    disks: tuple[Disk, ...]
    arrays: tuple[Array, ...]
    groups: tuple[Group, ...]
    bcaches: tuple[Bcache, ...]
    systems: tuple[System, ...]
    multiboot: Volume | None
    default_system: int
    seed: str
    tells_firmware: bool = False
    warnings: tuple[str, ...] = ()

    def changed(self, change: Callable[[Volume], Volume]) -> ResolvedLayout:
        """Return the layout with every volume as ``change`` makes it."""

        def changed_disk(disk: Disk) -> Disk:
            return replace(
                disk,
                whole=disk.whole and change(disk.whole),
                partitions=tuple(
                    replace(p, volume=change(p.volume))
                    for p in disk.partitions
                ),
            )

        def changed_group(group: Group) -> Group:
            return replace(
                group,
                volumes=tuple(
                    replace(lv, volume=change(lv.volume))
                    for lv in group.volumes
                ),
            )

        return replace(
            self,
            disks=tuple(map(changed_disk, self.disks)),
            arrays=tuple(
                replace(array, volume=array.volume and change(array.volume))
                for array in self.arrays
            ),
            groups=tuple(map(changed_group, self.groups)),
            bcaches=tuple(
                replace(each, volume=change(each.volume))
                for each in self.bcaches
            ),
            systems=tuple(
                replace(
                    system,
                    mounts=tuple(map(change, system.mounts)),
                    swaps=tuple(map(change, system.swaps)),
                    esps=tuple(map(change, system.esps)),
                )
                for system in self.systems
            ),
            multiboot=self.multiboot and change(self.multiboot),
        )

    @property
    def bootable(self) -> tuple[System, ...]:
        """The systems that the menu offers, in the order of the images."""
        return tuple(s for s in self.systems if s.image.type == "os")

    @property
    def falls_back(self) -> bool:
        """Tell whether a system that was switched to is tried first."""
        return self.layout.boot.fallback and self.multiboot is not None

    @property
    def boot_disks(self) -> tuple[Disk, ...]:
        """The disks that the boot loader goes to."""
        return tuple(disk for disk in self.disks if disk.is_boot)

    @property
    def esps(self) -> tuple[tuple[Disk, Partition], ...]:
        """The ESPs that UEFI is to start the loader from."""
        if self.firmware == "bios":
            return ()
        return tuple(
            (disk, partition)
            for disk in self.boot_disks
            for partition in disk.partitions
            if partition.role == "esp"
        )

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """Every volume that may hold a filesystem, the disks' first."""
        return (
            *(volume for disk in self.disks for volume in disk.volumes),
            *(array.volume for array in self.arrays if array.volume),
            *(bcache.volume for bcache in self.bcaches),
            *(lv.volume for group in self.groups for lv in group.volumes),
        )

    @property
    def installs_loader(self) -> bool:
        """Tell whether there is a system to boot and a loader to do it."""
        return bool(self.bootable) and self.layout.boot.loader != "none"
