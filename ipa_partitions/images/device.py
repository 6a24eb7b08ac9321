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

"""Write an image onto a block device, the part that makes it valid last."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ipa_partitions.disk.probe import open_exclusively
from ipa_partitions.errors import ActionError, ImageError

# What is withheld. The superblocks of ext, xfs, btrfs and vfat and the
# partition tables are all in it.
START_BYTES = 1024**2
# A shorter run of zeroes is written as the data around it.
GRAIN_BYTES = 64 * 1024
# No device has larger sectors, and O_DIRECT writes only whole ones.
SECTOR_BYTES = 4096

_ZERO_GRAIN = bytes(GRAIN_BYTES)
_ZERO_WORD = bytes(16)

# linux/falloc.h. On a block device the kernel then zeroes by what the
# device is quick at or fails: it neither writes zeroes nor trusts a discard.
_PUNCH_HOLE_KEEP_SIZE = 0x2 | 0x1
_CANNOT_PUNCH = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.ENOSYS)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (
    ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64,
)  # fmt: skip


@contextmanager
def unmountable_on_failure(device: str) -> Iterator[None]:
    """Make ``device`` something that nobody can mount if the block fails."""
    try:
        yield
    except BaseException:
        zero_start(device)
        raise


def zero_start(device: str) -> None:
    """Zero the first MiB of ``device``: no filesystem is found there."""
    with _opened(device) as fd:
        size_bytes = os.lseek(fd, 0, os.SEEK_END)
        os.pwrite(fd, bytes(min(START_BYTES, size_bytes)), 0)
        os.fsync(fd)


def sync(device: str) -> None:
    """Bring everything that was written to ``device`` onto it."""
    with _opened(device) as fd:
        os.fsync(fd)


def write(
    device: str,
    size_bytes: int,
    blocks: Iterator[memoryview],
    approve: Callable[[bytes, int], None],
) -> None:
    """Write ``blocks`` to ``device``, which has ``size_bytes``.

    The first MiB is zero until all else is there and synced, and
    ``approve(that MiB, length of all)`` has returned. Runs of zeroes are
    zeroed in the quickest way that reads as zero. Blocks but the last are
    whole MiB, and start on a page.

    Raises ImageError if there is more than fits, ActionError if the device
    fails, and what ``blocks`` and ``approve`` raise.
    """
    zero_start(device)
    with _opened(device, os.O_DIRECT) as fd:
        writer = _Writer(fd, size_bytes)
        start = b""
        offset = 0
        for block in blocks:
            if offset + len(block) > size_bytes:
                raise ImageError(
                    f"the image is larger than the {size_bytes} bytes of"
                    f" {device}"
                )
            if not offset:
                start = bytes(block[:START_BYTES])
                writer.write(START_BYTES, block[START_BYTES:])
            else:
                writer.write(offset, block)
            offset += len(block)
        writer.finish()
        approve(start, offset)
        writer.write_data(0, _aligned(start))
        os.fsync(fd)


@contextmanager
def _opened(device: str, direct: int = 0) -> Iterator[int]:
    try:
        try:
            fd = open_exclusively(device, os.O_WRONLY | direct)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fd = open_exclusively(device, os.O_WRONLY)
        try:
            yield fd
        finally:
            os.close(fd)
    except OSError as error:
        raise ActionError(f"{device}: {error.strerror}") from error


class _Writer:
    """Data and runs of zeroes, in ascending order."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self._size_bytes = size_bytes
        self._can_punch = True
        self._zero_from = 0
        self._zero_to = 0

    def write(self, offset: int, block: memoryview) -> None:
        """Write ``block``, its zero grains as part of a run."""
        data_from = 0
        for at in range(0, len(block), GRAIN_BYTES):
            grain = block[at : at + GRAIN_BYTES]
            if not _is_zero(grain):
                continue
            if data_from < at:
                self.write_data(offset + data_from, block[data_from:at])
            data_from = at + GRAIN_BYTES
            self._zero(offset + at, offset + data_from)
        if data_from < len(block):
            self.write_data(offset + data_from, block[data_from:])

    def write_data(self, offset: int, data: memoryview) -> None:
        """Write ``data``, the end of it filled up to a whole sector."""
        whole = len(data) // SECTOR_BYTES * SECTOR_BYTES
        self._pwrite(offset, data[:whole])
        if whole < len(data):
            room = self._size_bytes - offset - whole
            rest = _aligned(bytes(data[whole:]), min(SECTOR_BYTES, room))
            self._pwrite(offset + whole, rest)

    def finish(self) -> None:
        """Zero the last run and sync."""
        self._zero_run()
        os.fsync(self._fd)

    def _zero(self, start: int, end: int) -> None:
        if start != self._zero_to:
            self._zero_run()
            self._zero_from = start
        self._zero_to = end

    def _zero_run(self) -> None:
        start, end = self._zero_from, self._zero_to
        if start < end and self._can_punch:
            self._can_punch = _punch(self._fd, start, end - start)
        if start < end and not self._can_punch:
            zeroes = memoryview(mmap.mmap(-1, START_BYTES))
            for at in range(start, end, START_BYTES):
                self._pwrite(at, zeroes[: end - at])
        self._zero_from = self._zero_to = 0

    def _pwrite(self, offset: int, data: memoryview) -> None:
        while data:
            try:
                count = os.pwrite(self._fd, data, offset)
            except OSError as error:
                flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
                if error.errno != errno.EINVAL or not flags & os.O_DIRECT:
                    raise
                fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
                continue
            offset += count
            data = data[count:]


def _is_zero(grain: memoryview) -> bool:
    # Comparing memoryviews is slow, copying them first is not; most grains
    # with data show it in their first word.
    if grain[:16] != _ZERO_WORD or len(grain) < GRAIN_BYTES:
        return False
    return bytes(grain) == _ZERO_GRAIN


def _aligned(data: bytes, size_bytes: int | None = None) -> memoryview:
    """Return ``data`` on a page, filled with zeroes to ``size_bytes``."""
    buffer = memoryview(mmap.mmap(-1, max(len(data), size_bytes or 1)))
    buffer[: len(data)] = data
    return buffer[: size_bytes or len(data)]


def _punch(fd: int, offset: int, count: int) -> bool:
    if not _libc.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, offset, count):
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_PUNCH:
        return False
    raise OSError(code, os.strerror(code))
