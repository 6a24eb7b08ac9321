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

"""What the test machine brings, so that other tests can rely on it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

MIB = 1024**2

pytestmark = pytest.mark.disks("200 MiB", "200 MiB")


def run(*argv: str, text: str | None = None) -> str:
    ran = subprocess.run(
        argv, input=text, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, f"{argv}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def size_bytes(device: str) -> int:
    return int(run("blockdev", "--getsize64", device))


@pytest.mark.parametrize("sector_bytes", [
    pytest.param(size, marks=pytest.mark.disks("1 GiB", sector_bytes=size))
    for size in (512, 4096)
])  # fmt: skip
def test_disks_are_blank_and_have_serial_numbers(disks, sector_bytes):
    (disk,) = disks
    assert size_bytes(disk) == 1024 * MIB
    assert int(run("blockdev", "--getss", disk)) == sector_bytes
    assert run("lsblk", "-ndo", "SERIAL", disk).strip()
    assert run("wipefs", disk) == ""


def holds(files: list[Path], told: dict[str, Any]) -> None:
    with files[1].open("rb") as file:
        assert file.read(16) == told["written"].encode()


@pytest.mark.disks("1 MiB", "1 MiB", then=holds)
def test_the_disks_can_be_looked_at_afterwards(disks, record_property):
    record_property("written", "sixteen letters!")
    Path(disks[1]).write_text("sixteen letters!")


def test_vfat_on_a_partition_is_mounted(disks, tmp_path):
    run("sfdisk", "--quiet", disks[0], text="label: gpt\n,100M,U\n,,L\n")
    run("udevadm", "settle")
    run("mkfs.vfat", f"{disks[0]}1")
    run("mount", f"{disks[0]}1", str(tmp_path))
    (tmp_path / "file").write_text("text")
    run("umount", str(tmp_path))
    assert size_bytes(f"{disks[0]}2") == 98 * MIB


@pytest.mark.parametrize("again", [False, True])
def test_arrays_and_groups_are_gone_when_a_test_ends(disks, again):
    assert "md" not in Path("/proc/partitions").read_text()
    run(
        "mdadm", "--create", "/dev/md/mirror", "--run", "--level=1",
        "--raid-devices=2", "--metadata=1.2", *disks,
    )  # fmt: skip
    run("vgcreate", "group", "/dev/md/mirror")
    run("lvcreate", "--yes", "--name=one", "--size=40M", "group")
    run("mkswap", "/dev/group/one")
    assert size_bytes("/dev/group/one") == 40 * MIB


@pytest.mark.disks("100 MiB")
def test_luks_opens_by_the_tpm(disks, tmp_path):
    key = tmp_path / "key"
    key.write_text("secret")
    key.chmod(0o600)
    run(
        "cryptsetup", "luksFormat", "--batch-mode",
        "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000",
        "--key-file", str(key), disks[0],
    )  # fmt: skip
    run(
        "systemd-cryptenroll", "--tpm2-device=auto",
        f"--unlock-key-file={key}", disks[0],
    )  # fmt: skip
    run(
        "/lib/systemd/systemd-cryptsetup", "attach", "plain", disks[0], "-",
        "tpm2-device=auto,headless",
    )  # fmt: skip
    assert size_bytes("/dev/mapper/plain") == 84 * MIB
