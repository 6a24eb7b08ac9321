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

"""A layout deployed for real, and read from outside of the program."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ipa_partitions import deploy
from ipa_partitions.deploy import Request
from ipa_partitions.disk.filesystem import MSDOS_TYPES
from ipa_partitions.layout.build import ESP_MOUNT
from ipa_partitions.resolved import Disk, ResolvedLayout, Volume
from tests import file_server, layouts, servers, tiny

MEMBERS = ("linux_raid_member", "LVM2_member", "bcache")
SERVER = "images.example.com"


def output(*argv: str) -> str:
    """Return what a program prints."""
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


def on_devices(image_info: dict[str, Any], devices: Mapping[str, str]) -> Any:
    """Return the document with these devices for the disks it names."""
    text = json.dumps(image_info)
    for name, device in devices.items():
        text = text.replace(f'"value": "{name}"', f'"value": "{device}"')
    return json.loads(text)


def assert_deploys(
    name: str, devices: Mapping[str, str], folder: Path
) -> ResolvedLayout:
    """Deploy the layout onto ``devices``, and see that it is all there.

    Then its disks, described by ``capture``, are to be what the description
    says. Returns what was planned.
    """
    with served(name, folder / "images") as image_info:
        request = Request(
            on_devices(image_info, devices),
            firmware="bios",
            seed=layouts.SEED,
            os_install=lambda: devices["vda"],
        )
        resolved = deploy.make_plan(request).resolved
        result = deploy.deploy(request)
    for disk in resolved.disks:
        if disk.partitions:
            assert_table(disk)
    with up(resolved):
        for volume in resolved.volumes:
            assert_filesystem(volume)
        for system in resolved.bootable:
            assert_system(system.mounts, system.swaps, folder)
    if resolved.bootable:
        default = resolved.bootable[resolved.default_system]
        assert result.root_uuid == default.root.uuid
        assert result.boot_info
        elements = [e.root_uuid for e in result.boot_info.elements]
        assert elements == [s.root.uuid for s in resolved.bootable]
    captured = deploy.capture([*devices.values()])
    assert deploy.verify(Request(captured, firmware="bios")) == ()
    return resolved


@contextmanager
def up(resolved: ResolvedLayout) -> Iterator[None]:
    """Have the arrays, groups and mappings up, as an operator would."""
    # Let in to the disks again, udev starts some of it at the same time.
    subprocess.run(("udevadm", "settle", "--timeout=60"), check=False)
    with ExitStack() as stack:
        for array in resolved.arrays:
            spec = array.spec
            output(
                "mdadm", "--assemble", spec.device, *spec.members,
                *spec.spares,
            )  # fmt: skip
            stack.callback(output, "mdadm", "--stop", spec.device)
        for bcache in resolved.bcaches:
            for member in (bcache.spec.backing, *bcache.spec.caches):
                register(member)
            link = Path(bcache.spec.device)
            link.parent.mkdir(exist_ok=True)
            # Of a set that udev has started before us, it may be there.
            link.unlink(missing_ok=True)
            link.symlink_to(cached_node(bcache.spec.backing))
            stack.callback(link.unlink)
        for group in resolved.groups:
            output("vgchange", "--activate=y", group.name)
            stack.callback(output, "vgchange", "--activate=n", group.name)
        for volume in resolved.volumes:
            luks = volume.luks
            if luks:
                key = (
                    ["--token-only"]
                    if luks.tpm2
                    else ["--key-file", str(luks.key_file)]
                )
                output("cryptsetup", "open", *key, luks.device, luks.name)
                stack.callback(output, "cryptsetup", "close", luks.name)
        yield


def register(member: str) -> None:
    """Tell the kernel of a member of a cached set; udev may have."""
    if not (sysfs(member) / "bcache").exists():
        Path("/sys/fs/bcache/register_quiet").write_text(member)


def cached_node(backing: str) -> str:
    """Return the device that the kernel makes of a backing one."""
    until = time.monotonic() + 60
    while not (sysfs(backing) / "bcache/dev").exists():
        assert time.monotonic() < until, f"{backing}: no set comes up"
        time.sleep(0.05)
    return f"/dev/{(sysfs(backing) / 'bcache/dev').resolve().name}"


def sysfs(device: str) -> Path:
    """Return what the kernel says of a device."""
    return Path("/sys/class/block") / Path(device).resolve().name


def assert_is_laid_out_again(devices: Iterable[str]) -> None:
    """Describe disks, clear them, and lay them out by that description."""
    disks = [*devices]
    captured = deploy.capture(disks)
    cleared = captured | {"partitions_policy": "clean"}
    deploy.deploy(Request(cleared, firmware="bios"))
    assert deploy.capture(disks) == captured


def assert_table(disk: Disk) -> None:
    """Compare the table with what sfdisk reads."""
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
            partition.volume.home,
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
    """Compare what is in a volume with what blkid reads."""
    found, content = tags(volume.device), volume.content
    if content.file_system == "none":
        # A config drive: large sectors hold no ISO 9660.
        drives = ("iso9660", "vfat")
        assert found.get("TYPE") in (None, *drives, *MEMBERS)
        return
    assert found["TYPE"] == content.file_system
    assert found["UUID"] == volume.uuid
    assert content.label in (None, found.get("LABEL"))


def assert_system(
    mounts: tuple[Volume, ...], swaps: tuple[Volume, ...], folder: Path
) -> None:
    """Mount a system as its fstab would, and look at its files."""
    root = folder / "root"
    root.mkdir(exist_ok=True)
    for volume in mounts:
        where = f"{root}{volume.content.mount}"
        options = ",".join(("ro", *volume.mount_options))
        output("mount", "-o", options, volume.device, where)
    try:
        text = (root / "boot/vmlinuz-1.0").read_text()
        assert text.startswith("the kernel of")
        assert (root / "var/log/first").read_text() == "one line\n"
        fields = [
            line.removeprefix("# ").split()
            for line in (root / "etc/fstab").read_text().splitlines()
        ]
        # An ESP is in it, too, and cannot be mounted everywhere.
        assert [f[:2] for f in fields if f[1] != ESP_MOUNT] == [
            *([f"UUID={v.uuid}", v.content.mount] for v in mounts),
            *([f"UUID={v.uuid}", "none"] for v in swaps),
        ]
        # What an image brought has grown to its volume.
        size = int(output("df", "-B1", "--output=size", root).split()[1])
        assert size > mounts[0].inner_bytes * 0.9
    finally:
        output("umount", "--recursive", str(root))
