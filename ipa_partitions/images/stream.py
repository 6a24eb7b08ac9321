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

"""The bytes of an image: one pass from its source to who wants them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import zstandard

from ipa_partitions import progress
from ipa_partitions.errors import ImageError
from ipa_partitions.images import magic, sources, sums, unpack, unxz
from ipa_partitions.images.ahead import Hash, read_ahead
from ipa_partitions.images.image import Image

BLOCK_BYTES = 4 * 1024**2
# What is decompressed is read in smaller pieces: it is copied once more.
PACKED_BYTES = 512 * 1024
# What is asked of a server to see how an image starts.
START_BYTES = 2 * magic.HEAD_BYTES


@dataclass(frozen=True)
class Stream:
    """The plain bytes of an image, and the hash of those downloaded.

    ``size_bytes`` is their number, if known before; ``read_at`` returns a
    part of them at once, None where that cannot be had.
    """

    blocks: Iterator[memoryview]
    size_bytes: int | None
    read_at: Callable[[int, int], bytes | None]
    _image: Image
    _wanted: tuple[str, str] | None
    _hasher: Hash | None

    def verify(self) -> None:
        """Raise ImageError unless the checksum matches.

        To be called when all blocks have been taken.
        """
        if self._wanted is None or self._hasher is None:
            return
        algorithm, digest = self._wanted
        if self._hasher.hexdigest() != digest:
            raise ImageError(
                f"{self._image.public_url}: its {algorithm} is"
                f" {self._hasher.hexdigest()}, not {digest}"
            )


@dataclass(frozen=True)
class Peek:
    """The start of an image, and the least that all of it unpacks to.

    ``size_bytes`` is exact where it is not None. ``read_at`` is that of
    Stream.
    """

    head: bytes
    least_bytes: int
    size_bytes: int | None
    read_at: Callable[[int, int], bytes | None]


@contextmanager
def streamed(image: Image) -> Iterator[Stream]:
    """Download ``image``, tell its progress, and yield its plain bytes.

    Raises ImageError if it cannot be had, or is not compressed as declared.
    """
    wanted = sums.digest_of(image)
    hasher = hashlib.new(wanted[0]) if wanted else None
    with ExitStack() as stack:
        stream = stack.enter_context(_opened(image))
        is_plain = image.compression == "none"
        block_bytes = BLOCK_BYTES if is_plain else PACKED_BYTES
        blocks = _declared(
            stack.enter_context(
                read_ahead(_counted(stream), block_bytes, hasher)
            ),
            image,
        )
        if not is_plain:
            # Ended before the blocks that it takes are.
            pieces = stack.enter_context(closing(_all_unpacked(blocks, image)))
            reader = unpack.PieceReader(pieces)
            blocks = stack.enter_context(
                read_ahead(reader.readinto, BLOCK_BYTES)
            )
        yield Stream(
            blocks,
            stream.size_bytes if is_plain else None,
            _reader_at(stream, is_plain),
            image,
            wanted,
            hasher,
        )


def peek(image: Image) -> Peek:
    """Return the start of ``image``, having looked for its checksum too.

    Raises ImageError as ``streamed`` does.
    """
    with started(image) as start:
        return start


@contextmanager
def started(image: Image) -> Iterator[Peek]:
    """Yield the start of ``image``, whose parts can be asked for meanwhile.

    Raises ImageError as ``streamed`` does.
    """
    sums.digest_of(image)
    with _opened(image, START_BYTES) as stream:
        is_plain = image.compression == "none"
        read_at = _reader_at(stream, is_plain)
        packed = _declared(_chunks(stream), image)
        if is_plain:
            size_bytes = stream.size_bytes
            yield Peek(_start(packed), size_bytes or 0, size_bytes, read_at)
            return
        first = next(packed, memoryview(b""))
        least_bytes = _frame_bytes(first) if image.compression == "zstd" else 0
        plain = _unpacked(_chained(first, packed), image)
        yield Peek(_start(plain), least_bytes, None, read_at)


@contextmanager
def _opened(
    image: Image, start_bytes: int = 0
) -> Iterator[sources.ByteStream]:
    with sources.opened(image.url, image.access, start_bytes) as stream:
        if None not in (image.size_bytes, stream.size_bytes) and (
            image.size_bytes != stream.size_bytes
        ):
            raise ImageError(
                f"{image.public_url}: has {stream.size_bytes} bytes, not"
                f" {image.size_bytes}"
            )
        yield stream


def _reader_at(
    stream: sources.ByteStream, is_plain: bool
) -> Callable[[int, int], bytes | None]:
    if is_plain and isinstance(stream, sources.RandomAccess):
        return stream.read_at
    return lambda _offset, _count: None


def _counted(
    stream: sources.ByteStream,
) -> Callable[[memoryview], int]:
    """Return a ``readinto`` that tells the progress of the download."""
    other = stream if isinstance(stream, sources.Fetching) else None
    whole_bytes = other.fetch_bytes if other else stream.size_bytes
    if whole_bytes is not None:
        progress.expect(whole_bytes)

    def counting(buffer: memoryview) -> int:
        before = other.fetched_bytes if other else 0
        count = stream.readinto(buffer)
        progress.advance(other.fetched_bytes - before if other else count)
        return count

    return counting


def _declared(
    blocks: Iterator[memoryview], image: Image
) -> Iterator[memoryview]:
    first = next(blocks, None)
    if first is None:
        raise ImageError(f"{image.public_url}: is empty")
    found = magic.compression_of(bytes(first[:16]))
    if found != image.compression:
        raise ImageError(
            f"{image.public_url}: its compression is {found}, the document"
            f" says {image.compression}"
        )
    yield first
    yield from blocks


def _all_unpacked(
    blocks: Iterator[memoryview], image: Image
) -> Generator[bytes]:
    if image.compression == "xz":
        yield from unxz.unpacked(blocks, image.public_url)
    else:
        yield from _unpacked(blocks, image)


def _unpacked(blocks: Iterator[memoryview], image: Image) -> Iterator[bytes]:
    return unpack.unpacked(blocks, image.compression, image.public_url)


def _chunks(stream: sources.ByteStream) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(magic.HEAD_BYTES))
    count = -1
    while count:
        filled = 0
        while filled < len(buffer):
            count = stream.readinto(buffer[filled:])
            if not count:
                break
            filled += count
        if filled:
            yield buffer[:filled]


def _chained(
    first: memoryview, rest: Iterator[memoryview]
) -> Iterator[memoryview]:
    yield first
    yield from rest


def _start(pieces: Iterator[memoryview] | Iterator[bytes]) -> bytes:
    head = b""
    for piece in pieces:
        head += bytes(piece)
        if len(head) >= magic.HEAD_BYTES:
            break
    return head[: magic.HEAD_BYTES]


def _frame_bytes(first: memoryview) -> int:
    try:
        return max(0, zstandard.frame_content_size(bytes(first)))
    except zstandard.ZstdError:
        return 0
