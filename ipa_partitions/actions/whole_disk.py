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

"""Fit an image of a whole disk to the disk that it was written to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.actions.configdrive import WriteConfigDrive
from ipa_partitions.disk import foreign_table
from ipa_partitions.images import vfat
from ipa_partitions.images.configdrive import ConfigDrive
from ipa_partitions.images.device import unmountable_on_failure
from ipa_partitions.layout.model import CONFIG_DRIVE, CONFIG_DRIVE_SIZE
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import Disk, ResolvedLayout


@dataclass(frozen=True)
class FinishWholeDisk:
    """Move the backup of the GPT to its place, and add a config drive.

    The drive goes to the partition of the image that is labelled for it,
    or else to one that is made at the end of the disk.
    """

    disk: Disk
    drive: ConfigDrive | None
    phase: ClassVar[Phase] = Phase.CONFIGURE
    tools: ClassVar[tuple[str, ...]] = (
        "sfdisk", "partx", "blkid", "blkdiscard", *vfat.TOOLS,
    )  # fmt: skip

    @property
    def devices(self) -> frozenset[str]:
        """The disk."""
        return frozenset({self.disk.device})

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for the disk, if an image brings one."""
        layout = resolved.layout
        if layout.is_whole_disk and any(s.deploys for s in resolved.systems):
            yield cls(resolved.disks[0], layout.configdrive)

    def __str__(self) -> str:
        """Tell what changes in the image."""
        drive = ", and write the config drive" if self.drive else ""
        return f"fit the image to the end of {self.disk.device}{drive}"

    def validate(self) -> None:
        """Raise ImageError unless the config drive can be had, and fits."""
        if self.drive:
            self._config_drive(self.drive, "").validate()

    def execute(self) -> None:
        """Do it; when that fails the disk does not boot."""
        device = self.disk.device
        with unmountable_on_failure(device):
            foreign_table.move_backup(device)
            if self.drive:
                partition = foreign_table.find_labelled(device, CONFIG_DRIVE)
                if partition is None:
                    partition = foreign_table.append(
                        device,
                        self.disk.size_bytes,
                        CONFIG_DRIVE,
                        int(CONFIG_DRIVE_SIZE.amount),
                    )
                self._config_drive(self.drive, partition).execute()

    def _config_drive(
        self, drive: ConfigDrive, partition: str
    ) -> WriteConfigDrive:
        return WriteConfigDrive(
            partition,
            int(CONFIG_DRIVE_SIZE.amount),
            self.disk.sector_bytes,
            drive,
        )
