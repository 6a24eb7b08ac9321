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


"""Disk images attached as loop devices, and detached whatever happens."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FREE_TIMEOUT_S = 60


@contextmanager
def attached(image: Path, sector_bytes: int = 512) -> Iterator[str]:
    """Attach ``image`` and yield the loop device.

    Afterwards no filesystem of it is mounted, nothing swaps to it, it has
    no partitions and is detached; whoever broke off may have left some.
    """
    device = _output(
        "losetup", "--find", "--show",
        "--sector-size", str(sector_bytes),
        str(image),
    ).strip()  # fmt: skip
    try:
        yield device
    finally:
        for mount_point in mount_points(device):
            _output("umount", mount_point)
        # Partitions that partx made would outlive the device; there may be
        # none, which partx reports as a failure.
        subprocess.run(
            ["partx", "--delete", device], check=False, capture_output=True
        )
        _output("losetup", "--detach", device)
        _wait_until_free(device, image)


def _wait_until_free(device: str, image: Path) -> None:
    """Wait for the last user, which may be a program that is just ending."""
    file = Path("/sys/block") / Path(device).name / "loop/backing_file"
    until = time.monotonic() + FREE_TIMEOUT_S
    while str(image) in _text(file):
        assert time.monotonic() < until, f"{device} is still in use"
        time.sleep(0.02)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def find_partitions(device: str) -> None:
    """Make the partitions of a disk appear, whatever the kernel can parse."""
    _output("partx", "--update", device)


def mount_points(device: str) -> list[str]:
    """Return where ``device`` and its partitions are mounted, deepest first.

    Deepest means last mounted, as mounts are listed in their order.
    """
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [
        line.split(" ")[1].encode().decode("unicode_escape")
        for line in reversed(lines)
        if is_of(device, line.split(" ")[0])
    ]


def is_of(disk: str, device: str) -> bool:
    """Tell whether ``device`` is the loop device ``disk`` or on it."""
    return device == disk or (
        device.startswith(f"{disk}p") and device[len(disk) + 1 :].isdigit()
    )


def blank_image(path: Path, size_bytes: int) -> Path:
    """Make an image of zeroes that takes no space."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


def _output(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout
