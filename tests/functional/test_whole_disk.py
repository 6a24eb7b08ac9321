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

"""Images of whole disks, in the classic form, on loop devices."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions import deploy
from ipa_partitions.disk.mount import mounted
from ipa_partitions.errors import (
    ActionError,
    LayoutErrors,
    MachineErrors,
)
from tests.servers import Server

MIB = 1024**2
GPT = """label: gpt
label-id: 6F6BC1B4-1D5C-4B35-9C3C-1F4C9B1F0A01
start=2048, size=20480, name=esp
size=81920, name=root
"""
MSDOS = """label: dos
label-id: 0xcafe0102
start=2048, size=20480, type=83
size=81920, type=83
"""

LoopDisk = Callable[..., str]


def run(*argv: str, stdin: str = "") -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True, input=stdin
    ).stdout


def disk_image(folder: Path, table: str, drive: bool = False) -> bytes:
    """Return a disk with two filesystems; the first may be config-2."""
    label = "config-2" if drive else "first"
    file = folder / "fs"
    file.write_bytes(bytes(10 * MIB))
    run("mkfs.vfat", "-n", label, str(file))
    first = file.read_bytes()
    file.write_bytes(bytes(40 * MIB))
    run("mkfs.ext4", "-q", str(file))
    with mounted(str(file), "loop") as root:
        (root / "hello").write_text("world")
    disk = folder / "whole"
    disk.write_bytes(bytes(MIB) + first + file.read_bytes() + bytes(13 * MIB))
    run("sfdisk", "--quiet", "--no-reread", str(disk), stdin=table)
    return disk.read_bytes()


def document(server: Server, data: bytes, how: str = "raw") -> dict[str, Any]:
    file = server.folder / "x"
    file.write_bytes(data)
    if how == "qcow2":
        run("qemu-img", "convert", "-c", "-O", "qcow2", str(file),
            f"{file}.qcow2")  # fmt: skip
        file = Path(f"{file}.qcow2")
    if how == "gzip":
        file = Path(f"{file}.gz")
        file.write_bytes(gzip.compress(data, 1))
    return {
        "id": "some-image",
        "urls": [f"{server.url}/{file.name}"],
        "image_type": "whole-disk",
        "disk_format": "qcow2" if how == "qcow2" else "raw",
        "os_hash_algo": "sha256",
        "os_hash_value": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def deployed(disk: str, image_info: dict[str, Any]) -> deploy.Result:
    return deploy.deploy(deploy.Request(image_info, os_install=lambda: disk))


def table_of(disk: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(run("sfdisk", "--json", disk))
    return shown["partitiontable"]


@pytest.mark.parametrize("table", [GPT, MSDOS], ids=["gpt", "msdos"])
@pytest.mark.parametrize("how", ["raw", "qcow2", "gzip"])
def test_the_disk_is_the_image_with_its_backup_where_the_disk_ends(
    server: Server, loop_disk: LoopDisk, tmp_path: Path, table: str, how: str
) -> None:
    data = disk_image(tmp_path, table)
    disk = loop_disk(128)
    Path(disk).write_bytes(b"\xff" * (128 * MIB))
    result = deployed(disk, document(server, data, how))
    expected = "0x00000000" if table is GPT else "0xcafe0102"
    assert result.to_json() == {
        "root_uuid": expected,
        "efi_system_partition_uuid": None,
        "boot_info": None,
    }
    found = table_of(disk)
    assert found["id"].lower() in table.lower()
    if table is GPT:
        assert found["lastlba"] > 127 * MIB // 512
        assert "corrupt" not in run("sfdisk", "--verify", disk)
        with Path(disk).open("rb") as written:
            written.seek(-512, 2)
            assert written.read(8) == b"EFI PART"
    with Path(disk).open("rb") as written:
        written.seek(MIB)
        end = len(data) - MIB
        assert written.read(end - MIB) == data[MIB:end]
    with mounted(found["partitions"][1]["node"]) as root:
        assert (root / "hello").read_text() == "world"


@pytest.mark.parametrize("table", [GPT, MSDOS], ids=["gpt", "msdos"])
@pytest.mark.parametrize("drive", [True, False])
def test_a_config_drive_goes_to_its_partition_or_to_a_new_one(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    table: str,
    drive: bool,
) -> None:
    disk = loop_disk(256)
    image_info = document(server, disk_image(tmp_path, table, drive))
    image_info["configdrive"] = {"meta_data": {"uuid": "u"}}
    deployed(disk, image_info)
    found = table_of(disk)["partitions"]
    assert len(found) == (2 if drive else 3)
    node = found[0 if drive else 2]["node"]
    label = run("blkid", "--probe", "-s", "LABEL", "-o", "value", node)
    assert label.strip().lower() == "config-2"


def test_a_config_drive_without_room_is_an_error_and_nothing_boots(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    disk = loop_disk(64)
    image_info = document(server, disk_image(tmp_path, GPT))
    image_info["configdrive"] = {"meta_data": {"uuid": "u"}}
    with pytest.raises(ActionError, match="has no room for config-2"):
        deployed(disk, image_info)
    assert subprocess.run(["sfdisk", "--json", disk]).returncode == 1


@pytest.mark.parametrize(("change", "problem"), [
    ({"os_hash_value": "0" * 64}, "its sha256 is"),
    ({"disk_format": "qcow2"}, "is a partitioned disk, not qcow2"),
])  # fmt: skip
def test_a_wrong_image_leaves_nothing_to_boot(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    change: dict[str, str],
    problem: str,
) -> None:
    disk = loop_disk(64)
    image_info = document(server, disk_image(tmp_path, GPT)) | change
    with pytest.raises((ActionError, MachineErrors), match=problem):
        deployed(disk, image_info)
    with Path(disk).open("rb") as written:
        assert not any(written.read(MIB))


def test_a_table_for_other_sectors_is_known_before(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    disk = loop_disk(64, 4096)
    run("mkfs.ext4", "-q", disk)
    image_info = document(server, disk_image(tmp_path, GPT))
    with pytest.raises(MachineErrors, match="for sectors of 512 bytes"):
        deployed(disk, image_info)
    with mounted(disk):
        pass


def test_what_is_larger_than_the_disk_is_known_before(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    image_info = document(server, disk_image(tmp_path, GPT))
    with pytest.raises(MachineErrors, match="67108864 bytes do not fit"):
        deployed(loop_disk(63), image_info)


def test_a_config_drive_goes_into_no_image_of_a_whole_disk(
    server: Server, loop_disk: LoopDisk
) -> None:
    image_info = document(server, b"x")
    image_info["configdrive"] = {"meta_data": {}, "into": "image"}
    with pytest.raises(LayoutErrors, match=r"\$\.configdrive: goes into no"):
        deployed(loop_disk(64), image_info)
