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

"""Make the subvolumes of btrfs filesystems: SPEC 2.3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar, Self

from ipa_partitions.disk.mount import mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout, Volume
from ipa_partitions.run import run


@dataclass(frozen=True)
class MakeSubvolumes:
    """Make the subvolumes of one filesystem, parents first."""

    volume: Volume
    phase: ClassVar[Phase] = Phase.SUBVOLUME
    tools: ClassVar[tuple[str, ...]] = ("btrfs", "mount", "umount")

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each new filesystem that has some."""
        for volume in resolved.volumes:
            if volume.is_new and volume.content.subvolumes:
                yield cls(volume)

    @property
    def devices(self) -> frozenset[str]:
        """The volume."""
        return frozenset({self.volume.device})

    @property
    def _names(self) -> list[str]:
        return sorted(each.name for each in self.volume.content.subvolumes)

    def __str__(self) -> str:
        """Tell their names."""
        return (
            f"make the subvolumes {', '.join(self._names)} on"
            f" {self.volume.device}"
        )

    def validate(self) -> None:
        """Agree: the filesystem is made just before."""

    def execute(self) -> None:
        """Make them."""
        with mounted(self.volume.device) as where:
            for name in self._names:
                parent = str(PurePosixPath(name).parent)
                RootFs(where).make_directory(parent)
                run("btrfs", "subvolume", "create", str(where / name))
