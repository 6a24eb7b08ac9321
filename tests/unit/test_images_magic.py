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

"""What the first bytes of an image say."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from ipa_partitions.images import magic
from ipa_partitions.images.magic import Found, look


def at(*parts: tuple[int, bytes]) -> bytes:
    head = bytearray(magic.HEAD_BYTES)
    for offset, data in parts:
        head[offset : offset + len(data)] = data
    return bytes(head)


def ext(
    compat: int = 0, incompat: int = 2, ro_compat: int = 3, high: int = 0
) -> bytes:
    return at(
        (1024 + 0x04, (1000).to_bytes(4, "little")),
        (1024 + 0x18, (2).to_bytes(4, "little")),
        (1024 + 0x38, b"\x53\xef"),
        (1024 + 0x5C, compat.to_bytes(4, "little")),
        (1024 + 0x60, incompat.to_bytes(4, "little")),
        (1024 + 0x64, ro_compat.to_bytes(4, "little")),
        (1024 + 0x150, high.to_bytes(4, "little")),
    )


def tar_archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("etc"))
    return buffer.getvalue()


@pytest.mark.parametrize(("head", "found"), [
    (b"", Found("")),
    (at(), Found("")),
    (ext(), Found("ext2", 4096000)),
    (ext(compat=4), Found("ext3", 4096000)),
    (ext(compat=4, incompat=0x42), Found("ext4", 4096000)),
    (ext(compat=0, ro_compat=0x403), Found("ext4", 4096000)),
    (ext(incompat=0xC2, high=1), Found("ext4", (2**32 + 1000) * 4096)),
    # the high half means nothing without the feature
    (ext(incompat=0x42, high=1), Found("ext4", 4096000)),
    (at((0, b"XFSB\0\0\x10\0" + (80).to_bytes(8, "big"))),
     Found("xfs", 80 * 4096)),
    (at((65600, b"_BHRfS_M"), (65536 + 0x70, b"\0\0\0\x08")),
     Found("btrfs", 2**27)),
    (at((11, b"\0\x02"), (32, b"\0\0\x02\0"), (82, b"FAT32   "),
        (510, b"\x55\xaa")), Found("vfat", 2**26)),
    (at((510, b"\x55\xaa")), magic.DISK),
    (at((0, b"QFI\xfb")), Found("qcow2")),
    (at((0, b"hsqs")), Found("squashfs")),
    (at((32769, b"CD001")), Found("an ISO 9660 filesystem")),
    (gzip.compress(b"x"), Found("gzip")),
    (b"\xfd7zXZ\0", Found("xz")),
    (b"\x28\xb5\x2f\xfd", Found("zstd")),
    (tar_archive(), Found("tar")),
])  # fmt: skip
def test_the_first_bytes_tell_what_an_image_is(
    head: bytes, found: Found
) -> None:
    assert look(head) == found


@pytest.mark.parametrize(("head", "is_tar"), [
    (tar_archive(), True),
    (tar_archive()[:511], False),
    (b"x" + tar_archive()[1:], False),   # the header's checksum is wrong
    (bytes(512), False),
])  # fmt: skip
def test_a_tar_archive_starts_with_a_header_that_adds_up(
    head: bytes, is_tar: bool
) -> None:
    assert magic.is_tar(head) is is_tar


@pytest.mark.parametrize(("head", "compression"), [
    (gzip.compress(b"x"), "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x50\x2a\x4d\x18\x04\0\0\0", "zstd"),   # of pzstd
    (b"\x60\x2a\x4d\x18\x04\0\0\0", "none"),
    (b"", "none"),
])  # fmt: skip
def test_the_first_bytes_tell_the_compression(
    head: bytes, compression: str
) -> None:
    assert magic.compression_of(head) == compression
