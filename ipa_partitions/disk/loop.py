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

"""A file as a loop device, for as long as a block lasts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ipa_partitions.errors import ActionError
from ipa_partitions.run import run

_FREE_TIMEOUT_S = 30


@contextmanager
def attached(path: str, *options: str) -> Iterator[str]:
    """Attach the file or device ``path``, and yield the loop device.

    ``options`` are of losetup. Raises CommandError where there are no loop
    devices, ActionError for one that stays in use: the volume that the file
    is on could not be unmounted.
    """
    device = run("losetup", "--find", "--show", *options, path).strip()
    name = _text(_backing_file(device))
    hold = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # It goes when nobody holds it, also if we are killed.
        run("losetup", "--detach", device)
        yield device
    finally:
        os.close(hold)
        _wait_until_free(device, name)


def path_of(file: IO[bytes]) -> str:
    """Return the name of what has none: that of our hold on it."""
    return f"/proc/{os.getpid()}/fd/{file.fileno()}"


def _wait_until_free(device: str, name: str) -> None:
    """Wait until nobody, as udev, looks at it any more."""
    until = time.monotonic() + _FREE_TIMEOUT_S
    while _text(_backing_file(device)) == name:
        if time.monotonic() > until:
            raise ActionError(f"{device}: {name} stays in use")
        time.sleep(0.02)


def _backing_file(device: str) -> Path:
    return Path("/sys/block", Path(device).name, "loop/backing_file")


def _text(file: Path) -> str:
    try:
        return file.read_text().removesuffix("\n")
    except OSError:  # detached meanwhile
        return ""
