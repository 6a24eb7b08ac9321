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

"""Put the config drive on a partition of its own, or into the systems."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar, Self

from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.disk.tree import mounted_tree
from ipa_partitions.errors import ImageError
from ipa_partitions.images import iso9660, vfat
from ipa_partitions.images.configdrive import ConfigDrive
from ipa_partitions.layout import Layout
from ipa_partitions.layout.model import CONFIG_DRIVE, CONFIG_DRIVE_SIZE
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout, SpaceRequest, System
from ipa_partitions.run import run

# Where cloud-init looks for one without a partition.
SEED = "/var/lib/cloud/seed/config_drive"


@dataclass(frozen=True)
class WriteConfigDrive:
    """Write the config drive, a filesystem labelled ``config-2``."""

    device: str
    size_bytes: int
    sector_bytes: int
    drive: ConfigDrive
    phase: ClassVar[Phase] = Phase.CONFIGURE
    tools: ClassVar[tuple[str, ...]] = vfat.TOOLS

    @property
    def devices(self) -> frozenset[str]:
        """The partition."""
        return frozenset({self.device})

    @classmethod
    def ask(cls, layout: Layout) -> Iterator[SpaceRequest]:
        """Ask for its partition, if there is a config drive."""
        drive = layout.configdrive
        if layout.is_whole_disk:
            return  # see FinishWholeDisk
        if drive and drive.into == "partition":
            yield SpaceRequest(
                CONFIG_DRIVE,
                CONFIG_DRIVE_SIZE,
                keep_data=drive.is_hidden or _is_layout_only(layout),
            )

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan it onto the partition of its name, unless that is kept."""
        drive = resolved.layout.configdrive
        if drive is None or drive.into != "partition":
            return
        for disk in resolved.disks:
            for volume in disk.volumes:
                if volume.name == CONFIG_DRIVE and volume.is_new:
                    yield cls(
                        volume.device,
                        volume.size_bytes,
                        disk.sector_bytes,
                        drive,
                    )

    def __str__(self) -> str:
        """Tell where, and nothing of what is in it."""
        return f"write the config drive to {self.device}"

    def validate(self) -> None:
        """Raise ImageError unless it can be had, is whole and fits."""
        self._image_that_fits()

    def execute(self) -> None:
        """Write it; what was there before is gone."""
        image = self._image_that_fits()
        if image is None:
            files = self.drive.files(self.size_bytes)
            vfat.make_vfat(self.device, CONFIG_DRIVE, files)
            return
        run("blkdiscard", "--zeroout", self.device)
        node = os.open(self.device, os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = 0
            while written < len(image):
                written += os.pwrite(node, image[written:], written)
            os.fsync(node)
        finally:
            os.close(node)

    def _image_that_fits(self) -> bytes | None:
        """Return the filesystem to write, None if one is to be made."""
        image = self.drive.image(self.size_bytes)
        if image is not None and not self._is_too_fine(image):
            return image
        files = self.drive.files(self.size_bytes)
        # Half of it is more than what the FAT and the clusters take.
        if sum(map(len, files.values())) > self.size_bytes // 2:
            raise ImageError(
                f"the config drive does not fit into {self.device}"
            )
        return None

    def _is_too_fine(self, image: bytes) -> bool:
        """Tell whether the disk has larger sectors than the filesystem."""
        if iso9660.is_iso9660(image):
            return self.sector_bytes > iso9660.BLOCK_BYTES
        return self.sector_bytes > (
            vfat.vfat_sector_bytes(image) or self.sector_bytes
        )


def _is_layout_only(layout: Layout) -> bool:
    """Tell whether there are systems, and none of them is deployed."""
    deploys = {image.deploy for image in layout.images}
    return deploys == {"never"}


@dataclass(frozen=True)
class InjectConfigDrive:
    """Write the files of the config drive into a deployed system."""

    system: System
    size_bytes: int
    drive: ConfigDrive
    phase: ClassVar[Phase] = Phase.CONFIGURE
    tools: ClassVar[tuple[str, ...]] = ("mount", "umount")

    @property
    def devices(self) -> frozenset[str]:
        """The volumes of the system."""
        return frozenset(volume.device for volume in self.system.mounts)

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each operating system that is deployed."""
        drive = resolved.layout.configdrive
        if drive is None or drive.into != "image":
            return
        for system in resolved.bootable:
            if system.deploys:
                yield cls(system, int(CONFIG_DRIVE_SIZE.amount), drive)

    def __str__(self) -> str:
        """Tell where, and nothing of what is in it."""
        return (
            f"write the config drive into {self.system.image.name} at {SEED}"
        )

    def validate(self) -> None:
        """Raise ImageError unless it can be had and be read."""
        self.drive.files(self.size_bytes)

    def execute(self) -> None:
        """Write it, for nobody but root to read."""
        files = self.drive.files(self.size_bytes)
        places = [volume.place for volume in self.system.mounts]
        with mounted_tree(places) as root:
            tree = RootFs(root)
            # Of another instance, under an image that is updated in place.
            if tree.exists(SEED):
                tree.remove_tree(SEED)
            tree.make_directory(SEED).chmod(0o700)
            for path, content in files.items():
                file = PurePosixPath(SEED, path)
                tree.make_directory(str(file.parent))
                tree.write(str(file), content, mode=0o600)
