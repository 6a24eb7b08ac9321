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

"""Deploy one image onto the volumes of its operating system."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

from ipa_partitions import resolved
from ipa_partitions.actions.format import MakeFilesystem
from ipa_partitions.disk import filesystem
from ipa_partitions.disk.mount import PLACE
from ipa_partitions.disk.namespace import with_one_writable
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.disk.tree import mounted_tree
from ipa_partitions.errors import ImageError
from ipa_partitions.images import copied, device, sources, unxz
from ipa_partitions.images.deployers import (
    BlockDeployer,
    BlockTarget,
    FileTarget,
    deployer_of,
)
from ipa_partitions.images.deployers.block import MisfitError
from ipa_partitions.images.image import Image
from ipa_partitions.images.old_uuid import replace_uuid
from ipa_partitions.images.percent import Percent
from ipa_partitions.layout.images import to_fetch
from ipa_partitions.plan import Phase

# Of rsync(1), in a pattern that has one.
_WILDCARD = re.compile(r"[*?\[\\]")


@dataclass(frozen=True)
class DeployImage:
    """Stream a block image onto its volume, or files into the tree."""

    system: resolved.System
    rsync_flags: tuple[str, ...]
    whole_disk: resolved.Disk | None = None
    phase: ClassVar[Phase] = Phase.IMAGE

    @classmethod
    def plan(cls, layout: resolved.ResolvedLayout) -> Iterable[Self]:
        """Return one action per system that is deployed."""
        flags = layout.layout.rsync_flags
        deployed = (s for s in layout.systems if s.deploys)
        disk = layout.disks[0] if layout.layout.is_whole_disk else None
        return [cls(s, flags, disk) for s in sorted(deployed, key=_waits)]

    @property
    def devices(self) -> frozenset[str]:
        """The devices written to."""
        if self.system.is_block:
            return frozenset({self.system.target.device})
        return frozenset(volume.device for volume in self.system.mounts)

    @property
    def tools(self) -> tuple[str, ...]:
        """The programs that the image, its source and its volume need."""
        image = self._image
        tools = ["mount", "umount"]
        if image.compression == "xz":
            tools.append(unxz.TOOL)
        # What is not known here is for validate() to tell.
        with suppress(ImageError):
            deployer = deployer_of(image)
            tools += deployer.tools
            tools += sources.source_of(image.url).tools
            if deployer.kind == "block":
                tools += self._renewing_tools()
                if self.system.below:
                    tools += copied.TOOLS
        return tuple(dict.fromkeys(tools))

    def __str__(self) -> str:
        """Say what goes where."""
        image = self._image
        where = self.system.target.device
        if self.system.image.target != "/":
            where += f" at {self.system.image.target}"
        return (
            f"deploy {image.name} ({image.kind}) from {image.public_url}"
            f" to {where}"
        )

    def validate(self) -> None:
        """Ask the server, and look whether the image fits."""
        image = self._image
        deployer = deployer_of(image)
        if deployer.kind == "block":
            if misfit := self._misfit(deployer):
                MakeFilesystem(self.system.target).validate()
                copied.check(image, misfit)
        else:
            # Nothing else is in the volumes yet.
            sizes = {v.device: v.inner_bytes for v in self.system.mounts}
            free_bytes = sum(sizes.values())
            root = Path(self.system.image.target)
            deployer.validate(
                image, FileTarget(root, free_bytes, self.rsync_flags)
            )

    def execute(self) -> None:
        """Deploy it; when that fails nobody can mount what was made."""
        image = self._image
        deployer = deployer_of(image)
        with ExitStack() as stack:
            for new in self._new_devices():
                stack.enter_context(device.unmountable_on_failure(new))
            if deployer.kind == "files":
                with self._opened_tree() as (root, target):
                    self._alone(root, lambda: deployer.execute(image, target))
            elif misfit := self.system.below and self._misfit(deployer):
                self._copy(deployer, misfit)
            else:
                deployer.execute(image, self._block_target)

    def _new_devices(self) -> frozenset[str]:
        """Its new volumes; of those below its own that no other one has."""
        own = (self._image.name,)
        below = (v for v in self.system.below if v.content.images == own)
        return frozenset(
            volume.device
            for volume in (self.system.target, *below)
            if volume.is_new
        )

    def _misfit(self, deployer: BlockDeployer) -> MisfitError | None:
        """Return why the image has to be copied, None if it has not.

        Raises ImageError where there is but one volume.
        """
        try:
            deployer.validate(self._image, self._block_target)
        except MisfitError as error:
            if not self.system.below:
                raise
            return error
        return None

    def _copy(self, deployer: BlockDeployer, misfit: MisfitError) -> None:
        """Make what the image cannot bring, and copy its files."""
        image, volume = self._image, self.system.target
        MakeFilesystem(volume).execute()
        tell = Percent()
        tell.expect(misfit.size_bytes)
        with (
            self._opened_tree() as (root, target),
            copied.opened(
                image, deployer, misfit, target.roomy, target.spare
            ) as (files, old_uuid),
        ):
            copy = partial(copied.copy, files, target.directory, tell)
            self._alone(root, copy)
            tell.end()
            replace_uuid(RootFs(target.directory), old_uuid, volume.uuid)

    @contextmanager
    def _opened_tree(self) -> Iterator[tuple[Path, FileTarget]]:
        places = [volume.place for volume in self.system.mounts]
        with (
            mounted_tree(places) as root,
            tempfile.TemporaryDirectory(dir=PLACE) as spare,
        ):
            yield root, self._file_target(root, Path(spare))

    def _alone(self, root: Path, job: Callable[[], None]) -> None:
        """Run ``job`` where nothing but what is below ``root`` changes."""
        with_one_writable(
            root, job, makes_devices=self.system.image.type != "data"
        )

    def _protected(self) -> Iterator[str]:
        """Yield flags that keep rsync's deletions off other volumes.

        What an image does not bring stays there; the mount points must.
        """
        target = Path(self.system.image.target)
        for volume in self.system.mounts:
            where = Path(volume.content.mount)
            if target in where.parents:
                path = str(where.relative_to(target))
                path = _WILDCARD.sub(r"\\\g<0>", path)
                yield f"--filter=P /{path}/***"

    def _file_target(self, root: Path, spare: Path) -> FileTarget:
        tree = RootFs(root)
        where = tree.make_directory(self.system.image.target)
        roomy = max(
            (tree.make_directory(v.content.mount) for v in self.system.mounts),
            key=_free_bytes,
        )
        return FileTarget(
            where,
            _free_bytes(where),
            (*self._protected(), *self.rsync_flags),
            roomy,
            spare,
            all(volume.is_new for volume in self.system.mounts),
        )

    @property
    def _image(self) -> Image:
        return to_fetch(self.system.image)

    @property
    def _block_target(self) -> BlockTarget:
        volume = self.system.target
        return BlockTarget(
            volume.device,
            volume.inner_bytes,
            volume.content.file_system,
            volume.uuid,
            volume.content.label,
            self.whole_disk.sector_bytes if self.whole_disk else None,
        )

    def _renewing_tools(self) -> list[str]:
        name = self._block_target.file_system
        if name == "none":
            return []
        kind = filesystem.known()[name]
        steps = (kind.check, kind.new_uuid, kind.new_label, kind.grow)
        return [argv[0] for argv in steps if argv]


def _free_bytes(directory: Path) -> int:
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize


def _waits(system: resolved.System) -> bool:
    """Tell whether a block image has yet to bring what it is laid into."""
    brought = any(volume.block_image for volume in system.mounts)
    return brought and not system.is_block
