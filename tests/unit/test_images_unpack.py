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

"""Decompression: to the very end, in bounded pieces."""

from __future__ import annotations

import gzip
import lzma
import random
from collections.abc import Callable, Iterator

import pytest
import zstandard

from ipa_partitions.errors import ImageError
from ipa_partitions.images import unpack

NOISE = random.Random(1).randbytes(300_000)
# Compresses to next to nothing: a bomb.
PLAIN = NOISE + bytes(40_000_000) + NOISE

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
SKIPPABLE = b"\x5a\x2a\x4d\x18\x05\0\0\0hello"


def unsized(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor(write_content_size=False)
    return packer.compress(data)


def chunks(data: bytes, count: int) -> Iterator[memoryview]:
    for at in range(0, len(data), count):
        yield memoryview(data)[at : at + count]


def unpacked(data: bytes, compression: str, count: int = 10_000) -> bytes:
    return b"".join(
        unpack.unpacked(chunks(data, count), compression, "http://x/y")
    )


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("count", [1, 4096, 10**8])
def test_several_parts_are_one_stream(compression: str, count: int) -> None:
    pack = PACKERS[compression]
    data = pack(b"one" * 500) + pack(b"") + pack(b"two")
    assert unpacked(data, compression, count) == b"one" * 500 + b"two"


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("count", [4096, 10**8])
def test_parts_of_many_pieces_are_one_stream(
    compression: str, count: int
) -> None:
    pack = PACKERS[compression]
    one, two = bytes(3_000_000), NOISE + bytes(2_000_000)
    data = unpacked(pack(one) + pack(two), compression, count)
    assert data == one + two


@pytest.mark.parametrize("compression", PACKERS)
def test_no_piece_is_large_however_much_a_byte_expands(
    compression: str,
) -> None:
    data = PACKERS[compression](PLAIN)
    pieces = list(
        unpack.unpacked(chunks(data, len(data)), compression, "http://x/y")
    )
    assert max(map(len, pieces)) <= unpack.PIECE_BYTES
    assert b"".join(pieces) == PLAIN


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("left", [1, 5, 20, 1000, 150_000])
def test_data_that_ends_early_is_an_error(compression: str, left: int) -> None:
    data = PACKERS[compression](NOISE)
    with pytest.raises(ImageError, match=r"http://x/y: .* ends too early"):
        unpacked(data[:-left], compression)


@pytest.mark.parametrize(("compression", "data"), [
    ("gzip", gzip.compress(b"x") + b"garbage"),
    ("gzip", gzip.compress(NOISE)[:-8] + b"????" * 2),   # its checksum
    ("xz", lzma.compress(b"x") + b"garbage" * 9),
    ("zstd", unsized(b"x") + b"garbage"),
    ("zstd", PACKERS["zstd"](b"x" * 99)[:-4] + b"????"),   # its checksum
])  # fmt: skip
def test_damaged_data_is_an_error(compression: str, data: bytes) -> None:
    with pytest.raises(ImageError, match=r"http://x/y: .* is damaged"):
        unpacked(data, compression)


@pytest.mark.parametrize(("compression", "data"), [
    ("gzip", gzip.compress(b"x") + bytes(512)),      # padded, as on tape
    ("xz", lzma.compress(b"x") + bytes(8)),
    ("zstd", SKIPPABLE + unsized(b"x") + SKIPPABLE),
])  # fmt: skip
@pytest.mark.parametrize("count", [1, 10_000])
def test_what_may_stand_between_parts_is_skipped(
    compression: str, data: bytes, count: int
) -> None:
    assert unpacked(data, compression, count) == b"x"


def test_an_xz_that_wants_all_memory_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 * 1024**2}]
    data = lzma.compress(b"x", filters=filters)
    with pytest.raises(ImageError, match="is damaged: Memory usage"):
        unpacked(data, "xz")
