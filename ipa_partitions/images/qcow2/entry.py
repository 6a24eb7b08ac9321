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

"""One entry of an L2 table: where a cluster of the disk inside is."""

from __future__ import annotations

from dataclasses import dataclass

from ipa_partitions.images.qcow2 import Qcow2Error
from ipa_partitions.images.qcow2.header import Header

OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00
IN_USE = 1 << 63

_COMPRESSED = 1 << 62
_ZERO = 1
# Compressed clusters are counted in these, whatever the disk has.
_SECTOR_BYTES = 512


@dataclass(frozen=True)
class Extent:
    """Bytes of the file that one cluster is in."""

    offset: int
    size_bytes: int
    is_compressed: bool


def locate(header: Header, entry: int) -> Extent | None:
    """Return where the cluster of an L2 entry is; None if it is zero.

    Raises Qcow2Error for bits that have no meaning, and for a place that
    no cluster can have.
    """
    if entry & _COMPRESSED:
        return _compressed(header, entry & ~_COMPRESSED)
    # Version 2 does not know it; bits without meaning are refused.
    zero = _ZERO if header.version > 2 else 0
    check_offset(header, entry & ~zero, "L2")
    offset = entry & OFFSET_MASK
    if not offset or entry & zero:
        return None
    return Extent(offset, header.cluster_bytes, is_compressed=False)


def check_offset(header: Header, entry: int, table: str) -> None:
    """Raise Qcow2Error unless ``entry`` holds the offset of a cluster."""
    offset = entry & OFFSET_MASK
    if entry & ~(OFFSET_MASK | IN_USE) or offset % header.cluster_bytes:
        raise Qcow2Error(f"has the {table} entry {entry:#x}")


def _compressed(header: Header, entry: int) -> Extent:
    if entry & IN_USE:
        raise Qcow2Error(f"has the L2 entry {entry | _COMPRESSED:#x}")
    offset_bits = 62 - (header.cluster_bits - 8)
    offset = entry & ((1 << offset_bits) - 1)
    sectors = entry >> offset_bits
    first = offset & ~(_SECTOR_BYTES - 1)
    end = first + (sectors + 1) * _SECTOR_BYTES
    return Extent(offset, end - offset, is_compressed=True)
