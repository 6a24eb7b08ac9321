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

"""Spread a system that came in one filesystem over its volumes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Self

from ipa_partitions.disk.mount import UNTRUSTED, mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.images import copied
from ipa_partitions.images.device import unmountable_on_failure
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout, System


@dataclass(frozen=True)
class SpreadImage:
    """Move what a block image has below further volumes onto them.

    An action of its own, so that images stream at the same time also where
    their systems share a volume.
    """

    system: System
    phase: ClassVar[Phase] = Phase.IMAGE
    tools: ClassVar[tuple[str, ...]] = ("rsync", "mount", "umount")

    @property
    def devices(self) -> frozenset[str]:
        """The volume of the image, and those below it."""
        volumes = (self.system.target, *self.system.below)
        return frozenset(volume.device for volume in volumes)

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each block image with volumes below its own."""
        for system in resolved.systems:
            if system.deploys and system.is_block and system.below:
                yield cls(system)

    def __str__(self) -> str:
        """Tell what goes where."""
        moved = ", ".join(
            f"{volume.content.mount} to {volume.device}"
            for volume in self.system.below
        )
        return f"move what {self.system.image.name} has in {moved}"

    def validate(self) -> None:
        """Agree: what the image has there is not known before."""

    def execute(self) -> None:
        """Move it, children first, so that nothing is moved twice."""
        volume = self.system.target
        top = PurePosixPath(volume.content.mount)
        with (
            unmountable_on_failure(volume.device),
            mounted(volume.device) as root,
        ):
            for each in reversed(self.system.below):
                inside = PurePosixPath(each.content.mount).relative_to(top)
                source = RootFs(root).make_directory(f"/{inside}")
                options = ",".join((UNTRUSTED, *each.mount_options))
                with mounted(each.device, options) as directory:
                    _move_contents(source, directory)


def _move_contents(source: Path, directory: Path) -> None:
    copied.copy(source, directory)
    for entry in source.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
