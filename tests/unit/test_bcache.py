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

from __future__ import annotations

import struct

import pytest

from ipa_partitions.disk.bcache import (
    OVERHEAD_BYTES,
    Set,
    Superblock,
    bucket_bytes,
    make_argv,
    parse_superblock,
)

SET = "6f1c2a52-9d30-4d4b-8f0a-0f5d6b1f7a11"
LONE = "725d8353-7184-4b51-abf6-bd42ae67ac18"

WRITETHROUGH, WRITEBACK, WRITEAROUND, NONE, UNKNOWN = range(5)
DIRTY = 2 << 61


def superblock(start: str, flags: int = 0, more: str = "") -> bytes:
    """Return what make-bcache wrote, with other flags: at byte 104."""
    read = bytearray.fromhex(start).ljust(192, b"\0")
    read[104:112] = struct.pack("<Q", flags)
    read[184:192] = bytes.fromhex(more).ljust(8, b"\0")
    return bytes(read)


# As bcache-tools 1.0.8 writes them.
BACKING = (
    "ed8f4fc04edc73bd08000000000000000400000000000000"
    "c68573f64e1a45ca8265f57f48ba6d81"
    "86532e16d4184a98848f361af76e7949"
    "6f1c2a529d304d4b8f0a0f5d6b1f7a11"
)
CACHE = (
    "d561095002ace3bf08000000000000000000000000000000"
    "c68573f64e1a45ca8265f57f48ba6d81"
    "e245a2900dbd473aaf71b84eed18b7ed"
    "6f1c2a529d304d4b8f0a0f5d6b1f7a11"
)
OLD_BACKING = (
    "ef4d0c8b49c4f2c208000000000000000100000000000000"
    "c68573f64e1a45ca8265f57f48ba6d81"
    "4dc2c759c39243dbbfe2a18a689e980a"
    "725d835371844b51abf6bd42ae67ac18"
)


def backing(mode: str, is_dirty: bool = False) -> Superblock:
    return Superblock(
        device="/dev/sda1",
        kind="backing",
        uuid="86532e16-d418-4a98-848f-361af76e7949",
        set_uuid=SET,
        mode=mode,
        data_at_bytes=1024**2,
        is_dirty=is_dirty,
    )


@pytest.mark.parametrize(("read", "found"), [
    (superblock(BACKING, WRITETHROUGH, "0008"), backing("writethrough")),
    (superblock(BACKING, WRITEBACK, "0008"), backing("writeback")),
    (superblock(BACKING, WRITEAROUND, "0008"), backing("writearound")),
    (superblock(BACKING, NONE, "0008"), backing("none")),
    (superblock(BACKING, UNKNOWN, "0008"), backing("")),
    (superblock(BACKING, WRITEBACK | DIRTY, "0008"),
     backing("writeback", is_dirty=True)),
    (superblock(CACHE, more="9001"),
     Superblock("/dev/sda1", "cache",
                "e245a290-0dbd-473a-af71-b84eed18b7ed", SET)),
    # The first version always has its data at 8 KiB.
    (superblock(OLD_BACKING),
     Superblock("/dev/sda1", "backing",
                "4dc2c759-c392-43db-bfe2-a18a689e980a", LONE,
                "writethrough", 8192)),
    # Of no version that there has been, no magic, not a whole one.
    (superblock(BACKING.replace("0400", "0700", 1)), None),
    (superblock(BACKING.replace("c685", "c686", 1)), None),
    (superblock(BACKING)[:-1], None),
    (b"", None),
])  # fmt: skip
def test_a_superblock_is_read(read, found):
    assert parse_superblock("/dev/sda1", read) == found


@pytest.mark.parametrize(("caches", "more"), [
    ((), ()),
    (("/dev/sdb1",), ("--cache", "/dev/sdb1")),
])  # fmt: skip
def test_data_begin_where_the_size_says(caches, more):
    spec = Set("/dev/bcache/one", SET, "/dev/sda1", caches, "writeback")
    assert make_argv(spec, 2**18) == (
        "make-bcache", f"--cset-uuid={SET}",
        f"--data-offset={OVERHEAD_BYTES // 512}", "--bucket=256k",
        "--bdev", "/dev/sda1", *more,
    )  # fmt: skip


@pytest.mark.parametrize(("cache_mib", "bucket_kib"), [
    (128, 128),
    (255, 128),
    (256, 256),
    (511, 256),
    (512, 512),
    (10**6, 512),
])  # fmt: skip
def test_a_small_cache_has_small_buckets(cache_mib, bucket_kib):
    assert bucket_bytes(cache_mib * 1024**2) == bucket_kib * 1024
