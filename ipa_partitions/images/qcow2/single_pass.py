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

"""One pass over a qcow2 file: each cluster to its place, when it comes.

Tables are read before where the source has them, else when they come by. A
cluster that nothing seen yet is known to refer to is held for a while, in
bounded memory: QEMU writes a table before what it is of, but a few clusters
around it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ipa_partitions.images.qcow2 import Qcow2Error
from ipa_partitions.images.qcow2.entry import Extent
from ipa_partitions.images.qcow2.tables import Kind, State, Tables
from ipa_partitions.images.qcow2.unpacker import Unpacker, unpacker

HELD_BYTES = 32 * 1024**2


class Target(Protocol):
    """Where the disk inside is written to, in any order."""

    def write(self, offset: int, block: memoryview, /) -> None: ...

    def zero(self, start: int, end: int, /) -> None: ...


def unfold(
    tables: Tables, blocks: Iterable[memoryview], target: Target
) -> None:
    """Write the disk inside the file of ``blocks`` to ``target``.

    All of it is written, or zeroed. Blocks but the last are of whole
    clusters. Raises Qcow2Error for a file that is damaged or cut.
    """
    with unpacker(tables.header, target.write) as unpacking:
        one = _Pass(tables, target, unpacking)
        for block in blocks:
            one.take(block)
        one.finish()


@dataclass
class _Held:
    """Clusters that may be asked for later, the last HELD_BYTES of them."""

    clusters: dict[int, bytes] = field(default_factory=dict)
    size_bytes: int = 0

    def keep(self, host: int, cluster: bytes) -> None:
        self.clusters[host] = cluster
        self.size_bytes += len(cluster)
        while self.size_bytes > HELD_BYTES:
            oldest = next(iter(self.clusters))
            self.size_bytes -= len(self.clusters.pop(oldest))

    def clear(self) -> None:
        self.clusters.clear()
        self.size_bytes = 0


@dataclass
class _Partial:
    """A compressed cluster that goes on in the next block."""

    guest: int
    missing_bytes: int
    data: bytearray


class _Pass:
    def __init__(
        self, tables: Tables, target: Target, unpacking: Unpacker
    ) -> None:
        self._tables = tables
        self._header = tables.header
        self._target = target
        self._unpacking = unpacking
        self._held = _Held()
        self._partials: list[_Partial] = []
        self._offset = 0
        self._passed = 0

    def take(self, block: memoryview) -> None:
        """Write what is in the next block of the file."""
        self._complete(block)
        size = self._header.cluster_bytes
        at = 0
        while at < len(block):
            host = (self._offset + at) // size
            kind, guest = self._tables.owner(host)
            if kind is Kind.DATA:
                count = self._tables.run(host, -(-(len(block) - at) // size))
                self._write(guest, count, block[at : at + count * size])
                at += count * size
                continue
            cluster = block[at : at + size]
            if kind is Kind.COMPRESSED:
                self._put_compressed(host, block)
            elif kind is not Kind.UNKNOWN:
                self._read_table(host, cluster)
            if self._tables.pending and kind in (
                Kind.UNKNOWN,
                Kind.COMPRESSED,
            ):
                self._held.keep(host, bytes(cluster))
            at += size
        self._offset += len(block)

    def finish(self) -> None:
        """Write the rest, and zero what the file has nothing of."""
        for partial in self._partials:
            # The last sector of a file need not be whole.
            self._put(bytes(partial.data), partial.guest)
        self._unpacking.finish()
        tables, size = self._tables, self._header.cluster_bytes
        if tables.pending or tables.states.find(State.AWAITED) >= 0:
            raise Qcow2Error(f"is cut, after {self._offset} bytes")
        start, clusters = tables.states.find(State.ZERO), self._header.clusters
        # There is one state at least, also of a disk of no size.
        while 0 <= start < clusters:
            end = tables.states.find(State.WRITTEN, start)
            end = end if end >= 0 else clusters
            self._target.zero(
                start * size, min(end * size, self._header.size_bytes)
            )
            start = tables.states.find(State.ZERO, end)

    def _write(self, guest: int, count: int, data: memoryview) -> None:
        self._tables.states[guest : guest + count] = State.WRITTEN * count
        start = guest * self._header.cluster_bytes
        end = min(
            (guest + count) * self._header.cluster_bytes,
            self._header.size_bytes,
        )
        data = data[: end - start]
        self._target.write(start, data)
        # What a file ends before reads as zero.
        self._target.zero(start + len(data), end)

    def _put(self, packed: bytes, guest: int) -> None:
        self._tables.states[guest] = State.WRITTEN[0]
        self._unpacking.put(packed, guest)

    def _complete(self, block: memoryview) -> None:
        """Put the compressed clusters that ``block`` has the rest of."""
        partials, self._partials = self._partials, []
        for each in partials:
            more = block[: each.missing_bytes]
            each.data += more
            each.missing_bytes -= len(more)
            if each.missing_bytes:
                self._partials.append(each)
            else:
                self._put(bytes(each.data), each.guest)

    def _put_compressed(self, host: int, block: memoryview) -> None:
        """Put what begins in the cluster ``host`` of ``block``."""
        for extent, guest in self._tables.take_compressed(host):
            data = block[extent.offset - self._offset :][: extent.size_bytes]
            missing_bytes = extent.size_bytes - len(data)
            if missing_bytes:
                self._partials.append(
                    _Partial(guest, missing_bytes, bytearray(data))
                )
            else:
                self._put(bytes(data), guest)

    def _read_table(self, host: int, cluster: memoryview) -> None:
        self._passed = host
        if self._tables.read(host, cluster, self._is_lost):
            while self._looked_back():
                pass
        if not self._tables.pending:
            self._held.clear()

    def _is_lost(self, host: int) -> bool:
        return host < self._passed and host not in self._held.clusters

    def _looked_back(self) -> bool:
        """Write those of the clusters held that are known by now.

        Returns whether a table was among them, which may know more.
        """
        found = False
        for host, cluster in list(self._held.clusters.items()):
            kind, guest = self._tables.owner(host)
            data = memoryview(cluster)
            if kind is Kind.DATA:
                if self._tables.states[guest] == State.AWAITED[0]:
                    self._write(guest, 1, data)
            elif kind is Kind.COMPRESSED:
                for extent, inside in self._tables.take_compressed(host):
                    self._put(self._gathered(extent), inside)
            elif kind is not Kind.UNKNOWN:
                found |= self._tables.read(host, data, self._is_lost)
        return found

    def _gathered(self, extent: Extent) -> bytes:
        """Return the bytes of ``extent``, which is in clusters held."""
        size = self._header.cluster_bytes
        first = extent.offset // size
        last = (extent.offset + extent.size_bytes - 1) // size
        try:
            data = b"".join(
                self._held.clusters[host] for host in range(first, last + 1)
            )
        except KeyError:
            raise Qcow2Error(
                f"has a compressed cluster in pieces, at {extent.offset:#x}"
            ) from None
        return data[extent.offset % size :][: extent.size_bytes]
