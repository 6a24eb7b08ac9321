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


"""Files of an untrusted root, every path resolved inside it.

An image may hold links to anywhere, loops of them, FIFOs, devices and
files without end. The kernel resolves each path as if the root were ``/``,
so none leads out; what is not an ordinary file is never opened.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from ipa_partitions.errors import ImageError

# openat2(2): its number is the same on every architecture.
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_LIBC = ctypes.CDLL(None, use_errno=True)

# More than any directory that we list has, few enough to hold.
_ENTRIES_MAX = 10_000
_READ_LIMIT_BYTES = 1024**2
_LABEL = "security.selinux"


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class RootFs:
    """A mounted root whose owner we do not trust.

    ``path`` is always one inside, with or without the leading slash. Every
    method raises ImageError, naming it, if it is not there or not usable.
    """

    root: Path

    def read_bytes(self, path: str, limit: int = _READ_LIMIT_BYTES) -> bytes:
        """Return an ordinary file; one above ``limit`` bytes is an error."""
        with _errors_name(path), self._open(path) as handle:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ImageError(f"{path!r} of the image is no ordinary file")
            with Path(_proc(handle)).open("rb") as file:
                data = file.read(limit + 1)
        if len(data) > limit:
            raise ImageError(
                f"{path!r} of the image is larger than {limit} bytes"
            )
        return data

    def read_text(self, path: str, limit: int = _READ_LIMIT_BYTES) -> str:
        """Return an ordinary file as text, bad UTF-8 replaced."""
        return self.read_bytes(path, limit).decode("utf-8", "replace")

    def write(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Put a new file at ``path``, all of it or nothing, synced.

        A link, or one of several hard links, at ``path`` is replaced, not
        written through. The directory must exist. What SELinux knew the
        old file as, the new one is.
        """
        if isinstance(data, str):
            data = data.encode()
        with _errors_name(path), self._parent(path) as (parent, name):
            new = f".{name[:200]}.{secrets.token_hex(8)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            handle = os.open(new, flags, 0o600, dir_fd=parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fchmod(handle, mode)
                    _copy_label(f"{_proc(parent)}/{name}", handle)
                    os.fsync(handle)
                os.replace(new, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(OSError):
                    os.unlink(new, dir_fd=parent)
                raise
            os.fsync(parent)

    def replace(self, path: str, old: bytes, new: bytes) -> bool:
        """Replace ``old`` in the file at ``path``, which keeps its mode.

        Returns whether it was there.
        """
        data = self.read_bytes(path)
        if old not in data:
            return False
        path = self.real_path(path)
        self.write(path, data.replace(old, new), self._mode(path) & 0o7777)
        return True

    def has_label(self, path: str) -> bool:
        """Tell whether SELinux knows what the file at ``path`` is."""
        with suppress(OSError), self._open(path) as handle:
            return _LABEL in os.listxattr(_proc(handle))
        return False

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link at ``path``; what is there is replaced."""
        with _errors_name(path), self._parent(path) as (parent, name):
            new = f".{name[:200]}.{secrets.token_hex(8)}"
            os.symlink(target, new, dir_fd=parent)
            os.replace(new, name, src_dir_fd=parent, dst_dir_fd=parent)

    def make_directory(self, path: str) -> Path:
        """Make ``path`` and its parents; return where it is on the host.

        The path returned is free of links, so it stays inside.
        """
        done = "/"
        with _errors_name(path):
            for part in _parts(path):
                below = f"{done}/{part}"
                if not self.exists(below):
                    with self._open(done, os.O_DIRECTORY) as parent:
                        os.mkdir(part, 0o755, dir_fd=parent)
                done = below
            with self._open(path or "/", os.O_DIRECTORY) as handle:
                return Path(_proc(handle)).readlink()

    def list_directory(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        with (
            _errors_name(path),
            self._open(path, os.O_DIRECTORY) as handle,
            os.scandir(_proc(handle)) as entries,
        ):
            names = [e.name for e in islice(entries, _ENTRIES_MAX + 1)]
        if len(names) > _ENTRIES_MAX:
            raise ImageError(
                f"{path!r} of the image holds more than {_ENTRIES_MAX} files"
            )
        return tuple(sorted(names))

    def real_path(self, path: str) -> str:
        """Return ``path`` inside the root, absolute and free of links."""
        with (
            _errors_name(path),
            self._open(path) as handle,
            self._open("/") as root,
        ):
            found = Path(_proc(handle)).readlink()
            return f"/{found.relative_to(Path(_proc(root)).readlink())}"

    def is_file(self, path: str) -> bool:
        """Tell whether an ordinary file, or a link to one, is there."""
        return stat.S_ISREG(self._mode(path))

    def exists(self, path: str) -> bool:
        """Tell whether anything but a link to nowhere is there."""
        return self._mode(path) != 0

    def remove_tree(self, path: str) -> None:
        """Remove what is at ``path``, if anything; a link, not its target."""
        with _errors_name(path), self._parent(path) as (parent, name):
            try:
                found = os.lstat(name, dir_fd=parent)
            except FileNotFoundError:
                return
            if stat.S_ISDIR(found.st_mode):
                shutil.rmtree(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)

    def _mode(self, path: str) -> int:
        try:
            with self._open(path) as handle:
                return os.fstat(handle).st_mode
        except OSError:
            return 0

    @contextmanager
    def _open(self, path: str, flags: int = 0) -> Iterator[int]:
        """Yield a handle on ``path`` that neither reads, writes nor waits."""
        root = os.open(self.root, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            handle = _openat2(root, path, flags | os.O_PATH | os.O_CLOEXEC)
        finally:
            os.close(root)
        try:
            yield handle
        finally:
            os.close(handle)

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        *parents, name = _parts(path) or ("",)
        if not name:
            raise ImageError(f"{path!r} names no file of the image")
        with self._open("/".join(("", *parents, ""))) as handle:
            parent = os.open(
                _proc(handle), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        try:
            yield parent, name
        finally:
            os.close(parent)


def _openat2(root: int, path: str, flags: int) -> int:
    how = _OpenHow(flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    try:
        encoded = os.fsencode(path or "/")
    except UnicodeEncodeError as error:
        raise OSError(errno.EILSEQ, "not a path", path) from error
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "NUL in the path", path)
    while True:
        handle: int = _LIBC.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(encoded),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if handle >= 0:
            return handle
        number = ctypes.get_errno()
        # EAGAIN: something was renamed meanwhile, openat2(2).
        if number not in (errno.EAGAIN, errno.EINTR):
            raise OSError(number, os.strerror(number), path)


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(p for p in PurePosixPath(path).parts if p != "/")
    if ".." in parts:
        raise ImageError(f"{path!r} has '..' in it")
    return parts


def _copy_label(path: str, handle: int) -> None:
    with suppress(OSError):  # there is none
        label = os.getxattr(path, _LABEL, follow_symlinks=False)
        os.setxattr(handle, _LABEL, label)


def _proc(handle: int) -> str:
    return f"/proc/self/fd/{handle}"


@contextmanager
def _errors_name(path: str) -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise ImageError(f"{path!r} of the image is too deep") from error
    except OSError as error:
        why = error.strerror or error
        raise ImageError(f"{path!r} of the image: {why}") from error
