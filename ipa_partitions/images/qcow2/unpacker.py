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

"""Unpack compressed clusters, several at a time, and write them."""

from __future__ import annotations

import mmap
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue

import zstandard

from ipa_partitions.images.qcow2 import Qcow2Error
from ipa_partitions.images.qcow2.header import Header

# Of what is unpacked at once: enough for one write to be quick.
_BATCH_BYTES = 2 * 1024**2
_WORKERS_MAX = 4

# Packed bytes, and the cluster of the disk inside.
_Batch = list[tuple[bytes, int]]
Write = Callable[[int, memoryview], None]


class Unpacker:
    """Takes packed clusters; a few threads unpack and write them."""

    def __init__(
        self, header: Header, write: Write, pool: ThreadPoolExecutor
    ) -> None:
        self._header = header
        self._write = write
        self._pool = pool
        self._batch: _Batch = []
        self._running: deque[Future[None]] = deque()
        self._buffers: SimpleQueue[memoryview] = SimpleQueue()
        self._batch_clusters = max(1, _BATCH_BYTES // header.cluster_bytes)
        for _ in range(_workers() + 1):
            count = self._batch_clusters * header.cluster_bytes
            self._buffers.put(memoryview(mmap.mmap(-1, count)))

    def put(self, packed: bytes, guest: int) -> None:
        """Unpack it, and write it as the cluster ``guest``, some time.

        Raises, for it or for one before, Qcow2Error if it is damaged, and
        what writing raises.
        """
        self._batch.append((packed, guest))
        if len(self._batch) == self._batch_clusters:
            self._submit()

    def finish(self) -> None:
        """Wait until all is written; raises as ``put`` does."""
        if self._batch:
            self._submit()
        while self._running:
            self._running.popleft().result()

    def _submit(self) -> None:
        batch, self._batch = self._batch, []
        # Memory is what the buffers take: wait for one.
        buffer = self._buffers.get()
        while self._running and self._running[0].done():
            self._running.popleft().result()
        self._running.append(self._pool.submit(self._unpack, batch, buffer))

    def _unpack(self, batch: _Batch, buffer: memoryview) -> None:
        try:
            batch.sort(key=lambda each: each[1])
            size = self._header.cluster_bytes
            for number, (packed, _) in enumerate(batch):
                buffer[number * size : (number + 1) * size] = unpack_cluster(
                    self._header, packed
                )
            for first, last in _runs([guest for _, guest in batch]):
                at = batch[first][1] * size
                end = min((last - first) * size, self._header.size_bytes - at)
                self._write(at, buffer[first * size :][:end])
        finally:
            self._buffers.put(buffer)


@contextmanager
def unpacker(header: Header, write: Write) -> Iterator[Unpacker]:
    """Yield what unpacks clusters of such an image for ``write``.

    When the block ends nothing is written any more.
    """
    with ThreadPoolExecutor(_workers()) as pool:
        try:
            yield Unpacker(header, write, pool)
        finally:
            pool.shutdown(cancel_futures=True)


def unpack_cluster(header: Header, packed: bytes) -> bytes:
    """Return the cluster that ``packed`` begins with, or Qcow2Error."""
    try:
        plain = _UNPACKERS[header.compression](packed, header.cluster_bytes)
    except (zlib.error, zstandard.ZstdError) as error:
        raise Qcow2Error(f"has a damaged cluster: {error}") from error
    if len(plain) != header.cluster_bytes:
        raise Qcow2Error("has a damaged cluster")
    return plain


def _workers() -> int:
    return min(_WORKERS_MAX, len(os.sched_getaffinity(0)))


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of the slices in which each is one more."""
    first = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
            yield first, at
            first = at


def _inflate(packed: bytes, size_bytes: int) -> bytes:
    # After its end there may be the start of another cluster.
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size_bytes)


def _unzstd(packed: bytes, size_bytes: int) -> bytes:
    # The library makes room for whatever a frame says that it holds.
    if zstandard.frame_content_size(packed) > size_bytes:
        raise zstandard.ZstdError("a frame larger than a cluster")
    return zstandard.ZstdDecompressor().decompress(
        packed, max_output_size=size_bytes
    )


_UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {
    "zlib": _inflate,
    "zstd": _unzstd,
}
