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

"""qcow2 files, built cluster by cluster in any order, right and wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

IN_USE = 1 << 63
COMPRESSED = 1 << 62
BLOCK_BYTES = 4 * 1024**2


@dataclass
class Qcow2:
    """An image whose clusters ``data`` are None, plain or to be packed.

    ``order`` has a number for each cluster of the file but the first: L1,
    the L2 tables, the data, and sorts them. ``change`` gets the fields.
    """

    cluster_bits: int
    data: Sequence[bytes | None]
    packed: frozenset[int] = frozenset()
    order: Sequence[int] = ()
    version: int = 3
    fields: dict[str, int] = field(default_factory=dict)
    entries: dict[int, int] = field(default_factory=dict)
    l1_entries: dict[int, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return 1 << self.cluster_bits

    @property
    def plain(self) -> bytes:
        """The disk inside."""
        return b"".join(each or bytes(self.size) for each in self.data)

    def build(self) -> bytes:
        """Return the file."""
        per_table = self.size // 8
        tables = -(-len(self.data) // per_table)
        wanted: list[tuple[str, int]] = [("l1", 0)]
        wanted += [("l2", number) for number in range(tables)]
        wanted += [
            ("data", number)
            for number, each in enumerate(self.data)
            if each is not None
        ]
        keys = [*self.order, *range(len(self.order), len(wanted))]
        ordered = sorted(
            range(len(wanted)), key=lambda index: (keys[index], index)
        )
        places = {
            wanted[index]: (host + 1) << self.cluster_bits
            for host, index in enumerate(ordered)
        }
        clusters = {0: self._header(places["l1", 0], tables)}
        l1 = [places["l2", n] | IN_USE for n in range(tables)]
        for number, entry in self.l1_entries.items():
            l1[number] = entry
        clusters[places["l1", 0]] = _words(l1)
        for table in range(tables):
            first = table * per_table
            words = [
                self._entry(guest, places)
                for guest in range(
                    first, min(first + per_table, len(self.data))
                )
            ]
            clusters[places["l2", table]] = _words(words)
        for guest, each in enumerate(self.data):
            if each is not None:
                content = deflated(each) if guest in self.packed else each
                clusters[places["data", guest]] = content
        return b"".join(
            clusters[at].ljust(self.size, b"\0") for at in sorted(clusters)
        )

    def _entry(self, guest: int, places: dict[tuple[str, int], int]) -> int:
        if guest in self.entries:
            return self.entries[guest]
        each = self.data[guest]
        if each is None:
            return 0
        place = places["data", guest]
        if guest not in self.packed:
            return place | IN_USE
        sectors = -(-len(deflated(each)) // 512)
        shift = 62 - (self.cluster_bits - 8)
        return COMPRESSED | (sectors - 1) << shift | place

    def _header(self, l1_offset: int, tables: int) -> bytes:
        fields = {
            "magic": 0x514649FB, "version": self.version, "backing": 0,
            "backing_bytes": 0, "cluster_bits": self.cluster_bits,
            "size_bytes": len(self.data) << self.cluster_bits,
            "encryption": 0, "l1_entries": tables, "l1_offset": l1_offset,
            "refcounts": 0, "refcount_clusters": 0, "snapshots": 0,
            "snapshots_offset": 0, "incompatible": 0, "compatible": 0,
            "autoclear": 0, "refcount_order": 4, "header_bytes": 112,
            "compression": 0,
            **self.fields,
        }  # fmt: skip
        return struct.pack(">IIQIIQIIQQIIQQQQIIB", *fields.values())


def deflated(data: bytes) -> bytes:
    """Return what QEMU makes of a cluster."""
    packer = zlib.compressobj(wbits=-12)
    return packer.compress(data) + packer.flush()


def blocks(data: bytes, count: int = BLOCK_BYTES) -> Iterator[memoryview]:
    """Yield a file as a stream of it comes."""
    for at in range(0, len(data), count):
        yield memoryview(data)[at : at + count]


def reader_of(data: bytes) -> Callable[[int, int], bytes | None]:
    """Return what reads a part of ``data``."""

    def read_at(offset: int, count: int) -> bytes | None:
        part = data[offset : offset + count]
        return part if len(part) == count else None

    return read_at


class Disk:
    """A disk of ones that knows what was written to it."""

    def __init__(self, size_bytes: int) -> None:
        self.content = bytearray(b"\xff" * size_bytes)

    def write(self, offset: int, block: memoryview) -> None:
        assert 0 <= offset <= offset + len(block) <= len(self.content)
        self.content[offset : offset + len(block)] = block

    def zero(self, start: int, end: int) -> None:
        assert start >= 0
        assert end <= len(self.content)
        self.content[start:end] = bytes(max(0, end - start))


def _words(words: Sequence[int]) -> bytes:
    return struct.pack(f">{len(words)}Q", *words)
