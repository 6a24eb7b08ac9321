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

"""Images that are files of the ramdisk: ``file:///path``."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from ipa_partitions.errors import ImageError
from ipa_partitions.images.access import Access


class FileStream:
    """The bytes of one regular file."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            # A FIFO would keep open() waiting for a writer.
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise ImageError(f"file://{path}: {error.strerror}") from error
        except ValueError as error:  # a NUL in it
            raise ImageError(f"file://{path!r}: {error}") from error
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise ImageError(f"file://{path}: is no regular file")
        self.size_bytes: int | None = status.st_size
        self._left = status.st_size

    def readinto(self, buffer: memoryview) -> int:
        """Read on; see ByteStream."""
        try:
            count = os.readv(self._fd, [buffer[: self._left]])
        except OSError as error:
            raise ImageError(
                f"file://{self._path}: {error.strerror}"
            ) from error
        if not count and self._left:
            raise ImageError(
                f"file://{self._path}: ends {self._left} bytes early"
            )
        self._left -= count
        return count

    def read_at(self, offset: int, count: int) -> bytes | None:
        """Read a part; see RandomAccess."""
        try:
            data = os.pread(self._fd, count, offset)
        except OSError:
            return None
        return data if len(data) == count else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


@dataclass(frozen=True)
class FileSource:
    """Opens files."""

    kind: Literal["bytes"] = "bytes"
    tools: tuple[str, ...] = ()

    def open(self, url: str, access: Access) -> FileStream:
        """Open the file that ``url`` names."""
        return FileStream(unquote(urlsplit(url).path))


FILE = FileSource()
