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

"""The memory that a deployment takes does not grow with the image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import documents
from tests.functional.file_images import MIB, LoopDisk, run
from tests.servers import Server

SMALL_MIB, LARGE_MIB = 32, 160
# What unsquashfs reads ahead, and no image is: a third of the difference.
MORE_MIB = (LARGE_MIB - SMALL_MIB) // 3

# The peak of the program itself, and of the largest that it started.
DEPLOY = """
import re, resource, sys
from pathlib import Path
from ipa_partitions.cli import main

code = main(["deploy", sys.argv[1], "--yes", "--json"])
own = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(max(int(own[1]), started) // 1024, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "kind", ["raw", "raw.zst", "qcow2", "tar", "squashfs"]
)
def test_memory_does_not_depend_on_the_size_of_an_image(
    server: Server, loop_disk: LoopDisk, tmp_path: Path, kind: str
) -> None:
    small, large = (
        peak_mib(server, loop_disk(LARGE_MIB * 3), tmp_path, kind, size_mib)
        for size_mib in (SMALL_MIB, LARGE_MIB)
    )
    assert small > 0
    assert large - small < MORE_MIB


def peak_mib(
    server: Server, device: str, scratch: Path, kind: str, size_mib: int
) -> int:
    """Deploy an image with so much data in it, and return the peak."""
    file = make_image(server.folder, scratch, kind, size_mib)
    described = documents.one_disk(
        device,
        {"type": "partition", "size": "remaining", "mount": "/data"},
        images=[{
            "name": "tools",
            "image_type": "data",
            "target": "/data",
            "image_pull_url": f"{server.url}/{file.name}",
            "os_hash_algo": "sha256",
            "os_hash_value": run("sha256sum", str(file)).split()[0],
        }],
    )  # fmt: skip
    document = scratch / "document.json"
    document.write_text(json.dumps(described))
    done = subprocess.run(
        [sys.executable, "-c", DEPLOY, str(document)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


def make_image(folder: Path, scratch: Path, kind: str, size_mib: int) -> Path:
    """Make an image that is no smaller than what is in it."""
    tree = scratch / f"tree-{size_mib}"
    tree.mkdir()
    with (tree / "large").open("wb") as data:
        for _ in range(size_mib):
            data.write(os.urandom(MIB))
    file, raw = folder / f"x.{kind}", folder / "x.raw"
    file.unlink(missing_ok=True)
    if kind == "tar":
        run("tar", "-C", str(tree), "-cf", str(file), ".")
    elif kind == "squashfs":
        run("mksquashfs", str(tree), str(file), "-quiet", "-noD", "-noI")
    else:
        raw.unlink(missing_ok=True)
        run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(raw),
            f"{size_mib * 3 // 2}M")  # fmt: skip
    if kind == "qcow2":
        run("qemu-img", "convert", "-c", "-o", "compression_type=zstd",
            "-O", "qcow2", str(raw), str(file))  # fmt: skip
    elif kind == "raw.zst":
        run("zstd", "-q", "-1", str(raw), "-o", str(file))
    return file
