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

"""A disk with Debian 12 and 13, for BIOS and UEFI, that falls back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import documents, file_server, loops, program, systems

DISK_BYTES = 5 * 1024**3

# After the code for BIOS and the ESP; the roots follow.
MULTIBOOT, FIRST, SECOND = 3, 4, 5


@pytest.fixture(scope="session")
def deployed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the disk as it was deployed."""
    disk = loops.blank_image(
        tmp_path_factory.mktemp("deployed") / "disk.img", DISK_BYTES
    )
    images = (systems.debian_12(), systems.debian_13())
    with (
        loops.attached(disk) as device,
        file_server.serving(*(image.path for image in images)) as url,
    ):
        document = documents.two_systems(device, url)
        document["boot"] |= {"firmware": "both", "fallback": True}
        program.output("deploy", "--yes", "-", stdin=json.dumps(document))
    return disk


@pytest.fixture
def two_systems(deployed_once: Path, tmp_path: Path) -> Path:
    """Return a disk of the test's own; Debian 12 is its default."""
    copy = tmp_path / "disk.img"
    subprocess.run(
        ["cp", "--sparse=always", str(deployed_once), str(copy)], check=True
    )
    return copy


@contextmanager
def attached(disk: Path) -> Iterator[str]:
    """Yield the loop device of a disk whose partitions are there."""
    with loops.attached(disk) as device:
        loops.find_partitions(device)
        yield device


def boot(device: str, *words: str) -> Any:
    """Return what one of our ``boot`` verbs prints."""
    return program.output(
        "boot", *words, "--partition", f"{device}p{MULTIBOOT}"
    )
