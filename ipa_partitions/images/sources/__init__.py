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

"""Where images come from: one plug-in per URL scheme.

A source is of bytes, which are streamed, or of a tree, which is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from ipa_partitions import registry, urls
from ipa_partitions.errors import ImageError
from ipa_partitions.images.access import ANYBODY, Access

_READ_BYTES = 64 * 1024


class ByteStream(Protocol):
    """The bytes of an image, from the first to the last.

    ``size_bytes`` is None while nobody knows it.
    """

    size_bytes: int | None

    def readinto(self, buffer: memoryview) -> int:
        """Fill some of ``buffer``, return how much; 0 only at the end.

        Raises ImageError if the bytes cannot be had, or end too early.
        """

    def close(self) -> None:
        """Let go of the connection or file."""


@runtime_checkable
class RandomAccess(Protocol):
    """A ByteStream that can also be asked for a part, while it is open."""

    def read_at(self, offset: int, count: int) -> bytes | None:
        """Return exactly these bytes; None where they are not to be had."""


@runtime_checkable
class Fetching(Protocol):
    """A ByteStream of other bytes than the ``fetch_bytes`` it fetches.

    ``fetched_bytes`` of them have been.
    """

    fetch_bytes: int
    fetched_bytes: int


class ByteSource(Protocol):
    """A scheme whose URLs stand for one file."""

    kind: Literal["bytes"]
    tools: tuple[str, ...]

    def open(self, url: str, access: Access) -> ByteStream:
        """Connect; raises ImageError if there is nothing to read."""


@runtime_checkable
class StartSource(Protocol):
    """A ByteSource that can do with less where the rest is not wanted."""

    def open_start(self, url: str, access: Access, count: int) -> ByteStream:
        """Connect as ``open`` does, to read ``count`` bytes or few more.

        All can be read: what is beyond them may cost one more request.
        """


class TreeSource(Protocol):
    """A scheme whose URLs stand for a directory."""

    kind: Literal["tree"]
    tools: tuple[str, ...]

    def check(self, url: str) -> None:
        """Raise ImageError if there is no such directory."""

    def copy(self, url: str, directory: Path, flags: tuple[str, ...]) -> None:
        """Copy what is in it into ``directory``; raises ImageError."""


def source_of(url: str) -> ByteSource | TreeSource:
    """Return the source that serves ``url``, or raise ImageError."""
    scheme = urls.url_scheme(url)
    known = registry.load("sources")
    if scheme not in known:
        raise ImageError(
            f"{urls.public_url(url)}: no source for {scheme},"
            f" only for {', '.join(known)}"
        )
    source: ByteSource | TreeSource = known[scheme]
    return source


@contextmanager
def opened(
    url: str, access: Access = ANYBODY, start_bytes: int = 0
) -> Iterator[ByteStream]:
    """Yield the bytes behind ``url``; raises ImageError if it has none.

    With ``start_bytes`` no more than these are likely to be wanted.
    """
    source = source_of(url)
    if source.kind != "bytes":
        raise ImageError(f"{urls.public_url(url)}: is a tree, not a file")
    if start_bytes and isinstance(source, StartSource):
        stream = source.open_start(url, access, start_bytes)
    else:
        stream = source.open(url, access)
    try:
        yield stream
    finally:
        stream.close()


def read(url: str, limit_bytes: int, access: Access = ANYBODY) -> bytes:
    """Return all of a small file; raises ImageError if it is too long."""
    with opened(url, access) as stream:
        return read_rest(stream, limit_bytes, urls.public_url(url))


def read_rest(stream: ByteStream, limit_bytes: int, name: str) -> bytes:
    """Return all of a stream that calls itself ``name`` in errors."""
    content = bytearray()
    buffer = memoryview(bytearray(_READ_BYTES))
    while count := stream.readinto(buffer):
        content += buffer[:count]
        if len(content) > limit_bytes:
            raise ImageError(f"{name}: is longer than {limit_bytes} bytes")
    return bytes(content)


def tree_source(url: str) -> TreeSource:
    """Return the source of the tree ``url``; ImageError if it is none."""
    source = source_of(url)
    if source.kind != "tree":
        raise ImageError(f"{urls.public_url(url)}: is a file, not a tree")
    return source
