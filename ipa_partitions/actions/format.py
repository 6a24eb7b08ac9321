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

"""Make the filesystems: SPEC 2.3."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.disk.filesystem import known
from ipa_partitions.disk.size import mib_text
from ipa_partitions.errors import MachineError
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout, Volume
from ipa_partitions.run import run


@dataclass(frozen=True)
class MakeFilesystem:
    """Make one filesystem, with the UUID that was decided for it."""

    volume: Volume
    phase: ClassVar[Phase] = Phase.FORMAT
    tools: ClassVar[tuple[str, ...]] = ()

    @property
    def devices(self) -> frozenset[str]:
        """The volume."""
        return frozenset({self.volume.device})

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each new volume; a block image brings its own."""
        for volume in resolved.volumes:
            has_one = volume.content.file_system != "none"
            if has_one and volume.is_new and not volume.block_image:
                yield cls(volume)

    def __str__(self) -> str:
        """Tell the kind, the device, the label and the UUID."""
        volume = self.volume
        label = f" {volume.content.label!r}" if volume.content.label else ""
        return (
            f"make {volume.content.file_system}{label} on {volume.device},"
            f" {mib_text(volume.inner_bytes)}, UUID {volume.uuid}"
        )

    def validate(self) -> None:
        """Raise MachineError for a volume too small or a missing mkfs."""
        filesystem = known()[self.volume.content.file_system]
        if self.volume.inner_bytes < filesystem.min_bytes:
            raise MachineError(
                self.volume.at,
                f"{self.volume.content.file_system} needs"
                f" {mib_text(filesystem.min_bytes)}, the volume has"
                f" {mib_text(self.volume.inner_bytes)}",
            )
        for tool in filesystem.tools:
            if not shutil.which(tool):
                raise MachineError(
                    self.volume.at, f"the program {tool} is not there"
                )

    def execute(self) -> None:
        """Make it, on a volume that was wiped when it was made."""
        volume, content = self.volume, self.volume.content
        run(
            *known()[content.file_system].make_argv(
                volume.device,
                volume.uuid,
                content.label,
                content.mkfs_options,
            )
        )
