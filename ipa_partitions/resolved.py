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

from dataclasses import dataclass
from typing import Literal

from ipa_partitions import registry
from ipa_partitions.disk.size import Size
from ipa_partitions.layout import model
from ipa_partitions.layout.mounts import holder
from ipa_partitions.layout.values import TYPE_GUIDS


@dataclass(frozen=True)
class SpaceRequest:
    """A partition that an action asks for, on the first boot disk.

    It comes after the service partitions. A volume of the document with
    this name, wherever it stands, takes its place.
    """

    name: str
    size: Size
    file_system: str = model.NONE
    label: str | None = None
    type_guid: str = TYPE_GUIDS["linux"]


@dataclass(frozen=True)
class Volume:
    """A block device of our own making that may hold a filesystem.

    ``uuid`` is that of the filesystem, empty for file system ``none``.
    ``block_image`` says that an image brings the filesystem, so that none
    is made before.
    """

    at: str
    name: str
    device: str
    size_bytes: int
    content: model.Content
    uuid: str
    is_new: bool = True
    block_image: bool = False


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
    without a table.
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

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """Everything on it that may hold a filesystem, in its order."""
        if self.whole:
            return (self.whole,)
        return tuple(partition.volume for partition in self.partitions)


@dataclass(frozen=True)
class System:
    """An image and the volumes that it mounts.

    ``mounts`` are in mount order, parents first; ``swaps`` have no place in
    the tree. ``deploys`` is False where the policy leaves it as it is.
    """

    image: model.Image
    mounts: tuple[Volume, ...]
    swaps: tuple[Volume, ...]
    deploys: bool

    @property
    def is_block(self) -> bool:
        """Tell whether its image is written onto a volume, not into it."""
        deployers = registry.load("deployers")
        return bool(deployers[self.image.disk_format].kind == "block")

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
    """

    layout: model.Layout
    firmware: Literal["bios", "uefi", "both"]
    disks: tuple[Disk, ...]
    systems: tuple[System, ...]
    multiboot: Volume | None
    default_system: int
    seed: str
    warnings: tuple[str, ...] = ()

    @property
    def bootable(self) -> tuple[System, ...]:
        """The systems that the menu offers, in the order of the images."""
        return tuple(s for s in self.systems if s.image.type == "os")

    @property
    def boot_disks(self) -> tuple[Disk, ...]:
        """The disks that the boot loader goes to."""
        return tuple(disk for disk in self.disks if disk.is_boot)

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """Every volume that may hold a filesystem, in disk order."""
        return tuple(volume for disk in self.disks for volume in disk.volumes)

    @property
    def installs_loader(self) -> bool:
        """Tell whether there is a system to boot and a loader to do it."""
        return bool(self.bootable) and self.layout.boot.loader != "none"
