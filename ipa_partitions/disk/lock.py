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

"""Keep udev and other well-behaved programs off a disk while it changes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from ipa_partitions.errors import CommandError

# udev holds it, too, while it looks at a disk; of many disks, or on a busy
# machine, that takes its time.
TIMEOUT_S = 30


@contextmanager
def locked(devices: Iterable[str]) -> Iterator[None]:
    """Hold the lock of every whole disk: systemd.io/BLOCK_DEVICE_LOCKING.

    Raises CommandError if another program holds one, since two of us must
    never write the same disk, and if there is no such disk any more.
    """
    with ExitStack() as stack:
        for device in devices:
            node = _open(device)
            stack.callback(os.close, node)
            _lock(node, device)
        yield


def _open(device: str) -> int:
    try:
        return os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CommandError(f"{device}: {error.strerror}") from error


def _lock(node: int, device: str) -> None:
    end = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return fcntl.flock(node, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise CommandError(
                    f"{device}: another program has locked it"
                ) from error
            time.sleep(0.05)
