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


"""Loop disks for the tests of this folder, and a look at what they leave."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import loops
from tests.functional import file_images
from tests.servers import Server, http_server

MIB = 1024**2


@pytest.fixture(autouse=True)
def nothing_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fail a test that leaves a temporary file, a mount or a loop device."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    yield
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    left = [line for line in mounts if str(tmp_path) in line]
    left += [str(path) for path in scratch.iterdir()]
    left += [
        f"{file.parent.parent.name} of {backing}"
        for file in Path("/sys/block").glob("loop*/loop/backing_file")
        if (backing := _text(file)).startswith(str(tmp_path))
    ]
    assert left == []


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # detached meanwhile, so it is not ours
        return ""


@pytest.fixture
def loop_disk(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return a function that makes and attaches a blank disk."""
    made: list[str] = []
    with ExitStack() as stack:

        def make(size_mib: int = 1024, sector_bytes: int = 512) -> str:
            number = len(list(tmp_path.glob("disk*.img")))
            image = loops.blank_image(
                tmp_path / f"disk{number}.img", size_mib * MIB
            )
            device = stack.enter_context(loops.attached(image, sector_bytes))
            made.append(device)
            return device

        yield make
        left = [
            where for device in made for where in loops.mount_points(device)
        ]
    assert left == [], "still mounted"


@pytest.fixture
def system_tree(loop_disk: Callable[..., str]) -> Iterator[Path]:
    """Return a small system with everything that a file can have."""
    with file_images.system_tree(loop_disk(64)) as tree:
        yield tree


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    with http_server(tmp_path / "served") as server:
        yield server
