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

"""Config drives: made, unpacked, and read back by other programs."""

from __future__ import annotations

import base64
import gzip
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions import resolved
from ipa_partitions.actions.configdrive import (
    SEED,
    InjectConfigDrive,
    WriteConfigDrive,
)
from ipa_partitions.deploy import Request, deploy, make_plan, verify
from ipa_partitions.disk.mount import mounted
from ipa_partitions.errors import ImageError, MachineErrors
from ipa_partitions.images import iso9660
from ipa_partitions.images.configdrive import HIDDEN, ConfigDrive, render
from tests import documents
from tests.functional.file_images import (
    MIB,
    LoopDisk,
    action,
    run,
    volume,
)
from tests.servers import Server

PARTS = {
    "meta_data": {"uuid": "n-n", "hostname": "höst"},
    "user_data": "#cloud-config\n",
    "network_data": {"links": []},
    "vendor_data": {"cloud-init": "#!/bin/sh\n"},
}
FILES = {
    "openstack/latest/meta_data.json": b'{"uuid": "n-n"}',
    "openstack/latest/user_data": random.Random(3).randbytes(5000),
    "openstack/2012-08-10/meta_data.json": b'{"uuid": "n-n"}',
    "openstack/content/0000": b"",
    "ec2/latest/meta-data.json": b"{}",
}


def make_iso(folder: Path, *options: str) -> bytes:
    """Make an ISO 9660 of FILES, as Ironic's clients do."""
    for path, content in FILES.items():
        file = folder / "drive" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (folder / "drive/link").unlink(missing_ok=True)
    (folder / "drive/link").symlink_to("/etc/shadow")
    run(
        "xorrisofs", "-quiet", "-V", "config-2", *options,
        "-o", str(folder / "drive.iso"), str(folder / "drive"),
    )  # fmt: skip
    return (folder / "drive.iso").read_bytes()


def packed(image: bytes) -> str:
    return base64.b64encode(gzip.compress(image)).decode()


def read_vfat(device: str, folder: Path) -> dict[str, bytes]:
    """Return the files of a vfat as mtools reads them."""
    run("mcopy", "-i", device, "-s", "-n", "::/", f"{folder}/")
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def probed(device: str) -> dict[str, str]:
    argv = ["blkid", "--probe", "--output", "export", device]
    text = subprocess.run(argv, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize("options", [
    ("-J", "-r"), ("-r",), ("-iso-level", "4"), ("-J",),
])  # fmt: skip
def test_an_iso_is_read_as_it_was_made(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    image = make_iso(tmp_path, *options)
    assert iso9660.is_iso9660(image)
    found = dict(iso9660.read_files(image))
    found.pop("link", None)  # a file of nothing, where nobody says link
    assert found == FILES


def test_a_damaged_iso_is_an_error_or_some_files(tmp_path: Path) -> None:
    image = make_iso(tmp_path, "-J", "-r")
    chance = random.Random(1)
    used = [at for at, byte in enumerate(image) if byte]
    for _ in range(400):
        damaged = bytearray(image)
        for _ in range(4):
            damaged[chance.choice(used)] = chance.randrange(256)
        try:
            found = iso9660.read_files(bytes(damaged))
        except ImageError:
            continue
        assert sum(map(len, found.values())) <= len(image)
        assert not any(
            part in ("..", "") for name in found for part in name.split("/")
        )


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_an_object_becomes_a_vfat_labelled_config_2(
    tmp_path: Path, loop_disk: LoopDisk, sector_bytes: int
) -> None:
    device = loop_disk(64, sector_bytes)
    write = WriteConfigDrive(
        device, 64 * MIB, sector_bytes, ConfigDrive(PARTS)
    )
    write.validate()
    write.execute()
    found = probed(device)
    assert (found["LABEL"], found["TYPE"]) == ("config-2", "vfat")
    (tmp_path / "out").mkdir()
    files = read_vfat(device, tmp_path / "out")
    assert files == render(PARTS)
    meta_data = json.loads(files["openstack/latest/meta_data.json"])
    assert meta_data == PARTS["meta_data"]
    assert files["openstack/latest/user_data"] == b"#cloud-config\n"


def test_an_iso_is_written_as_it_is_over_what_was_there(
    tmp_path: Path, loop_disk: LoopDisk
) -> None:
    image = make_iso(tmp_path, "-J", "-r")
    device = loop_disk(64)
    Path(device).write_bytes(b"secret" * 10 * MIB)
    WriteConfigDrive(
        device, 64 * MIB, 512, ConfigDrive(packed(image))
    ).execute()
    assert Path(device).read_bytes() == image.ljust(64 * MIB, b"\0")
    assert probed(device)["TYPE"] == "iso9660"
    drive = ConfigDrive(PARTS)
    WriteConfigDrive(device, 64 * MIB, 512, drive).execute()
    assert probed(device)["TYPE"] == "vfat"


def test_large_sectors_get_the_files_of_an_iso_as_a_vfat(
    tmp_path: Path, loop_disk: LoopDisk
) -> None:
    image = make_iso(tmp_path, "-J", "-r")
    device = loop_disk(64, 4096)
    write = WriteConfigDrive(
        device, 64 * MIB, 4096, ConfigDrive(packed(image))
    )
    write.validate()
    write.execute()
    (tmp_path / "out").mkdir()
    assert read_vfat(device, tmp_path / "out") == FILES


def test_a_fat_of_small_sectors_is_refused_before(
    tmp_path: Path, loop_disk: LoopDisk
) -> None:
    file = tmp_path / "fat.img"
    run("mkfs.vfat", "-C", str(file), "2048")
    drive = ConfigDrive(str(file))
    WriteConfigDrive("/dev/null", 64 * MIB, 512, drive).validate()
    with pytest.raises(ImageError, match="no ISO 9660"):
        WriteConfigDrive("/dev/null", 64 * MIB, 4096, drive).validate()


@pytest.mark.parametrize("kind", ["object", "iso"])
def test_the_files_go_into_a_system_for_root_alone(
    tmp_path: Path, loop_disk: LoopDisk, kind: str
) -> None:
    drive = ConfigDrive(PARTS, "image")
    if kind == "iso":
        image = make_iso(tmp_path, "-J", "-r")
        drive = ConfigDrive(packed(image), "image")
    root, var = volume(loop_disk(64), "/"), volume(loop_disk(64), "/var")
    for each in (root, var):
        run("mkfs.ext4", "-q", each.device)
    system = action("file:///x.tar", root, var).system
    assert isinstance(system, resolved.System)
    with mounted(var.device, "rw") as there:
        # Of the instance before, under an image that is updated in place.
        stale = there / SEED.removeprefix("/var/") / "openstack/latest"
        stale.mkdir(parents=True)
        (stale / "vendor_data2.json").write_text("{}")
        (stale / "old").write_text("old")
    inject = InjectConfigDrive(system, 64 * MIB, drive)
    inject.validate()
    inject.execute()
    with mounted(var.device) as there:
        seed = there / SEED.removeprefix("/var/")
        assert seed.stat().st_mode & 0o777 == 0o700
        found = [file for file in seed.rglob("*") if file.is_file()]
        assert {str(file.relative_to(seed)) for file in found} == set(
            FILES if kind == "iso" else render(PARTS)
        )
        assert {file.stat().st_mode & 0o777 for file in found} == {0o600}


def document(device: str, tmp_path: Path, **keys: Any) -> dict[str, Any]:
    """Return a document of one system that is not booted."""
    (tmp_path / "tree/etc").mkdir(parents=True, exist_ok=True)
    file = tmp_path / "x.tar"
    run("tar", "-C", str(tmp_path / "tree"), "-cf", str(file), ".")
    root = {
        "type": "partition",
        "size": "remaining",
        "mount": "/",
        "keep_data": False,
    }
    image = {"name": "one", "image_pull_url": f"file://{file}"}
    keys = {"boot": {"loader": "none"}, **keys}
    return documents.one_disk(device, root, images=[image], **keys)


def test_under_verify_the_partition_stays_and_its_content_is_new(
    tmp_path: Path, loop_disk: LoopDisk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    described = document(loop_disk(400), tmp_path, configdrive=PARTS)
    deploy(Request(described, firmware="bios"))
    (drive,) = [
        name
        for name in Path("/dev").glob(f"{described_device(described)}p*")
        if probed(str(name)).get("LABEL") == "config-2"
    ]
    described |= {"partitions_policy": "verify"}
    assert verify(Request(described, firmware="bios")) == ()
    iso = packed(make_iso(tmp_path, "-J", "-r"))
    deploy(Request(described, iso, firmware="bios"))
    assert probed(str(drive))["TYPE"] == "iso9660"
    assert verify(Request(described, firmware="bios")) == ()
    assert "cloud-config" not in caplog.text
    assert iso[:40] not in caplog.text


def test_one_is_fetched_from_where_ironic_keeps_it(
    tmp_path: Path, loop_disk: LoopDisk, server: Server
) -> None:
    iso = make_iso(tmp_path, "-J", "-r")
    (server.folder / "drive").write_text(packed(iso))
    device = loop_disk(400)
    url = f"{server.url}/drive?temp_url_sig=hunter2"
    deploy(Request(document(device, tmp_path), url, firmware="bios"))
    assert probed(f"{device}p1")["LABEL"] == "config-2"
    assert drive_of(device).startswith(iso)


def drive_of(device: str) -> bytes:
    return Path(f"{device}p1").read_bytes()


@pytest.mark.parametrize(("drive", "deploy_images"), [
    (HIDDEN, True),
    (PARTS | {"user_data": "other"}, False),
])  # fmt: skip
def test_under_verify_one_that_would_not_be_written_again_stays(
    tmp_path: Path, loop_disk: LoopDisk, drive: Any, deploy_images: bool
) -> None:
    device = loop_disk(400)
    described = document(device, tmp_path, configdrive=PARTS)
    deploy(Request(described, firmware="bios"))
    before = drive_of(device)
    assert before.find(b"#cloud-config") > 0

    described |= {"partitions_policy": "verify"}
    again = Request(
        described, drive, firmware="bios", deploy_images=deploy_images
    )
    deploy(again)

    assert drive_of(device) == before


def test_a_volume_that_keeps_its_data_keeps_the_config_drive(
    tmp_path: Path, loop_disk: LoopDisk
) -> None:
    device = loop_disk(400)
    described = document(device, tmp_path, configdrive=PARTS)
    place = {"type": "partition", "name": "config-2", "size": "64 MiB"}
    described["partitions"][0]["volumes"].insert(0, place)
    deploy(Request(described, firmware="bios"))
    before = drive_of(device)

    described |= {"partitions_policy": "verify"}
    again = Request(described, {"user_data": "other"}, firmware="bios")
    warning = "$.partitions[0].volumes[0]: keeps the config drive that it has"
    assert warning in make_plan(again).warnings
    deploy(again)
    assert drive_of(device) == before


@pytest.mark.parametrize("keys", [
    {},
    {"partitions_policy": "verify", "configdrive": {"into": "image"}},
])  # fmt: skip
def test_one_that_is_hidden_cannot_be_written(
    tmp_path: Path, loop_disk: LoopDisk, keys: dict[str, Any]
) -> None:
    device = loop_disk(400)
    described = document(device, tmp_path, configdrive={"into": "image"})
    deploy(Request(described, firmware="bios"))
    before = Path(device).read_bytes()
    described = document(device, tmp_path, **keys)
    with pytest.raises(MachineErrors, match="config drive is hidden"):
        deploy(Request(described, HIDDEN, firmware="bios"))
    assert Path(device).read_bytes() == before


def described_device(described: dict[str, Any]) -> str:
    return str(described["partitions"][0]["id"]["value"])


def test_one_that_comes_beside_goes_where_the_document_says(
    tmp_path: Path, loop_disk: LoopDisk
) -> None:
    device = loop_disk(400)
    described = document(device, tmp_path, configdrive={"into": "image"})
    deploy(Request(described, PARTS, firmware="bios"))
    with mounted(f"{device}p1") as root:
        name = "openstack/latest/user_data"
        file = root / SEED.removeprefix("/") / name
        assert file.read_text() == "#cloud-config\n"
    assert not Path(f"{device}p2").exists()
    # The image is not deployed again, so what it has stays.
    described |= {"partitions_policy": "verify"}
    described["partitions"][0]["volumes"][0]["keep_data"] = True
    deploy(Request(described, {"user_data": "other"}, firmware="bios"))
    with mounted(f"{device}p1") as root:
        file = root / SEED.removeprefix("/") / name
        assert file.read_text() == "#cloud-config\n"
