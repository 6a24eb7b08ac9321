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

"""Squashfs images: kept on a volume of their system, copied file by file.

One can only be read with seeking, so it has to be somewhere.

Where nothing is yet ``unsquashfs`` lays it down, on all processors. Else it
is mounted and copied by rsync: over a system that is updated in place,
``unsquashfs -force`` writes through links, and into both names of what was
one file and is two in the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from ipa_partitions.disk import loop
from ipa_partitions.disk.mount import READ_ONLY, mounted
from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.images import copied, magic, pipe, stream
from ipa_partitions.images.deployers import FileTarget, staged
from ipa_partitions.images.image import Image
from ipa_partitions.images.percent import Percent
from ipa_partitions.run import run

# Of what is read ahead and not yet written; unsquashfs would take 256.
_QUEUE_MIB = 32


@dataclass(frozen=True)
class Squashfs:
    """Lays the files of a squashfs into a directory."""

    kind: Literal["files"] = "files"
    tools: tuple[str, ...] = (
        "losetup", "mount", "umount", "rsync", "unsquashfs",
    )  # fmt: skip

    def validate(self, image: Image, target: FileTarget) -> None:
        """Look at the superblock, and at the kernel; see FileDeployer."""
        start = stream.peek(image)
        least_bytes = _check_start(image, start.head, target.free_bytes)
        if start.size_bytes is not None and start.size_bytes < least_bytes:
            raise ImageError(
                f"{image.public_url}: is cut: {start.size_bytes} bytes, and"
                f" its squashfs has {least_bytes}"
            )
        if "\tsquashfs\n" not in Path("/proc/filesystems").read_text():
            with _errors_name(image):
                run("modprobe", "--dry-run", "squashfs")

    def execute(self, image: Image, target: FileTarget) -> None:
        """Fetch it, and copy what is in it; see FileDeployer."""
        laid_down = Percent()

        def check(head: bytes, free_bytes: int) -> None:
            laid_down.expect(_check_start(image, head, free_bytes))

        with staged.verified(image, target.roomy, check) as file:
            if staged.is_bare(target.directory):
                _unpack(image, file, target.directory, laid_down)
            else:
                _update(image, file, target, laid_down)
        laid_down.end()


SQUASHFS = Squashfs()


def _check_start(image: Image, head: bytes, free_bytes: int) -> int:
    """Return the size of the squashfs that ``head`` starts.

    Raises ImageError if it is none, or none for ``free_bytes``.
    """
    found = magic.look(head).name or "something else"
    if found != "squashfs":
        raise ImageError(f"{image.public_url}: is {found}, not squashfs")
    # linux/fs/squashfs/squashfs_fs.h: bytes_used
    size_bytes = int.from_bytes(head[40:48], "little")
    if size_bytes > free_bytes:
        raise ImageError(
            f"{image.public_url}: its {size_bytes} bytes do not fit into"
            f" {free_bytes}"
        )
    return size_bytes


def _unpack(
    image: Image, file: IO[bytes], directory: Path, tell: Percent
) -> None:
    argv = (
        "unsquashfs", "-quiet", "-force",
        "-data-queue", str(_QUEUE_MIB), "-frag-queue", str(_QUEUE_MIB),
        "-dest", str(directory), loop.path_of(file),
    )  # fmt: skip
    with _errors_name(image):
        pipe.follow(argv, tell, pipe.COPY_S)


def _update(
    image: Image, file: IO[bytes], target: FileTarget, tell: Percent
) -> None:
    with (
        _errors_name(image),
        loop.attached(loop.path_of(file), "--read-only") as device,
        mounted(device, READ_ONLY, target.spare, "squashfs") as files,
    ):
        # Images whose times were levelled to be reproducible differ in
        # files of the same size and time.
        copied.copy(files, target.directory, tell, "--ignore-times")


@contextmanager
def _errors_name(image: Image) -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise ImageError(f"{image.public_url}: {error}") from error
