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

"""Partition images of the classic form, which declares no filesystem."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ipa_partitions.deploy import Request, make_plan
from ipa_partitions.errors import PartitionsError
from tests.functional.file_images import LoopDisk, run
from tests.servers import Server


@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "raw.zst"])
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_the_root_has_the_filesystem_of_the_image(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    kind: str,
    disk_format: str,
) -> None:
    file, raw = server.folder / f"x.{disk_format}", tmp_path / "x"
    raw.write_bytes(b"")
    run("truncate", "-s", "320M", str(raw))
    run(f"mkfs.{kind}", "-q", str(raw))
    if disk_format == "raw.zst":
        run("zstd", "-q", str(raw), "-o", str(file))
    else:
        run("qemu-img", "convert", "-O", disk_format, str(raw), str(file))
    device = loop_disk(700)
    described = {
        "urls": [f"{server.url}/{file.name}"],
        "os_hash_algo": "sha256",
        "os_hash_value": hashlib.sha256(file.read_bytes()).hexdigest(),
        "root_mb": 400,
        "swap_mb": 16,
    }
    made = make_plan(Request(described, os_install=lambda: device))
    made.validate()
    assert made.resolved.volumes[-1].content.file_system == kind


def test_an_image_that_cannot_be_had_is_told_when_it_is_asked_for(
    server: Server, loop_disk: LoopDisk
) -> None:
    device = loop_disk(700)
    described = {
        "urls": [f"{server.url}/none"], "checksum": "0" * 64, "root_mb": 400,
    }  # fmt: skip
    made = make_plan(Request(described, os_install=lambda: device))
    with pytest.raises(PartitionsError, match="HTTP 404"):
        made.validate()
