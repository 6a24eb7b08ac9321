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

"""The first bytes of the disk inside, where a file can be read in parts."""

from __future__ import annotations

from ipa_partitions.images.qcow2.entry import (
    OFFSET_MASK,
    check_offset,
    locate,
)
from ipa_partitions.images.qcow2.header import Header
from ipa_partitions.images.qcow2.tables import ReadAt
from ipa_partitions.images.qcow2.unpacker import unpack_cluster

# Each costs a request or two.
_CLUSTERS_MAX = 32


def read_start(
    header: Header, read_at: ReadAt, size_bytes: int
) -> bytes | None:
    """Return the first ``size_bytes`` of the disk inside, or all of it.

    None where that cannot be had, or costs too much. Raises Qcow2Error if
    what is there is damaged.
    """
    size_bytes = min(size_bytes, header.size_bytes)
    clusters = -(-size_bytes // header.cluster_bytes)
    if clusters > _CLUSTERS_MAX:
        return None
    start = b""
    for guest in range(clusters):
        count = min(header.cluster_bytes, size_bytes - len(start))
        piece = _cluster(header, read_at, guest, count)
        if piece is None:
            return None
        start += piece
    return start


def _cluster(
    header: Header, read_at: ReadAt, guest: int, count: int
) -> bytes | None:
    """Return the first ``count`` bytes of one cluster."""
    number, index = divmod(guest, header.l2_entries)
    entry = _word(read_at, header.l1_offset + 8 * number)
    if entry is None:
        return None
    check_offset(header, entry, "L1")
    table = entry & OFFSET_MASK
    entry = _word(read_at, table + 8 * index) if table else 0
    if entry is None:
        return None
    extent = locate(header, entry) if entry else None
    if not extent:
        return bytes(count)
    if not extent.is_compressed:
        return read_at(extent.offset, count)
    packed = read_at(extent.offset, extent.size_bytes)
    # None too for what ends with the file, in the midst of a sector.
    return packed and unpack_cluster(header, packed)[:count]


def _word(read_at: ReadAt, offset: int) -> int | None:
    data = read_at(offset, 8)
    return None if data is None else int.from_bytes(data, "big")
