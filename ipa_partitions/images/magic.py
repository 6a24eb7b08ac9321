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

"""What the first bytes of an image say that it is."""

from __future__ import annotations

from dataclasses import dataclass

from ipa_partitions.images import unpack

# The superblock of btrfs is the furthest from the start: at 64 KiB.
HEAD_BYTES = 128 * 1024

FILE_SYSTEMS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat")

# (offset, bytes): name
_CONTAINERS = {
    (0, b"QFI\xfb"): "qcow2",
    (0, b"KDMV"): "vmdk",
    (0, b"# Disk DescriptorFile"): "vmdk",
    (0, b"vhdxfile"): "vhdx",
    (0, b"conectix"): "vhd",
    (64, b"\x7f\x10\xda\xbe"): "vdi",
    (0, b"hsqs"): "squashfs",
    (0, b"LUKS\xba\xbe"): "LUKS",
    (0, b"BZh"): "bzip2",
    (0, b"\x04\x22\x4d\x18"): "lz4",
    (32769, b"CD001"): "an ISO 9660 filesystem",
    **{(0, magic): name for name, magic in unpack.MAGIC.items()},
}

# linux/fs/ext4/ext4.h: what ext3 does not know makes it an ext4.
_EXT_JOURNAL = 0x4
_EXT3_INCOMPAT = 0x2 | 0x4 | 0x8 | 0x10
_EXT3_RO_COMPAT = 0x1 | 0x2 | 0x4
_EXT_64BIT = 0x80


@dataclass(frozen=True)
class Found:
    """What something is: a filesystem, a container, empty if unknown.

    ``size_bytes`` is that of the filesystem.
    """

    name: str
    size_bytes: int | None = None


DISK = Found("a partitioned disk")


def compression_of(head: bytes) -> str:
    """Return what ``head`` is compressed with, or ``none``."""
    for name, magic in unpack.MAGIC.items():
        if head.startswith(magic):
            return name
    if head[1:4] == b"\x2a\x4d\x18" and head[:1].hex()[:1] == "5":
        return "zstd"  # pzstd begins with a skippable frame: RFC 8878
    return "none"


def look(head: bytes) -> Found:
    """Return what starts with ``head``, its first HEAD_BYTES."""
    for (offset, magic), name in _CONTAINERS.items():
        if head[offset:].startswith(magic):
            return Found(name)
    if is_tar(head):
        return Found("tar")
    head = head.ljust(HEAD_BYTES, b"\0")
    if head[65536 + 64 :].startswith(b"_BHRfS_M"):
        return Found("btrfs", _little(head, 65536 + 0x70, 8))
    if head.startswith(b"XFSB"):
        block_bytes = int.from_bytes(head[4:8], "big")
        return Found("xfs", int.from_bytes(head[8:16], "big") * block_bytes)
    if _little(head, 1024 + 0x38, 2) == 0xEF53:
        return _ext(head[1024:2048])
    if head[510:512] == b"\x55\xaa":
        if b"FAT" in (head[54:57], head[82:85]):
            sectors = _little(head, 19, 2) or _little(head, 32, 4)
            return Found("vfat", sectors * _little(head, 11, 2))
        return DISK
    return Found("")


def gpt_sector_bytes(head: bytes) -> int | None:
    """Return the size of the sectors that a GPT was made for, if any."""
    for sector_bytes in (512, 4096):
        if head[sector_bytes:].startswith(b"EFI PART"):
            return sector_bytes
    return None


def is_tar(head: bytes) -> bool:
    """Tell whether ``head`` starts with the header of a tar member."""
    header = head[:512]
    try:
        wanted = int(header[148:156].rstrip(b"\0 "), 8)
    except ValueError:
        return False
    without = header[:148] + b" " * 8 + header[156:]
    return len(header) == 512 and sum(without) == wanted


def _ext(superblock: bytes) -> Found:
    compat = _little(superblock, 0x5C, 4)
    incompat = _little(superblock, 0x60, 4)
    ro_compat = _little(superblock, 0x64, 4)
    blocks = _little(superblock, 0x4, 4)
    if incompat & _EXT_64BIT:
        blocks |= _little(superblock, 0x150, 4) << 32
    size_bytes = blocks * (1024 << (_little(superblock, 0x18, 4) & 0xF))
    if incompat & ~_EXT3_INCOMPAT or ro_compat & ~_EXT3_RO_COMPAT:
        return Found("ext4", size_bytes)
    return Found("ext3" if compat & _EXT_JOURNAL else "ext2", size_bytes)


def _little(data: bytes, offset: int, count: int) -> int:
    return int.from_bytes(data[offset : offset + count], "little")
