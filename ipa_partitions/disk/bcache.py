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

"""Bcache: a slow device, the backing one, behind a quick one, the cache."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

from ipa_partitions.disk.link import make_link
from ipa_partitions.disk.probe import NODE_TIMEOUT_S, busy, wait_for_device
from ipa_partitions.disk.size import MIB
from ipa_partitions.disk.table import wipe
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

# Where the data of a backing device begin. The 8 KiB that make-bcache takes
# would leave nothing aligned.
OVERHEAD_BYTES = MIB

# make-bcache's own.
_BUCKET_BYTES = 512 * 1024

_KERNEL = Path("/sys/fs/bcache")
_SECTOR_BYTES = 512

# include/uapi/linux/bcache.h, struct cache_sb: checksum, place, version,
# magic, UUID, UUID of the set, label, flags, sequence number, room, and, of
# a backing device, the first sector of its data.
_SUPERBLOCK = struct.Struct("<Q Q Q 16s 16s 16s 32s Q Q 64s Q")
_SUPERBLOCK_AT = 4096
_MAGIC = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
_CACHE_VERSIONS = (0, 3, 5)
_BACKING_VERSIONS = (1, 4, 6)
_MODES = ("writethrough", "writeback", "writearound", "none")
_STATE_BIT = 61
_DIRTY = 2


@dataclass(frozen=True)
class Set:
    """A backing device, and its cache; with no cache it waits for one.

    ``device`` is a link of ours below ``/dev/bcache``, which udev leaves
    alone, to the node that the kernel chooses. ``uuid`` is that of the set
    and has to be fresh: by its first half the kernel tells the journal of a
    cache from what is left of another. ``mode`` is one of the kernel's.
    """

    device: str
    uuid: str
    backing: str
    caches: tuple[str, ...]
    mode: str


@dataclass(frozen=True)
class Superblock:
    """What a member says of its set.

    A backing device has the rest, too. As long as it ``is_dirty`` what it
    holds is old, and what is new in the cache alone.
    """

    device: str
    kind: Literal["backing", "cache"]
    uuid: str
    set_uuid: str
    mode: str = ""
    data_at_bytes: int = 0
    is_dirty: bool = False


def validate() -> None:
    """Raise CommandError if this kernel has no bcache."""
    if not _KERNEL.exists():
        run("modprobe", "bcache")


def create(spec: Set) -> None:
    """Make the set of its members, whatever is on them, and start it."""
    wipe(spec.backing, *spec.caches)
    sizes = [int(run("blockdev", "--getsize64", c)) for c in spec.caches]
    run(*make_argv(spec, min(map(bucket_bytes, sizes), default=_BUCKET_BYTES)))
    start(spec)
    (_sysfs(spec.backing) / "cache_mode").write_text(spec.mode)
    # The kernel writes it to the superblock in its own time.
    _wait(lambda: _has_mode(spec), f"{spec.backing}: is not {spec.mode}")


def bucket_bytes(cache_bytes: int) -> int:
    """Return how large the buckets of a cache are: it needs many."""
    # drivers/md/bcache/super.c, cache_alloc: more than 512.
    return min(_BUCKET_BYTES, 1 << (cache_bytes // 1024).bit_length() - 1)


def make_argv(spec: Set, in_buckets_of_bytes: int) -> tuple[str, ...]:
    """Return the command that writes the superblocks."""
    return (
        "make-bcache",
        f"--cset-uuid={spec.uuid}",
        f"--data-offset={OVERHEAD_BYTES // _SECTOR_BYTES}",
        f"--bucket={in_buckets_of_bytes // 1024}k",
        "--bdev", spec.backing,
        *(word for cache in spec.caches for word in ("--cache", cache)),
    )  # fmt: skip


def _has_mode(spec: Set) -> bool:
    found = examine(spec.backing)
    return found is not None and found.mode == spec.mode


def start(spec: Set) -> None:
    """Have the set up as ``spec.device``; it may be up already.

    Raises CommandError if it does not come up, as without a cache that it
    had. It is known by its members, not by ``spec.uuid``.
    """
    validate()
    _wait(lambda: _comes_up(spec), f"{spec.backing}: bcache does not start")
    make_link(spec.device, str(running(spec.backing)))
    wait_for_device(spec.device, None)


def _comes_up(spec: Set) -> bool:
    """Tell the kernel what it does not know, and whether that is all."""
    for member in (spec.backing, *spec.caches):
        if not _sysfs(member).exists():
            _register(member)
    is_cached = (_sysfs(spec.backing) / "cache").exists()
    return running(spec.backing) is not None and (is_cached or not spec.caches)


def _register(device: str) -> None:
    try:
        # Quiet where udev was quicker.
        (_KERNEL / "register_quiet").write_text(device)
    except OSError as error:
        raise CommandError(
            f"{device}: bcache does not take it: {error.strerror}"
        ) from error


def running(backing: str) -> str | None:
    """Return the node of the set on ``backing``, None if it is not up."""
    node = _sysfs(backing) / "dev"
    return f"/dev/{node.resolve().name}" if node.exists() else None


def _sysfs(device: str) -> Path:
    number = Path(device).stat().st_rdev
    where = f"{os.major(number)}:{os.minor(number)}"
    return Path("/sys/dev/block", where, "bcache")


def stop(spec: Set) -> None:
    """Stop the set, as far as it is up, and let go of its members.

    What is dirty stays in the cache. Raises CommandError if it is in use.
    """
    node = running(spec.backing)
    if node and busy(node):
        raise CommandError(f"{node}: is in use")
    Path(spec.device).unlink(missing_ok=True)
    _stop(spec.backing, "stop")
    for cache in spec.caches:
        _stop(cache, "set/stop")


def _stop(member: str, order: str) -> None:
    known = _sysfs(member)
    if known.exists():
        (known / order).write_text("1")
    # The kernel forgets a device first, and lets go of it then.
    _wait(
        lambda: not known.exists() and not busy(member),
        f"{member}: bcache does not let go",
    )


def _wait(is_done: Callable[[], bool], problem: str) -> None:
    end = time.monotonic() + NODE_TIMEOUT_S
    while not is_done():
        if time.monotonic() > end:
            raise CommandError(f"{problem} within {NODE_TIMEOUT_S} s")
        time.sleep(0.02)


def examine(device: str) -> Superblock | None:
    """Return what ``device`` says of the set it is in, None if in none.

    Nothing is written, and nothing started.
    """
    with Path(device).open("rb") as node:
        node.seek(_SUPERBLOCK_AT)
        return parse_superblock(device, node.read(_SUPERBLOCK.size))


def parse_superblock(device: str, read: bytes) -> Superblock | None:
    """Return the superblock that was ``read``, None if it is none."""
    if len(read) < _SUPERBLOCK.size:
        return None
    fields = _SUPERBLOCK.unpack(read)
    _, _, version, magic, own, of_set, _, flags, _, _, data_sector = fields
    identities = str(UUID(bytes=own)), str(UUID(bytes=of_set))
    if magic != _MAGIC:
        return None
    if version in _CACHE_VERSIONS:
        return Superblock(device, "cache", *identities)
    if version not in _BACKING_VERSIONS:
        return None
    # Four bits, of which two are in use; data of the first version begin
    # at 8 KiB.
    mode = flags & 0xF
    return Superblock(
        device,
        "backing",
        *identities,
        mode=_MODES[mode] if mode < len(_MODES) else "",
        data_at_bytes=(16 if version == 1 else data_sector) * _SECTOR_BYTES,
        is_dirty=flags >> _STATE_BIT & 3 == _DIRTY,
    )
