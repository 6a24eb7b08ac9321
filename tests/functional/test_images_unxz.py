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


"""xz images by the real program."""

import lzma
import random
import subprocess
from collections.abc import Iterator

import pytest

from ipa_partitions.errors import ImageError
from ipa_partitions.images import unxz

NAME = "http://x/y.xz"
PLAIN = bytes(3_000_000) + random.Random(8).randbytes(1_000_000)
XZ = lzma.compress(PLAIN, preset=0)


def in_blocks(data: bytes) -> bytes:
    """Pack as ``xz --threads`` does: each block can be unpacked alone."""
    return subprocess.run(
        ["xz", "-0", "--threads=2", "--block-size=500KiB", "--stdout"],
        input=data,
        check=True,
        capture_output=True,
    ).stdout


def chunks(data: bytes, count: int = 100_000) -> Iterator[memoryview]:
    for at in range(0, len(data), count):
        yield memoryview(data)[at : at + count]


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(XZ, id="one block"),
        pytest.param(in_blocks(PLAIN), id="many blocks"),
        pytest.param(
            lzma.compress(PLAIN[:10]) + lzma.compress(PLAIN[10:], preset=0),
            id="two streams",
        ),
        pytest.param(XZ + bytes(8), id="padded"),
    ],
)
def test_what_was_packed_is_there(packed: bytes) -> None:
    assert b"".join(unxz.unpacked(chunks(packed), NAME)) == PLAIN


WANTS_MEMORY = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 * 1024**2}]


@pytest.mark.parametrize(("packed", "problem"), [
    (XZ[:-1], "Unexpected end of input"),
    (XZ[:-9000], "Unexpected end of input"),
    (XZ + b"garbage" * 9, "data is corrupt"),
    (XZ[:5000] + b"????" + XZ[5004:], "data is corrupt"),
    (lzma.compress(b"x", filters=WANTS_MEMORY), "Memory usage limit"),
])  # fmt: skip
def test_what_is_not_xz_to_its_end_is_an_error(
    packed: bytes, problem: str
) -> None:
    with pytest.raises(ImageError, match=f"{NAME}: xz .*{problem}"):
        list(unxz.unpacked(chunks(packed), NAME))


def test_what_the_source_says_is_what_is_heard() -> None:
    def broken() -> Iterator[memoryview]:
        yield memoryview(XZ)[:1000]
        raise ImageError("the server is gone")

    with pytest.raises(ImageError, match="the server is gone"):
        list(unxz.unpacked(broken(), NAME))


def test_nothing_more_is_taken_when_nothing_more_is_wanted() -> None:
    source = chunks(in_blocks(random.Random(9).randbytes(9_000_000)))
    pieces = unxz.unpacked(source, NAME)
    assert next(pieces)
    pieces.close()
    assert next(source, None)
