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

"""Mount filesystems, never trusting what is in them."""

from __future__ import annotations

import ctypes
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipa_partitions.disk.probe import BUSY_TIMEOUT_S
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

# Where everything is mounted; see namespace.py.
PLACE = Path("/run/ipa-partitions")

UNTRUSTED = "nodev,nosuid,noexec"
READ_ONLY = f"ro,{UNTRUSTED}"

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def mounted(
    device: str,
    options: str = UNTRUSTED,
    at: Path | None = None,
    kind: str = "auto",
) -> Iterator[Path]:
    """Mount ``device`` at ``at``, or on a fresh directory, and yield it.

    Raises CommandError if it cannot be mounted, or afterwards written out
    and unmounted: data may be lost then, so the deployment must not report
    success.
    """
    PLACE.mkdir(exist_ok=True)
    where = at or Path(tempfile.mkdtemp(dir=PLACE))
    remove = where.rmdir if at is None else lambda: None
    try:
        _patiently("mount", "-t", kind, "-o", options, device, str(where))
    except BaseException:
        remove()
        raise
    try:
        with _written_out(where, device):
            yield where
    finally:
        _patiently("umount", str(where))
        # Fails, and so is noticed, while something is still mounted.
        remove()


@contextmanager
def _written_out(where: Path, device: str) -> Iterator[None]:
    """Have all written out at the end; raise CommandError if it fails.

    What the kernel could not write it tells only who had the filesystem
    open before, and asks: not who unmounts it. syncfs(2), since Linux 5.8.
    """
    root = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
        if _libc.syncfs(root):
            problem = os.strerror(ctypes.get_errno())
            raise CommandError(f"{device}: cannot be written: {problem}")
    finally:
        os.close(root)


def _patiently(*argv: str) -> None:
    """Run what fails while something is in use that is about to be let go.

    A program that another thread is starting has all the files that were
    open then, until it is that program.
    """
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            run(*argv)
        except CommandError as error:
            if "busy" not in str(error) or time.monotonic() > end:
                raise
        else:
            return
        time.sleep(0.05)
