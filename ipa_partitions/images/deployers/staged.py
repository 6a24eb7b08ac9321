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

"""Images that are on a volume of their own system before they are used.

Memory is not the place: it is a file without a name on the roomiest volume,
which is gone when it is closed, and when this program is killed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ipa_partitions.errors import ImageError
from ipa_partitions.images import magic, stream
from ipa_partitions.images.image import Image

# A loop device ends with a whole sector, an image need not.
_SECTOR_BYTES = 4096


@contextmanager
def verified(
    image: Image, roomy: Path, check_start: Callable[[bytes, int], object]
) -> Iterator[IO[bytes]]:
    """Yield a file in ``roomy`` with what ``image`` is when unpacked.

    ``check_start`` is given how it begins, and the bytes that are free.
    Raises what that raises, and ImageError if the image is another, or
    there is no room.
    """
    with tempfile.TemporaryFile(dir=roomy, buffering=0) as file:
        space = os.statvfs(file.fileno())
        with stream.streamed(image) as plain:
            for block in plain.blocks:
                if not file.tell():
                    start = bytes(block[: magic.HEAD_BYTES])
                    check_start(start, space.f_bavail * space.f_frsize)
                _write(image, file, block)
            plain.verify()
        _write(image, file, bytes(-file.tell() % _SECTOR_BYTES))
        yield file


def is_bare(directory: Path) -> bool:
    """Tell whether there is nothing but directories, as of mount points."""
    with os.scandir(directory) as entries:
        return all(
            entry.is_dir(follow_symlinks=False) and is_bare(Path(entry))
            for entry in entries
        )


def _write(image: Image, file: IO[bytes], data: bytes | memoryview) -> None:
    try:
        while data:
            data = data[file.write(data) :]
    except OSError as error:
        raise ImageError(
            f"{image.public_url}: cannot be kept: {error.strerror}"
        ) from error
