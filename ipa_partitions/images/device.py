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
import threading
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
_ZEROES = memoryview(mmap.mmap(-1, START_BYTES))

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
    *,
    may_end_early: bool = False,
) -> None:
    """Write ``blocks`` to ``device``, which has ``size_bytes``.

    ``approve(start, length of all)`` is called as by ``Writer.finish``.
    Blocks but the last are whole MiB, and start on a page. What
    ``may_end_early`` is left away where it does not fit, if it is zero and
    not more than fits. Raises ImageError if there is more, ActionError
    if the device fails, and what ``blocks`` and ``approve`` raise.
    """
    with opened(device, size_bytes) as writer:
        offset = 0
        for block in blocks:
            fitting = block[: max(0, size_bytes - offset)]
            rest = bytes(block[len(fitting) :])
            offset += len(block)
            if rest and not (
                may_end_early
                and offset <= 2 * size_bytes
                and not rest.strip(b"\0")
            ):
                raise ImageError(
                    f"the image is larger than the {size_bytes} bytes of"
                    f" {device}"
                )
            writer.write(offset - len(block), fitting)
        length = min(offset, size_bytes)
        writer.finish(lambda start: approve(start[:length], length))


@contextmanager
def opened(device: str, size_bytes: int) -> Iterator[Writer]:
    """Yield what writes an image to ``device``, which has ``size_bytes``.

    The first MiB is zero until ``Writer.finish``. Raises ActionError if the
    device fails.
    """
    zero_start(device)
    with _opened(device, os.O_DIRECT) as fd:
        yield Writer(fd, size_bytes)


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


class Writer:
    """Data and zeroes of one device, in any order, from any thread.

    What belongs to the first MiB is withheld. Runs of zeroes are zeroed in
    the quickest way that reads as zero. No byte is written twice.
    """

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self._size_bytes = size_bytes
        self._start = memoryview(mmap.mmap(-1, START_BYTES))
        self._start_bytes = 0
        self._can_punch = True
        self._zero_from = 0
        self._zero_to = 0
        self._lock = threading.Lock()

    def write(self, offset: int, block: memoryview) -> None:
        """Write ``block``, its zero grains as part of a run."""
        if offset < START_BYTES:
            withheld = block[: START_BYTES - offset]
            block = block[len(withheld) :]
            end = offset + len(withheld)
            self._start[offset:end] = withheld
            with self._lock:
                self._start_bytes = max(self._start_bytes, end)
            offset = end
        data_from = 0
        for at in range(0, len(block), GRAIN_BYTES):
            grain = block[at : at + GRAIN_BYTES]
            if not _is_zero(grain):
                continue
            if data_from < at:
                self._write_data(offset + data_from, block[data_from:at])
            data_from = at + GRAIN_BYTES
            self.zero(offset + at, offset + data_from)
        if data_from < len(block):
            self._write_data(offset + data_from, block[data_from:])

    def zero(self, start: int, end: int) -> None:
        """Make ``start`` to ``end`` read as zero."""
        start = max(start, START_BYTES)
        if start >= end:
            return
        with self._lock:
            if start != self._zero_to:
                self._zero_run()
                self._zero_from = start
            self._zero_to = end

    def finish(self, approve: Callable[[bytes], None]) -> None:
        """Sync all else, and write the first MiB if ``approve`` returns.

        It is given that MiB, zero where nothing was written, and may raise.
        """
        with self._lock:
            self._zero_run()
        os.fsync(self._fd)
        approve(bytes(self._start))
        self._write_data(0, self._start[: self._start_bytes])
        os.fsync(self._fd)

    def _write_data(self, offset: int, data: memoryview) -> None:
        """Write ``data``, around the page cache what are whole sectors."""
        head = min(-offset % SECTOR_BYTES, len(data))
        whole = (len(data) - head) // SECTOR_BYTES * SECTOR_BYTES
        self._pwrite_odd(offset, data[:head])
        self._pwrite(offset + head, data[head : head + whole])
        self._pwrite_odd(offset + head + whole, data[head + whole :])

    def _zero_run(self) -> None:
        start = -(-self._zero_from // SECTOR_BYTES) * SECTOR_BYTES
        end = self._zero_to // SECTOR_BYTES * SECTOR_BYTES
        if start >= end:
            start = end = self._zero_to
        elif self._can_punch:
            self._can_punch = _punch(self._fd, start, end - start)
        self._write_zeroes(self._zero_from, start)
        if not self._can_punch:
            self._write_zeroes(start, end)
        self._write_zeroes(end, self._zero_to)
        self._zero_from = self._zero_to = 0

    def _write_zeroes(self, start: int, end: int) -> None:
        for at in range(start, end, START_BYTES):
            self._write_data(at, _ZEROES[: end - at])

    def _pwrite_odd(self, offset: int, data: memoryview) -> None:
        if not data:
            return
        # The kernel keeps both ways of writing apart by pages.
        path = f"/proc/self/fd/{self._fd}"
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            _write_all(fd, offset, data)
        finally:
            os.close(fd)

    def _pwrite(self, offset: int, data: memoryview) -> None:
        try:
            _write_all(self._fd, offset, data)
        except OSError as error:
            flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            if error.errno != errno.EINVAL or not flags & os.O_DIRECT:
                raise
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
            _write_all(self._fd, offset, data)


def _write_all(fd: int, offset: int, data: memoryview) -> None:
    while data:
        count = os.pwrite(fd, data, offset)
        offset += count
        data = data[count:]


def _is_zero(grain: memoryview) -> bool:
    # Comparing memoryviews is slow, copying them first is not; most grains
    # with data show it in their first word.
    if grain[:16] != _ZERO_WORD or len(grain) < GRAIN_BYTES:
        return False
    return bytes(grain) == _ZERO_GRAIN


def _punch(fd: int, offset: int, count: int) -> bool:
    if not _libc.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, offset, count):
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_PUNCH:
        return False
    raise OSError(code, os.strerror(code))
