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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from ipa_partitions.disk.mount import PLACE, UNTRUSTED, mounted
from ipa_partitions.errors import CommandError

# linux/sched.h, linux/mount.h
_CLONE_NEWNS = 0x00020000
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18

_PLACE_OPTIONS = f"{UNTRUSTED},mode=700,size=1m"

_Result = TypeVar("_Result")


def with_private_mounts(job: Callable[[], _Result]) -> _Result:
    """Return what ``job`` returns, run where its mounts are its own.

    It runs in a thread with a mount namespace of its own, which the threads
    and programs that it starts share. The kernel takes the mounts away with
    the last of them, even if this program is killed, so that no mount keeps
    a second run from the disk. Raises CommandError if that cannot be had.
    """
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(copy_context().run, _apart, job).result()
    finally:
        # Ends with the job; who interrupts us must not wait for it.
        pool.shutdown(wait=False)


def _apart(job: Callable[[], _Result]) -> _Result:
    libc = ctypes.CDLL(None, use_errno=True)
    # A namespace belongs to a thread: the rest of the program keeps its own.
    if libc.unshare(_CLONE_NEWNS) or libc.mount(
        b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None
    ):
        problem = os.strerror(ctypes.get_errno())
        raise CommandError(f"no mount namespace to be had: {problem}")
    PLACE.mkdir(exist_ok=True)
    # With the namespace go the directories that we mount on, too.
    with mounted("tmpfs", _PLACE_OPTIONS, PLACE, kind="tmpfs"):
        return job()
