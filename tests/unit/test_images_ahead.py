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

"""Reading ahead."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

import pytest

from ipa_partitions import progress
from ipa_partitions.images.ahead import BUFFERS, read_ahead

BLOCK = 8192


def dribble(data: bytes, count: int) -> Callable[[memoryview], int]:
    """Return a readinto() that gives ``count`` bytes at most."""
    rest = memoryview(data)

    def readinto(buffer: memoryview) -> int:
        nonlocal rest
        part = rest[: min(count, len(buffer))]
        buffer[: len(part)] = part
        rest = rest[len(part) :]
        return len(part)

    return readinto


@pytest.mark.parametrize(("length", "lengths"), [
    (0, []),
    (1, [1]),
    (BLOCK, [BLOCK]),
    (BLOCK + 1, [BLOCK, 1]),
    (BLOCK * 20, [BLOCK] * 20),
])  # fmt: skip
@pytest.mark.parametrize("count", [1000, BLOCK, 10**6])
def test_blocks_are_full_but_the_last_and_all_are_hashed(
    length: int, lengths: list[int], count: int
) -> None:
    data = bytes(i * 7 % 251 for i in range(length))
    hasher = hashlib.sha256()
    with read_ahead(dribble(data, count), BLOCK, hasher) as blocks:
        seen = [bytes(block) for block in blocks]
    assert [len(block) for block in seen] == lengths
    assert b"".join(seen) == data
    assert hasher.hexdigest() == hashlib.sha256(data).hexdigest()


def test_what_reading_raises_comes_after_the_blocks_before_it() -> None:
    give = dribble(bytes(2 * BLOCK), BLOCK)

    def readinto(buffer: memoryview) -> int:
        if count := give(buffer):
            return count
        raise LookupError("gone")

    seen = 0
    with (
        pytest.raises(LookupError, match="gone"),
        read_ahead(readinto, BLOCK, hashlib.sha256()) as blocks,
    ):
        for block in blocks:
            seen += len(block)
    assert seen == 2 * BLOCK


def test_no_more_is_read_than_the_buffers_hold_and_no_thread_stays() -> None:
    read = 0

    def readinto(buffer: memoryview) -> int:
        nonlocal read
        read += len(buffer)
        return len(buffer)

    before = threading.active_count()
    with read_ahead(readinto, BLOCK, hashlib.sha256()) as blocks:
        next(blocks)
    assert read <= BUFFERS * BLOCK
    assert threading.active_count() == before


def test_the_reading_thread_tells_the_listener_of_its_starter() -> None:
    def readinto(buffer: memoryview) -> int:
        progress.expect(5)
        return 0

    seen: list[progress.Progress] = []
    with progress.listening(progress.Whole(seen.append, 1), "x", 1):
        with read_ahead(readinto, BLOCK) as blocks:
            assert list(blocks) == []
        progress._current.get().tell()  # type: ignore[union-attr]
    assert seen[-1].total_bytes == 5
