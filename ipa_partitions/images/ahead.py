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

"""Read ahead: a few aligned buffers, filled by a thread, reused for ever.

Reading, hashing and what the caller does with a block happen at the same
time; memory is what the buffers take, however long the stream.
"""

from __future__ import annotations

import contextvars
import mmap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Protocol

BUFFERS = 6


class Hash(Protocol):
    """What hashlib returns."""

    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


# A block, its buffer behind it; the end; or what ended it.
_Item = tuple[memoryview, memoryview] | BaseException | None


@contextmanager
def read_ahead(
    readinto: Callable[[memoryview], int],
    block_bytes: int,
    hasher: Hash | None = None,
) -> Iterator[Iterator[memoryview]]:
    """Yield an iterator of blocks, each valid until the next is asked for.

    ``readinto`` fills some of a buffer and returns how much, 0 at the end.
    All blocks but the last are of ``block_bytes``, and all start on a page.
    Each has gone through ``hasher`` when it comes. What ``readinto`` raises
    comes out of the iterator.
    """
    free: SimpleQueue[memoryview | None] = SimpleQueue()
    filled: SimpleQueue[_Item] = SimpleQueue()
    hashed: SimpleQueue[_Item] = SimpleQueue() if hasher else filled
    for _ in range(BUFFERS):
        free.put(memoryview(mmap.mmap(-1, block_bytes)))
    stop = threading.Event()
    threads = [_thread(_read, readinto, free, filled, stop)]
    if hasher:
        threads.append(_thread(_hash, hasher, filled, hashed))
    try:
        yield _blocks(hashed, free)
    finally:
        stop.set()
        free.put(None)
        for thread in threads:
            thread.join()


def _thread(
    target: Callable[..., None], *arguments: object
) -> threading.Thread:
    # A copy of the context, so that progress reaches who listens.
    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(target, *arguments)
    )
    thread.start()
    return thread


def _read(
    readinto: Callable[[memoryview], int],
    free: SimpleQueue[memoryview | None],
    filled: SimpleQueue[_Item],
    stop: threading.Event,
) -> None:
    try:
        while (buffer := free.get()) is not None:
            count = 0
            while count < len(buffer) and not stop.is_set():
                more = readinto(buffer[count:])
                if not more:
                    break
                count += more
            if count:
                filled.put((buffer[:count], buffer))
            if count < len(buffer):
                break
        filled.put(None)
    except BaseException as error:  # raised where the blocks are used
        filled.put(error)


def _hash(
    hasher: Hash, filled: SimpleQueue[_Item], hashed: SimpleQueue[_Item]
) -> None:
    while isinstance(item := filled.get(), tuple):
        hasher.update(item[0])
        hashed.put(item)
    hashed.put(item)


def _blocks(
    hashed: SimpleQueue[_Item], free: SimpleQueue[memoryview | None]
) -> Iterator[memoryview]:
    while isinstance(item := hashed.get(), tuple):
        block, buffer = item
        yield block
        free.put(buffer)
    if item is not None:
        raise item
