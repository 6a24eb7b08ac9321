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

"""Mounts that nobody else sees, and that end with us, however we end."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar

from ipa_partitions.disk.mount import PLACE, UNTRUSTED, mounted
from ipa_partitions.errors import CommandError

# linux/sched.h, linux/mount.h, linux/fcntl.h; mount_setattr(2), which has
# one number on every architecture, is in Linux since 5.12.
_CLONE_NEWNS = 0x00020000
_MNT_DETACH = 2
# Our mounts stay ours; what others unmount is not held by our copy of it.
_MS_REC_SLAVE = ctypes.c_ulong(0x4000 | 1 << 19)
_MOUNT_SETATTR = 442
_MOUNT_ATTR_RDONLY = 1
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
# Of this thread alone, which ends with the job: capabilities(7).
_PR_CAPBSET_DROP = 24
_CAP_MKNOD = 27

_libc = ctypes.CDLL(None, use_errno=True)

_PLACE_OPTIONS = f"{UNTRUSTED},mode=700,size=1m"

_Result = TypeVar("_Result")


def with_private_mounts(job: Callable[[], _Result]) -> _Result:
    """Return what ``job`` returns, run where its mounts are its own.

    It runs in a thread with a mount namespace of its own, which the threads
    and programs that it starts share. The kernel takes the mounts away with
    the last of them, even if this program is killed, so that no mount keeps
    a second run from the disk. Raises CommandError if that cannot be had.
    """

    def alone() -> _Result:
        # With the namespace go the directories that we mount on, too.
        with mounted("tmpfs", _PLACE_OPTIONS, PLACE, kind="tmpfs"):
            return job()

    return _apart(alone)


def with_one_writable(
    tree: Path, job: Callable[[], _Result], makes_devices: bool = True
) -> _Result:
    """Return what ``job`` returns, run where only ``tree`` can be written.

    ``tree`` is a mount point. Whatever links in it, or in an archive, make
    a program follow, no other file of this machine changes. Unless it
    ``makes_devices`` no program that it starts can. Raises CommandError if
    that cannot be had.
    """

    def alone() -> _Result:
        if not makes_devices:
            _check(_libc.prctl(_PR_CAPBSET_DROP, _CAP_MKNOD, 0, 0, 0))
        with _at_the_top():
            _set_attributes(Path("/"), on=_MOUNT_ATTR_RDONLY)
        _set_attributes(tree, off=_MOUNT_ATTR_RDONLY)
        try:
            return job()
        finally:
            _let_go()

    return _apart(alone)


def _let_go() -> None:
    """Drop this thread's copies of what is mounted in our place.

    Else a filesystem were written out, and its device free, only when the
    kernel ends the thread, some time after Python has.
    """
    for line in Path("/proc/thread-self/mounts").read_text().splitlines():
        where = line.split(" ")[1]
        if Path(where).parent == PLACE:
            _check(_libc.umount2(os.fsencode(where), _MNT_DETACH))


def keep_own_mounts() -> None:
    """Let this thread, until it ends, see no mount that another one makes.

    Else a copy of it would keep its device busy, as long as what was started
    here meanwhile. Raises CommandError if that cannot be had.
    """
    _check(_libc.unshare(_CLONE_NEWNS))


def _apart(job: Callable[[], _Result]) -> _Result:
    """Run ``job`` in a thread with a copy of the mounts of this one.

    A namespace belongs to a thread: the rest of the program keeps its own.
    """
    PLACE.mkdir(exist_ok=True)

    def leave() -> _Result:
        keep_own_mounts()
        with _at_the_top():
            _check(_libc.mount(b"none", b"/", None, _MS_REC_SLAVE, None))
        return job()

    pool = ThreadPoolExecutor(1)
    running = pool.submit(copy_context().run, leave)
    try:
        return running.result()
    finally:
        # With the thread ends its hold on what was mounted; but who
        # interrupts us must not wait for the job.
        pool.shutdown(wait=running.done())


@contextmanager
def _at_the_top() -> Iterator[None]:
    """Make ``/`` the top of all mounts, for this thread and this block.

    It is that already, but in a chroot, where it is no mount point whose
    attributes could be changed.
    """
    root, here = (os.open(path, os.O_PATH | os.O_CLOEXEC) for path in "/.")
    try:
        os.chdir("/")
        # Where we are is outside of the new root then: ".." leads upwards.
        os.chroot(PLACE)
        while not Path().samefile(".."):
            os.chdir("..")
        os.chroot(".")
        yield
    finally:
        os.fchdir(root)
        os.chroot(".")
        os.fchdir(here)
        os.close(root)
        os.close(here)


def _set_attributes(top: Path, on: int = 0, off: int = 0) -> None:
    """Change how ``top`` and all that is mounted below it is mounted."""
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    attributes = struct.pack("=QQQQ", on, off, 0, 0)
    _check(
        _libc.syscall(
            _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(top), _AT_RECURSIVE,
            attributes, ctypes.c_size_t(len(attributes)),
        )
    )  # fmt: skip


def _check(result: int) -> None:
    if result:
        problem = os.strerror(ctypes.get_errno())
        raise CommandError(f"no mount namespace to be had: {problem}")
