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

"""The header of a qcow2 image, and all that it may not ask for."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from ipa_partitions.images.qcow2 import Qcow2Error

MAGIC = b"QFI\xfb"

# magic, version, backing file and length, cluster bits, size, encryption,
# L1 entries and offset, refcount table and clusters, snapshots and offset
_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
# incompatible, compatible and autoclear features, refcount order, length
_V3 = struct.Struct(">QQQII")
_COMPRESSION_AT = _V2.size + _V3.size

_CLUSTER_BITS = range(9, 22)
# More than that no version of QEMU opens.
_L1_MAX_BYTES = 32 * 1024**2

_COMPRESSION_FEATURE = 0x8
_INCOMPATIBLE = {
    0x1: "was not closed cleanly (its dirty bit is set)",
    0x2: "is marked corrupt",
    0x4: "keeps its data in an external file",
    0x10: "has extended L2 entries",
}
_COMPRESSIONS: tuple[Literal["zlib", "zstd"], ...] = ("zlib", "zstd")


@dataclass(frozen=True)
class Header:
    """What it takes to find the clusters of an image.

    ``size_bytes`` is that of the disk inside.
    """

    version: int
    size_bytes: int
    cluster_bits: int
    l1_offset: int
    l1_entries: int
    compression: Literal["zlib", "zstd"]

    @property
    def cluster_bytes(self) -> int:
        """The size of a cluster, a power of two."""
        return 1 << self.cluster_bits

    @property
    def clusters(self) -> int:
        """The number of clusters of the disk inside."""
        return -(-self.size_bytes >> self.cluster_bits)

    @property
    def l2_entries(self) -> int:
        """The number of entries of an L2 table, which fills a cluster."""
        return self.cluster_bytes // 8


def parse_header(head: bytes) -> Header:
    """Return the header that ``head`` starts with.

    Raises Qcow2Error for none, for one that contradicts itself, and for
    whatever makes the image more than one disk in one file.
    """
    if not head.startswith(MAGIC):
        raise Qcow2Error("is not qcow2")
    if len(head) < _V2.size:
        raise Qcow2Error("is cut in its qcow2 header")
    (
        _, version, backing, _, cluster_bits, size_bytes, encryption,
        l1_entries, l1_offset, _, _, snapshots, _,
    ) = _V2.unpack_from(head)  # fmt: skip
    if version not in (2, 3):
        raise Qcow2Error(f"is of the unknown qcow2 version {version}")
    if backing:
        raise Qcow2Error("needs a backing file")
    if encryption:
        raise Qcow2Error("is encrypted")
    if snapshots:
        raise Qcow2Error("holds internal snapshots")
    if cluster_bits not in _CLUSTER_BITS:
        raise Qcow2Error(f"has clusters of 2^{cluster_bits} bytes")
    header = Header(
        version,
        size_bytes,
        cluster_bits,
        l1_offset,
        l1_entries,
        _compression(head, cluster_bits) if version > 2 else "zlib",
    )
    _check_l1(header)
    return header


def _compression(head: bytes, cluster_bits: int) -> Literal["zlib", "zstd"]:
    """Return the compression of a header of version 3, which it checks."""
    if len(head) < _COMPRESSION_AT + 1:
        raise Qcow2Error("is cut in its qcow2 header")
    incompatible, _, _, refcount_order, length = _V3.unpack_from(
        head, _V2.size
    )
    for bit, problem in _INCOMPATIBLE.items():
        if incompatible & bit:
            raise Qcow2Error(problem)
    if incompatible & ~_COMPRESSION_FEATURE:
        raise Qcow2Error(f"has unknown features ({incompatible:#x})")
    if refcount_order > 6:
        raise Qcow2Error(f"has reference counts of 2^{refcount_order} bits")
    if length < _COMPRESSION_AT or length % 8 or length > 1 << cluster_bits:
        raise Qcow2Error(f"has a header of {length} bytes")
    number = head[_COMPRESSION_AT] if length > _COMPRESSION_AT else 0
    if bool(number) != bool(incompatible & _COMPRESSION_FEATURE):
        raise Qcow2Error("contradicts itself about its compression")
    if number >= len(_COMPRESSIONS):
        raise Qcow2Error(f"has the unknown compression {number}")
    return _COMPRESSIONS[number]


def _check_l1(header: Header) -> None:
    needed = -(-header.clusters // header.l2_entries)
    if header.l1_entries * 8 > _L1_MAX_BYTES:
        raise Qcow2Error(f"has an L1 table of {header.l1_entries} entries")
    if header.l1_entries < needed:
        raise Qcow2Error(
            f"has {header.l1_entries} L1 entries for its"
            f" {header.size_bytes} bytes, which need {needed}"
        )
    if needed and (
        not header.l1_offset or header.l1_offset % header.cluster_bytes
    ):
        raise Qcow2Error(f"has its L1 table at {header.l1_offset:#x}")
