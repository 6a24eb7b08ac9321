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

"""What each cluster of a qcow2 file is for, as far as its tables were seen.

Memory: 8 bytes for each cluster of the file and 1 for each of the disk
inside, 16 more if it is compressed; of 64 KiB, what is usual, that is a
part in two thousand at most.
"""

from __future__ import annotations

import hashlib
import mmap
import sys
from array import array
from collections.abc import Callable, Iterator
from enum import IntEnum

from ipa_partitions.images.qcow2 import Qcow2Error
from ipa_partitions.images.qcow2.entry import (
    OFFSET_MASK,
    Extent,
    check_offset,
    locate,
)
from ipa_partitions.images.qcow2.header import Header

# More tables than that are read as they come: asking for each takes longer.
_PRELOAD_TABLES = 1024
_CLUSTERS_MAX = 2**32

_KIND_SHIFT = 56
_VALUE_MASK = (1 << _KIND_SHIFT) - 1

ReadAt = Callable[[int, int], bytes | None]


class Kind(IntEnum):
    """What a cluster of the file is for."""

    UNKNOWN = 0
    TABLE = 1
    L1 = 2
    L2 = 3
    DATA = 4
    COMPRESSED = 5


class State:
    """What a cluster of the disk inside is, a byte each."""

    ZERO = b"\0"
    AWAITED = b"\1"
    WRITTEN = b"\2"


class Tables:
    """The tables of one image, each read when it comes, or before.

    ``pending`` is the number of those that were not read yet. ``states``
    has a byte of State for each cluster of the disk inside.
    """

    def __init__(self, header: Header, file_bytes: int | None) -> None:
        """Start with the header; ``file_bytes`` is None if not known.

        Raises Qcow2Error for a table that cannot be where it is.
        """
        if header.clusters > _CLUSTERS_MAX:
            raise Qcow2Error(f"has {header.clusters} clusters")
        self.header = header
        # An image that long is mostly garbage.
        self._file_bytes = file_bytes or 4 * header.size_bytes + 2**26
        try:
            self._owners = _numbers(
                (self._file_bytes >> header.cluster_bits) + 1
            )
            self.states = mmap.mmap(-1, max(1, header.clusters))
        except (OSError, OverflowError, MemoryError) as error:
            raise Qcow2Error(
                f"has {header.clusters} clusters, for which there is no memory"
            ) from error
        self._extents = array("Q")
        self._guests = array("I")
        self._others = array("Q")
        self._l2_offsets = array("Q")
        self._digests: dict[int, bytes] = {}
        self.pending = 0
        self._own(0, Kind.TABLE, 0)
        entries_bytes = 8 * -(-header.clusters // header.l2_entries)
        self._l1_end = header.l1_offset + entries_bytes
        for number, at in enumerate(
            range(header.l1_offset, self._l1_end, header.cluster_bytes)
        ):
            self._own(at, Kind.L1, number)
            self.pending += 1

    def owner(self, host: int) -> tuple[Kind, int]:
        """Return what the cluster ``host`` of the file is for.

        With it comes the cluster of the disk inside for DATA.
        """
        if host >= len(self._owners):
            return Kind.UNKNOWN, 0
        word = self._owners[host]
        return Kind(word >> _KIND_SHIFT), word & _VALUE_MASK

    def run(self, host: int, limit: int) -> int:
        """Return how many clusters from ``host`` on, ``limit`` at most.

        They are DATA, and belong together in the disk inside as well.
        """
        owners, first = self._owners, self._owners[host]
        limit = min(limit, len(owners) - host)
        count = 1
        while count < limit and owners[host + count] == first + count:
            count += 1
        return count

    def take_compressed(self, host: int) -> Iterator[tuple[Extent, int]]:
        """Yield, once, what begins in ``host`` and its cluster inside."""
        _, link = self.owner(host)
        self._owners[host] = Kind.COMPRESSED << _KIND_SHIFT
        while link:
            extent = locate(self.header, self._extents[link - 1])
            if extent:
                yield extent, self._guests[link - 1]
            link = self._others[link - 1]

    def preload(self, read_at: ReadAt) -> None:
        """Read all tables at once, or those that ``read_at`` has."""
        header = self.header
        if self.pending > _PRELOAD_TABLES:
            return
        for at in range(header.l1_offset, self._l1_end, header.cluster_bytes):
            count = min(header.cluster_bytes, self._l1_end - at)
            if not self._preload(read_at, at, count):
                return
        if self.pending > _PRELOAD_TABLES:
            return
        for at in sorted(self._l2_offsets):
            if not self._preload(read_at, at, header.cluster_bytes):
                return

    def _preload(self, read_at: ReadAt, offset: int, count: int) -> bool:
        data = read_at(offset, count)
        if data is None:
            return False
        host = offset >> self.header.cluster_bits
        self.read(host, memoryview(data))
        # What comes by itself is not what the checksum is of.
        self._digests[host] = _digest(memoryview(data))
        return True

    def read(
        self,
        host: int,
        data: memoryview,
        is_lost: Callable[[int], bool] = lambda _host: False,
    ) -> bool:
        """Read the table in the cluster ``host``, if it was not before.

        Returns whether it was read now. ``is_lost`` tells which clusters
        are not to be had any more. Raises Qcow2Error for an entry that
        cannot be, and for a table that differs from what was read before.
        """
        kind, number = self.owner(host)
        start = host << self.header.cluster_bits
        is_l1 = self.header.l1_offset <= start < self._l1_end
        data = data[: self._l1_end - start] if is_l1 else data
        if host in self._digests:
            if _digest(data) != self._digests[host]:
                raise Qcow2Error("changed while it was downloaded")
            return False
        if kind is Kind.L1:
            self._expect(start, data, self._l1_end)
            self._read_l1(number, _words(data), is_lost)
        elif kind is Kind.L2:
            self._expect(start, data, start + self.header.cluster_bytes)
            self._read_l2(number, _words(data), is_lost)
        else:
            return False
        self._owners[host] = Kind.TABLE << _KIND_SHIFT
        self.pending -= 1
        return True

    def _expect(self, start: int, data: memoryview, end: int) -> None:
        if len(data) < min(end - start, self.header.cluster_bytes):
            raise Qcow2Error(f"is cut in the table at {start:#x}")

    def _read_l1(
        self,
        number: int,
        entries: array[int],
        is_lost: Callable[[int], bool],
    ) -> None:
        first = number * self.header.l2_entries
        for index, entry in enumerate(entries, first):
            if not entry:
                continue
            check_offset(self.header, entry, "L1")
            if offset := entry & OFFSET_MASK:
                self._own(offset, Kind.L2, index)
                _refuse_if(is_lost(offset >> self.header.cluster_bits))
                self._l2_offsets.append(offset)
                self.pending += 1

    def _read_l2(
        self,
        number: int,
        entries: array[int],
        is_lost: Callable[[int], bool],
    ) -> None:
        first = number * self.header.l2_entries
        last = min(first + len(entries), self.header.clusters)
        for guest, entry in zip(range(first, last), entries, strict=False):
            extent = locate(self.header, entry) if entry else None
            if not extent:
                continue
            self.states[guest] = State.AWAITED[0]
            if extent.is_compressed:
                self._own_compressed(extent, entry, guest)
            else:
                self._own(extent.offset, Kind.DATA, guest)
            _refuse_if(is_lost(extent.offset >> self.header.cluster_bits))

    def _own(self, offset: int, kind: Kind, number: int) -> None:
        host = offset >> self.header.cluster_bits
        if offset >= self._file_bytes:
            raise Qcow2Error(f"has something beyond its end, at {offset:#x}")
        if self._owners[host]:
            raise Qcow2Error(f"has two things in one place, at {offset:#x}")
        self._owners[host] = kind << _KIND_SHIFT | number

    def _own_compressed(self, extent: Extent, entry: int, guest: int) -> None:
        bits = self.header.cluster_bits
        first = extent.offset >> bits
        last = (extent.offset + extent.size_bytes - 1) >> bits
        if extent.offset >= self._file_bytes:
            raise Qcow2Error(
                f"has something beyond its end, at {extent.offset:#x}"
            )
        # Its last sector may be the part of one that the file ends with.
        for host in range(first, min(last + 1, len(self._owners))):
            if not self._owners[host]:
                self._owners[host] = Kind.COMPRESSED << _KIND_SHIFT
            elif self._owners[host] >> _KIND_SHIFT != Kind.COMPRESSED:
                raise Qcow2Error(
                    f"has two things in one place, at {extent.offset:#x}"
                )
        self._others.append(self._owners[first] & _VALUE_MASK)
        self._extents.append(entry)
        self._guests.append(guest)
        link = len(self._extents)
        self._owners[first] = Kind.COMPRESSED << _KIND_SHIFT | link


def _refuse_if(is_lost: bool) -> None:
    if is_lost:
        raise Qcow2Error(
            "has a table too long after what it is of: it has to come"
            " unpacked, from a server that knows Range"
        )


def _numbers(count: int) -> memoryview:
    """Return ``count`` numbers, 0, that take no memory until they are set."""
    return memoryview(mmap.mmap(-1, 8 * count)).cast("Q")


def _words(data: memoryview) -> array[int]:
    words = array("Q", bytes(data[: len(data) // 8 * 8]))
    if sys.byteorder == "little":
        words.byteswap()
    return words


def _digest(data: memoryview) -> bytes:
    return hashlib.sha256(data).digest()
