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

"""How images are laid down: one plug-in per disk format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ipa_partitions import registry
from ipa_partitions.errors import ImageError
from ipa_partitions.images.image import Image


@dataclass(frozen=True)
class BlockTarget:
    """A device for an image, and what its filesystem becomes.

    With ``file_system`` ``none`` the bytes are written as they are. Where
    they are a whole disk, ``sector_bytes`` is what its table has to be for.
    """

    device: str
    size_bytes: int
    file_system: str
    uuid: str
    label: str | None = None
    sector_bytes: int | None = None


@dataclass(frozen=True)
class FileTarget:
    """A directory for files; ``flags`` are of the rsync program.

    ``is_new`` says that nothing was on any of its volumes before.
    ``roomy`` is a directory of the same system where there is most room,
    for a file that is needed meanwhile, ``spare`` an empty one, outside, to
    mount on.
    """

    directory: Path
    free_bytes: int
    flags: tuple[str, ...] = ()
    roomy: Path = Path()
    spare: Path = Path()
    is_new: bool = False


class BlockDeployer(Protocol):
    """A format that brings its filesystem.

    ``validate`` only looks, both raise ImageError or CommandError. When
    ``execute`` fails nobody can mount the device.
    """

    kind: Literal["block"]
    tools: tuple[str, ...]

    def validate(self, image: Image, target: BlockTarget) -> None: ...

    def execute(self, image: Image, target: BlockTarget) -> None: ...


class FileDeployer(Protocol):
    """A format of files; ``validate`` may run before the directory exists.

    When ``execute`` fails it leaves what it wrote.
    """

    kind: Literal["files"]
    tools: tuple[str, ...]

    def validate(self, image: Image, target: FileTarget) -> None: ...

    def execute(self, image: Image, target: FileTarget) -> None: ...


def deployer_of(image: Image) -> BlockDeployer | FileDeployer:
    """Return what deploys the format of ``image``, or raise ImageError."""
    known = registry.load("deployers")
    if image.disk_format not in known:
        raise ImageError(
            f"{image.public_url}: nothing deploys {image.disk_format},"
            f" only {', '.join(known)}"
        )
    deployer: BlockDeployer | FileDeployer = known[image.disk_format]
    return deployer
