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

"""LUKS2, by a key file and by the TPM of the test machine."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from ipa_partitions.disk import luks
from ipa_partitions.errors import CommandError

pytestmark = pytest.mark.disks("100 MiB")

MIB = 1024**2
UUID = "6f1c2a52-9d30-4d4b-8f0a-0f5d6b1f7a11"
NAME = f"luks-{UUID}"


def run(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout.strip()


def by_file(device, tmp_path, text="a key\n"):
    key = tmp_path / "key"
    key.write_text(text)
    return luks.Luks(device, NAME, UUID, str(key), tpm2=False)


def by_tpm(device):
    return luks.Luks(device, NAME, UUID, None, tpm2=True)


def digest(device):
    run("blockdev", "--flushbufs", device)
    return hashlib.sha256(Path(device).read_bytes()).hexdigest()


def metadata(device):
    return json.loads(
        run("cryptsetup", "luksDump", "--dump-json-metadata", device)
    )


@pytest.mark.parametrize("sector_bytes", [
    pytest.param(size, marks=pytest.mark.disks("100 MiB", sector_bytes=size))
    for size in (512, 4096)
])  # fmt: skip
def test_a_key_file_opens_all_but_the_header(disks, tmp_path, sector_bytes):
    spec = by_file(disks[0], tmp_path)
    run("mkfs.ext4", "-q", spec.device)
    luks.create(spec)
    assert run("blkid", "-po", "value", "-s", "TYPE", spec.device) == (
        "crypto_LUKS"
    )
    assert run("cryptsetup", "luksUUID", spec.device) == UUID
    assert luks.examine(spec.device) == luks.Header(
        spec.device, 2, UUID, spec.key_file, tpm2=False
    )
    luks.open_(spec)
    luks.open_(spec)
    size_bytes = int(run("blockdev", "--getsize64", spec.mapping))
    assert size_bytes == 100 * MIB - luks.HEADER_BYTES
    assert int(run("blockdev", "--getss", spec.mapping)) == sector_bytes
    luks.close(NAME)
    luks.close(NAME)
    assert not Path(spec.mapping).exists()


def test_to_look_inside_writes_nothing(disks, tmp_path):
    spec = by_file(disks[0], tmp_path)
    luks.create(spec)
    luks.open_(spec)
    run("mkfs.ext4", "-q", "-L", "inside", spec.mapping)
    luks.close(NAME)
    before = digest(spec.device)
    luks.examine(spec.device)
    luks.open_(spec, read_only=True)
    assert run("blkid", "-po", "value", "-s", "LABEL", spec.mapping) == (
        "inside"
    )
    assert run("blockdev", "--getro", spec.mapping) == "1"
    luks.close(NAME)
    assert digest(spec.device) == before


def test_another_key_opens_nothing(disks, tmp_path):
    luks.create(by_file(disks[0], tmp_path))
    for other in (by_file(disks[0], tmp_path, "another"), by_tpm(disks[0])):
        with pytest.raises(CommandError):
            luks.open_(other)
    assert not Path("/dev/mapper", NAME).exists()


def test_what_is_mounted_is_not_closed(disks, tmp_path):
    spec = by_file(disks[0], tmp_path)
    luks.create(spec)
    luks.open_(spec)
    run("mkfs.ext4", "-q", spec.mapping)
    (tmp_path / "mnt").mkdir()
    run("mount", spec.mapping, str(tmp_path / "mnt"))
    with pytest.raises(CommandError, match="in use"):
        luks.close(NAME)
    run("umount", str(tmp_path / "mnt"))
    luks.close(NAME)


def test_only_the_tpm_has_the_key(disks):
    spec = by_tpm(disks[0])
    luks.validate(spec)
    luks.create(spec)
    written = metadata(spec.device)
    (token,) = written["tokens"].values()
    assert token["type"] == "systemd-tpm2"
    assert token["tpm2-pcrs"] == []
    assert list(written["keyslots"]) == token["keyslots"]
    assert luks.examine(spec.device).tpm2
    luks.open_(spec)
    size_bytes = int(run("blockdev", "--getsize64", spec.mapping))
    assert size_bytes == 100 * MIB - luks.HEADER_BYTES
    luks.close(NAME)


@pytest.mark.parametrize("tpm2", [False, True])
def test_systemd_opens_it_by_its_line_of_crypttab(disks, tmp_path, tpm2):
    spec = by_tpm(disks[0]) if tpm2 else by_file(disks[0], tmp_path)
    luks.create(spec)
    run("udevadm", "settle")
    line = luks.crypttab_line(spec, f"{tmp_path}/key")
    name, source, key, options = line.split(" ")
    device = source.replace("UUID=", "/dev/disk/by-uuid/")
    run(
        "/lib/systemd/systemd-cryptsetup", "attach",
        name, device, key, f"{options},headless",
    )  # fmt: skip
    assert int(run("blockdev", "--getsize64", spec.mapping)) == 84 * MIB
    luks.close(NAME)
