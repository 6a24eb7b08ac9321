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

"""Directories on a server, copied file by file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ipa_partitions.images import sources
from ipa_partitions.images.deployers import FileTarget
from ipa_partitions.images.image import Image


@dataclass(frozen=True)
class Directory:
    """Copies what is in a directory into another."""

    kind: Literal["files"] = "files"
    tools: tuple[str, ...] = ()

    def validate(self, image: Image, target: FileTarget) -> None:
        """Ask whether the directory is there; see FileDeployer."""
        sources.tree_source(image.url).check(image.url)

    def execute(self, image: Image, target: FileTarget) -> None:
        """Copy it; see FileDeployer."""
        source = sources.tree_source(image.url)
        source.copy(image.url, target.directory, target.flags)


DIR = Directory()
