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

"""Tar archives, packed or not, streamed to GNU tar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ipa_partitions.disk import loop
from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.images import magic, pipe, stream
from ipa_partitions.images.deployers import FileTarget, staged
from ipa_partitions.images.image import Image

# It removes them, and says so.
_LEADING = re.compile(r"Removing leading `(.*)' from ([a-z ]+)")


@dataclass(frozen=True)
class Tar:
    """Lays the members of an archive into a directory.

    tar itself takes no member out of it: links that lead out are made last,
    and a name with ``..`` is an error, as an absolute one is for us.
    """

    kind: Literal["files"] = "files"
    tools: tuple[str, ...] = ("tar",)

    def validate(self, image: Image, target: FileTarget) -> None:
        """Look at the first member; see FileDeployer."""
        start = stream.peek(image)
        _check_start(image, start.head)
        if start.least_bytes > target.free_bytes:
            raise ImageError(
                f"{image.public_url}: its {start.least_bytes} bytes do not"
                f" fit into {target.free_bytes}"
            )

    def execute(self, image: Image, target: FileTarget) -> None:
        """Extract it; see FileDeployer.

        On the way, where all is new; what is there already gets nothing that
        was not verified before.
        """
        root = target.directory
        if target.is_new and staged.is_bare(root):
            with stream.streamed(image) as plain:
                _extract(image, root, "-", plain.blocks)
                plain.verify()
        else:
            check = partial(_check_start, image)
            with staged.verified(image, target.roomy, check) as file:
                _extract(image, root, loop.path_of(file), iter(()))


TAR = Tar()


def _check_start(image: Image, head: bytes, _: int = 0) -> None:
    if not magic.is_tar(head):
        found = magic.look(head).name or "something else"
        raise ImageError(f"{image.public_url}: is {found}, not tar")


def _extract(
    image: Image, directory: Path, file: str, blocks: Iterator[memoryview]
) -> None:
    try:
        said = pipe.feed(
            (
                "tar",
                "--extract",
                f"--file={file}",
                f"--directory={directory}",
                "--numeric-owner",
                "--same-owner",
                "--preserve-permissions",
                "--acls",
                "--xattrs",
                "--xattrs-include=*",
                "--sparse",
            ),
            blocks,
            b"Removing leading `",
        )
    except CommandError as error:
        raise ImageError(f"{image.public_url}: {error}") from error
    # Of a member, or of what a hard link is to.
    if found := _LEADING.search(said):
        raise ImageError(
            f"{image.public_url}: has {found[2]} that begin with {found[1]!r}"
        )
