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

"""Every layout of tests/layouts, deployed for real and read from outside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions.deploy import Request, deploy, make_plan
from ipa_partitions.disk.filesystem import MSDOS_TYPES
from ipa_partitions.disk.size import MIB, exact_bytes
from ipa_partitions.resolved import Disk, Volume
from tests import file_server, layouts, servers, tiny

SERVER = "images.example.com"


def output(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout


def tags(device: str) -> dict[str, str]:
    """Return what blkid finds on the device itself."""
    ran = subprocess.run(
        ["blkid", "--probe", "--output", "export", device],
        check=False,
        capture_output=True,
        text=True,
    )
    plain = ran.stdout.replace("\\ ", " ")
    return dict(line.split("=", 1) for line in plain.splitlines())


@contextmanager
def served(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Serve tiny images for the layout; yield it with their addresses."""
    folder.mkdir()
    image_info = layouts.document(name)
    images = image_info.get("images", [image_info])
    files = {}
    for image in images:
        url = (image.get("urls") or [image.get("image_pull_url")])[0]
        if url is None or url.startswith("rsync://"):
            continue
        files[url] = tiny.image_file(folder, Path(url).name)
        image["os_hash_value"] = tiny.sha256(files[url])
    tiny.tree(folder, "tree").rename(folder / "tree")
    with (
        file_server.serving(*files.values()) as http,
        servers.rsync_daemon(folder, folder) as rsync,
    ):
        text = json.dumps(image_info)
        text = text.replace(f"http://{SERVER}", http)
        yield json.loads(text.replace(f"rsync://{SERVER}", f"rsync://{rsync}"))


def on_loops(image_info: dict[str, Any], devices: dict[str, str]) -> Any:
    text = json.dumps(image_info)
    for name, device in devices.items():
        text = text.replace(f'"value": "{name}"', f'"value": "{device}"')
    return json.loads(text)


@pytest.mark.parametrize("sector_bytes", [512, 4096])
@pytest.mark.parametrize("name", layouts.DISKS)
def test_a_layout_is_on_the_disks_as_planned(
    name, sector_bytes, loop_disk, tmp_path
):
    devices = {
        disk: loop_disk(exact_bytes(size) // MIB, sector_bytes)
        for disk, size in layouts.DISKS[name].items()
    }
    with served(name, tmp_path / "images") as image_info:
        request = Request(
            on_loops(image_info, devices),
            firmware="bios",
            seed=layouts.SEED,
            os_install=lambda: devices["vda"],
        )
        resolved = make_plan(request).resolved
        result = deploy(request)

    for disk in resolved.disks:
        if disk.partitions:
            assert_table(disk)
        for volume in disk.volumes:
            assert_filesystem(volume)
    for system in resolved.bootable:
        assert_system(system.mounts, system.swaps, tmp_path)
    if resolved.bootable:
        default = resolved.bootable[resolved.default_system]
        assert result.root_uuid == default.root.uuid
        elements = [e.root_uuid for e in result.boot_info.elements]
        assert elements == [s.root.uuid for s in resolved.bootable]


def assert_table(disk: Disk) -> None:
    shown = json.loads(output("sfdisk", "--json", disk.device))
    table = shown["partitiontable"]
    assert table["label"] == {"gpt": "gpt", "msdos": "dos"}[disk.table]
    found = [
        (
            entry["node"],
            entry["start"] * disk.sector_bytes,
            entry["size"] * disk.sector_bytes,
            entry["type"].upper(),
        )
        for entry in table["partitions"]
    ]
    assert found == [
        (
            partition.volume.device,
            partition.start_bytes,
            partition.size_bytes,
            partition.type_guid
            if disk.table == "gpt"
            else MSDOS_TYPES[partition.type_guid].upper(),
        )
        for partition in disk.partitions
    ]
    if disk.table == "gpt":
        assert table["id"].lower() == disk.uuid
        assert [
            (entry["name"], entry["uuid"].lower())
            for entry in table["partitions"]
        ] == [(p.volume.name, p.uuid) for p in disk.partitions]


def assert_filesystem(volume: Volume) -> None:
    found, content = tags(volume.device), volume.content
    if content.file_system == "none":
        assert found.get("TYPE") in (None, "iso9660")
        return
    assert found["TYPE"] == content.file_system
    assert found["UUID"] == volume.uuid
    assert content.label in (None, found.get("LABEL"))


def assert_system(
    mounts: tuple[Volume, ...], swaps: tuple[Volume, ...], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    for volume in mounts:
        where = f"{root}{volume.content.mount}"
        output("mount", "-o", "ro", volume.device, where)
    try:
        text = (root / "boot/vmlinuz-1.0").read_text()
        assert text.startswith("the kernel of")
        assert (root / "var/log/first").read_text() == "one line\n"
        fields = [
            line.removeprefix("# ").split()
            for line in (root / "etc/fstab").read_text().splitlines()
        ]
        assert [(field[0], field[1]) for field in fields] == [
            *((f"UUID={v.uuid}", v.content.mount) for v in mounts),
            *((f"UUID={v.uuid}", "none") for v in swaps),
        ]
        # What an image brought has grown to its volume.
        size = int(output("df", "-B1", "--output=size", root).split()[1])
        assert size > mounts[0].size_bytes * 0.9
    finally:
        output("umount", "--recursive", str(root))
