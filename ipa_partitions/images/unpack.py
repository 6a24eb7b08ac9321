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

"""Decompress a stream, in pieces of bounded size, to its very end.

Several gzip members, xz streams or zstd frames after each other are one
stream. One that ends early is an error, whatever its checksums.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import zstandard

from ipa_partitions.errors import ImageError

# At most this much comes out at once, however much a byte expands to.
PIECE_BYTES = 1024**2
# xz -9 needs 65 MiB. Of zstd, the library itself takes no more than that of
# its level 22, 128 MiB.
XZ_MEMORY_BYTES = 128 * 1024**2

_ZSTD_MAGIC = 0xFD2FB528
_ZSTD_SKIPPABLE = 0x184D2A50

MAGIC: Mapping[str, bytes] = {
    "gzip": b"\x1f\x8b",
    "xz": b"\xfd7zXZ\0",
    "zstd": _ZSTD_MAGIC.to_bytes(4, "little"),
}


def unpacked(
    chunks: Iterable[memoryview], compression: str, name: str
) -> Iterator[bytes]:
    """Yield the plain bytes of ``chunks`` in pieces.

    Raises ImageError, which begins with ``name``, for damaged data and for
    data that ends too early.
    """
    try:
        yield from _UNPACKERS[compression](chunks)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise ImageError(
            f"{name}: its {compression} data is damaged: {error}"
        ) from error
    except EOFError as error:
        raise ImageError(
            f"{name}: its {compression} data ends too early"
        ) from error


class PieceReader:
    """Pieces of any size, read into buffers of another."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """Fill some of ``buffer``, return how much; 0 only at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _gunzip(chunks: Iterable[memoryview]) -> Iterator[bytes]:
    decoder = None
    for chunk in chunks:
        # Zeroes may pad what a tape drive wrote: gzip(1).
        data = bytes(chunk) if decoder else bytes(chunk).lstrip(b"\0")
        while data:
            if decoder is None:
                decoder = zlib.decompressobj(wbits=31)
            piece = decoder.decompress(data, PIECE_BYTES)
            # Past the end its unconsumed_tail is the next member, too.
            while piece and not decoder.eof:
                yield piece
                # There may be more inside after all input is consumed.
                data = decoder.unconsumed_tail
                piece = decoder.decompress(data, PIECE_BYTES)
            yield piece
            data = b""
            if decoder.eof:
                data = decoder.unused_data.lstrip(b"\0")
                decoder = None
    if decoder is not None:
        raise EOFError


def _unxz(chunks: Iterable[memoryview]) -> Iterator[bytes]:
    decoder = None
    for chunk in chunks:
        # Zeroes may pad a stream: the xz file format, 2.2.
        data = bytes(chunk) if decoder else bytes(chunk).lstrip(b"\0")
        while data:
            if decoder is None:
                decoder = lzma.LZMADecompressor(
                    lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES
                )
            yield decoder.decompress(data, PIECE_BYTES)
            while not decoder.needs_input and not decoder.eof:
                yield decoder.decompress(b"", PIECE_BYTES)
            data = b""
            if decoder.eof:
                data = decoder.unused_data.lstrip(b"\0")
                decoder = None
    if decoder is not None:
        raise EOFError


class _Packed:
    """Chunks, taken by the byte."""

    def __init__(self, chunks: Iterable[memoryview]) -> None:
        self._chunks = iter(chunks)
        self._data = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return exactly ``count`` bytes; EOFError if there are fewer."""
        while len(self._data) - self._at < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise EOFError
            self._data = self._data[self._at :] + bytes(chunk)
            self._at = 0
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def is_at_end(self) -> bool:
        while self._at == len(self._data):
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._data, self._at = bytes(chunk), 0
        return False


def _unzstd(chunks: Iterable[memoryview]) -> Iterator[bytes]:
    packed = _Packed(chunks)
    while not packed.is_at_end():
        magic = packed.number(4)
        if magic & ~0xF == _ZSTD_SKIPPABLE:
            left = packed.number(4)
            while left:
                left -= len(packed.take(min(left, PIECE_BYTES)))
        elif magic == _ZSTD_MAGIC:
            yield from _unzstd_frame(packed)
        else:
            raise zstandard.ZstdError("not a zstd frame")


def _unzstd_frame(packed: _Packed) -> Iterator[bytes]:
    # The library bounds neither what comes out of one call nor says whether
    # a frame was cut. Block by block, as RFC 8878 has them, it does both: a
    # block is of at most 128 KiB, packed and unpacked.
    decoder = zstandard.ZstdDecompressor().decompressobj()
    header = packed.take(1)
    is_single, has_checksum = header[0] & 0x20, header[0] & 0x04
    fields_bytes = (0, 1, 2, 4)[header[0] & 3]
    fields_bytes += (1 if is_single else 0, 2, 4, 8)[header[0] >> 6]
    fields_bytes += 0 if is_single else 1
    decoder.decompress(
        MAGIC["zstd"] + header + packed.take(fields_bytes),
    )
    is_last = False
    while not is_last:
        block = packed.take(3)
        word = int.from_bytes(block, "little")
        is_last, is_run = bool(word & 1), (word >> 1 & 3) == 1
        yield decoder.decompress(
            block + packed.take(1 if is_run else word >> 3)
        )
    if has_checksum:
        yield decoder.decompress(packed.take(4))
    if not decoder.eof:
        raise EOFError


_UNPACKERS: Mapping[str, Callable[[Iterable[memoryview]], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "xz": _unxz,
    "zstd": _unzstd,
}
