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


from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa_partitions import boot_info
from ipa_partitions.actions.fstab import FstabLine, render_fstab
from ipa_partitions.boot.grub_cfg import render_menu
from ipa_partitions.boot.grubenv import (
    parse_environment,
    render_environment,
    update_environment,
)
from ipa_partitions.boot.menu import Menu, MenuEntry, Serial
from ipa_partitions.deploy import Request, make_plan
from ipa_partitions.disk.mount import READ_ONLY, mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError, MachineError
from ipa_partitions.plan import Phase
from ipa_partitions.run import run

# What GRUB's first sector says when it cannot go on.
GRUB_MBR = b"GRUB \0Geom\0Hard Disk\0Read\0 Error"

TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, st.lists(TEXT)), min_size=1))
@settings(max_examples=150, deadline=None)
def test_grub_can_read_a_menu_of_any_texts(entries):
    menu = Menu(
        tuple(
            MenuEntry(name, title, "0a", path, (path, path), tuple(words))
            for name, title, path, words in entries
        ),
        0, 5, Serial(0, 9600), saves=True,
    )  # fmt: skip

    checked = grub_script_check(render_menu(menu))

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("text", ["}", "'", "menuentry x {"])
def test_the_checker_would_notice_a_text_that_is_not_quoted(text):
    assert grub_script_check(f"menuentry {text} {{\n true\n}}\n").returncode


def grub_script_check(text: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["grub-script-check"],
        input=text.encode("utf-8", "surrogateescape"),
        check=False,
        capture_output=True,
    )


@pytest.mark.parametrize("value", ["1", "a b=c", "back\\slash", "two\nlines"])
def test_grub_editenv_reads_what_we_write_and_we_what_it_writes(
    tmp_path, value
):
    (tmp_path / "grub").mkdir()
    file = tmp_path / "grub/grubenv"

    file.write_bytes(render_environment({"saved_entry": value, "x": "y"}))
    shown = run("grub-editenv", str(file), "list")
    run("grub-editenv", str(file), "set", "next_entry=2")
    run("grub-editenv", str(file), "unset", "x")

    assert shown == f"saved_entry={value}\nx=y\n"
    assert parse_environment(file.read_bytes()) == {
        "saved_entry": value, "next_entry": "2"
    }  # fmt: skip
    run("grub-editenv", str(file), "create")
    update_environment(RootFs(tmp_path), {"saved_entry": value})
    assert run("grub-editenv", str(file), "list") == f"saved_entry={value}\n"


FIELD = st.text("ab \t\n\\#\"'=\u00e9\u00a0", min_size=1)


@given(
    mount=FIELD.map("/x{}".format),
    options=FIELD.map("x-a={}".format),
)
@settings(max_examples=100, deadline=None)
def test_libmount_reads_the_fields_that_we_write(
    tmp_path_factory, mount, options
):
    table = tmp_path_factory.mktemp("fstab") / "fstab"
    table.write_bytes(
        render_fstab(
            [
                FstabLine("0a", mount, "ext4", options, 1),
                FstabLine("0b", "/off", "xfs", "defaults", 0, enabled=False),
                FstabLine("0c", "none", "swap", "defaults", 0),
            ]
        ).encode("utf-8", "surrogateescape")
    )

    shown = run(
        "findmnt", "--tab-file", str(table), "--json",
        "--output", "SOURCE,TARGET,FSTYPE,OPTIONS",
    )  # fmt: skip

    rows = [tuple(r.values()) for r in json.loads(shown)["filesystems"]]
    assert rows == [
        ("UUID=0a", mount, "ext4", options),
        ("UUID=0c", "none", "swap", "defaults"),
    ]


def document(device: str, *volumes: dict, table: str = "gpt", **more) -> dict:
    names = dict.fromkeys(n for v in volumes for n in v.get("images", []))
    return {
        "partitions_policy": "clean",
        "partitions": [
            {
                "type": "disk",
                "id": {"type": "name", "value": device},
                "table": table,
                "volumes": [{"type": "partition", **v} for v in volumes],
            }
        ],
        "images": [
            {"name": name, "image_pull_url": f"file:///{name}.tar"}
            for name in names
        ],
        "boot": {"firmware": "bios"},
        **more,
    }


def volume(mount: str, *images: str, **more) -> dict:
    return {"size": "320 MiB", "mount": mount, "images": [*images], **more}


@pytest.fixture
def ramdisk(tmp_path, monkeypatch):
    """Return what stands for the ramdisk's /tmp."""
    where = tmp_path / "ramdisk"
    where.mkdir()
    monkeypatch.setattr(boot_info, "RAMDISK", where)
    return where


def prepared(image_info: dict):
    """Return a plan whose filesystems are made and hold no images yet."""
    plan = make_plan(Request(image_info, firmware="bios"))
    for action in plan.actions:
        if action.phase < Phase.IMAGE:
            action.execute()
    return plan


def fill(device: str, *files: str, **texts: str) -> None:
    """Put files, and links, onto the filesystem of ``device``."""
    with mounted(device) as where:
        for file in files:
            name, _, target = file.partition(" -> ")
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            if target:
                (where / name).symlink_to(target)
            else:
                (where / name).write_text(name)
        for name, text in texts.items():
            path = where / name.replace("__", "/").replace("_", "-")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def finish(plan, *phases: Phase) -> None:
    wanted = phases or (Phase.CONFIGURE, Phase.BOOT, Phase.REPORT)
    for action in plan.actions:
        if action.phase in wanted:
            action.validate()
            action.execute()


def read(device: str, path: str) -> str:
    with mounted(device, READ_ONLY) as where:
        return RootFs(where).read_text(path)


def digest(device: str) -> str:
    with Path(device).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_grub(disk: str) -> bool:
    with Path(disk).open("rb") as file:
        return GRUB_MBR in file.read(440)


KERNEL = ("boot/vmlinuz-6.1.0-9", "boot/initrd.img-6.1.0-9",
          "boot/vmlinuz-6.1.0-10", "boot/initrd.img-6.1.0-10")  # fmt: skip


def two_systems(disk: str):
    """Return the plan for a and b, whose /boot is a volume of its own."""
    plan = prepared(
        document(
            disk,
            volume("/", "a", name="a"),
            volume("/", "b", name="b", file_system="xfs"),
            volume("/boot", "b", size="64 MiB"),
            volume("swap", "a", "b", size="16 MiB"),
            volume("/srv/my data", "a", "b", size="16 MiB"),
            deploy_data={"kernel_params": 'nosmt foo="x y"'},
            images=[
                {"name": "a", "image_pull_url": "file:///a.tar"},
                {
                    "name": "b",
                    "image_pull_url": "file:///b.tar",
                    "image_name": "b-13",
                    "image_uuid": "0b",
                    "boot": True,
                },
            ],
        )
    )
    a, b, boot = (f"{disk}p{n}" for n in (3, 4, 5))
    fill(a, *KERNEL, etc__os_release="PRETTY_NAME='A $(id) \"'\\'''")
    fill(
        b,
        etc__redhat_release="B release 13",
        etc__default__grub="GRUB_CMDLINE_LINUX='quiet root=/dev/x'",
    )
    fill(boot, "vmlinuz-5.14", "initramfs-5.14.img")
    return plan


def test_two_systems_get_one_menu_and_one_boot_info(loop_disk, ramdisk):
    disk = loop_disk(1200)
    plan = two_systems(disk)

    finish(plan)

    assert [str(a) for a in plan.actions if a.phase >= Phase.BOOT] == [
        f"install grub on {disk}, its files on {disk}p2, to boot a,"
        " b (default)",
        f"write boot-info.json to {disk}p2 and {ramdisk}",
    ]
    # A menu that a system writes, or a foreign one, may ask for any module.
    with mounted(f"{disk}p2") as where:
        for name in ("ntfs", "gfxterm"):
            assert (where / f"grub/i386-pc/{name}.mod").is_file()
    a, b = plan.resolved.systems
    menu = read(f"{disk}p2", "/grub/grub.cfg")
    assert menu.count("\nmenuentry ") == 2
    assert menu.count("\nsubmenu ") == 1
    assert menu.count("\n  menuentry ") == 1
    assert (
        f"menuentry 'A $(id) \"'\\''' --id 'a' {{\n"
        f"  search --fs-uuid --set=root '{a.root.uuid}'\n"
        f"  linux '/boot/vmlinuz-6.1.0-10' 'root=UUID={a.root.uuid}' 'ro'"
        f" 'nosmt' 'foo=x y'\n"
        f"  initrd '/boot/initrd.img-6.1.0-10'\n"
        f"}}\n"
    ).replace("'\\'''", f"'\\'' (on {disk}p3)'") in menu
    assert (
        f"menuentry 'B release 13 (on {disk}p4)' --id 'b' {{\n"
        f"  search --fs-uuid --set=root '{b.boot.uuid}'\n"
        f"  linux '/vmlinuz-5.14' 'root=UUID={b.root.uuid}' 'ro' 'quiet'"
        f" 'nosmt' 'foo=x y'\n"
        f"  initrd '/initramfs-5.14.img'\n"
        f"}}\n"
    ) in menu
    assert grub_script_check(menu).returncode == 0
    assert has_grub(disk)
    with mounted(f"{disk}p2", READ_ONLY) as where:
        info = boot_info.read(where)
    assert info.to_json() == {
        "elements": [
            {
                "grub_id": 0,
                "image_name": "a",
                "os_id": "a",
                "image_uuid": None,
                "boot_name": f"A $(id) \"' (on {disk}p3)",
                "root_uuid": a.root.uuid,
            },
            {
                "grub_id": 1,
                "image_name": "b-13",
                "os_id": "b",
                "image_uuid": "0b",
                "boot_name": f"B release 13 (on {disk}p4)",
                "root_uuid": b.root.uuid,
            },
        ],
        "current_element": 1,
        "multiboot_partition": plan.resolved.multiboot.uuid,
    }
    written = json.loads((ramdisk / "boot-info.json").read_text())
    assert written == info.to_json()
    assert blkid(f"{disk}p2") == plan.resolved.multiboot.uuid


def blkid(device: str) -> str:
    return run(
        "blkid", "--probe", "--match-tag", "UUID", "--output", "value", device
    ).strip()  # fmt: skip


def test_each_system_gets_an_fstab_of_its_volumes(loop_disk):
    disk = loop_disk(1200)
    plan = two_systems(disk)

    finish(plan, Phase.CONFIGURE)

    a, b = plan.resolved.systems
    assert read(f"{disk}p3", "/etc/fstab") == (
        f"UUID={a.root.uuid} / ext4 defaults 0 1\n"
        f"UUID={blkid(f'{disk}p7')} /srv/my\\040data ext4 defaults 0 2\n"
        f"UUID={blkid(f'{disk}p6')} none swap defaults 0 0\n"
    )
    assert read(f"{disk}p4", "/etc/fstab") == (
        f"UUID={b.root.uuid} / xfs defaults 0 0\n"
        f"UUID={b.boot.uuid} /boot ext4 defaults 0 2\n"
        f"UUID={blkid(f'{disk}p7')} /srv/my\\040data ext4 defaults 0 2\n"
        f"UUID={blkid(f'{disk}p6')} none swap defaults 0 0\n"
    )
    with mounted(f"{disk}p4", READ_ONLY) as where:
        assert (where / "srv/my data").is_dir()
        assert (where / "etc/fstab").stat().st_mode & 0o7777 == 0o644


def test_an_fstab_that_is_a_link_is_replaced_inside_the_root(
    loop_disk, tmp_path
):
    disk = loop_disk(512)
    plan = prepared(document(disk, volume("/", "a")))
    canary = tmp_path / "canary"
    canary.write_text("mine")
    fill(f"{disk}p2", f"etc/fstab -> {canary}", "usr/x", "srv -> /usr")

    finish(plan, Phase.CONFIGURE)

    assert canary.read_text() == "mine"
    assert read(f"{disk}p2", "/etc/fstab").startswith("UUID=")


@pytest.mark.parametrize(
    ("table", "sector_bytes"), [("gpt", 512), ("msdos", 512), ("gpt", 4096)]
)
@pytest.mark.parametrize("file_system", ["ext4", "xfs", "btrfs"])
def test_one_system_holds_grub_in_its_own_boot(
    loop_disk, ramdisk, tmp_path, table, sector_bytes, file_system
):
    disk = loop_disk(512, sector_bytes)
    wanted = volume("/", "a", file_system=file_system)
    plan = prepared(document(disk, wanted, table=table))
    root = plan.resolved.systems[0].root
    (tmp_path / "canary").mkdir()
    fill(root.device, *KERNEL, f"boot/grub -> {tmp_path}/canary",
         "boot/grub2/grub.cfg")  # fmt: skip

    finish(plan)

    assert has_grub(disk)
    assert list((tmp_path / "canary").iterdir()) == []
    found = boot_info.find([disk, root.device])
    assert found == boot_info.BootDirectory(root.device, "/boot")
    with found.opened() as directory:
        assert {p.name for p in directory.iterdir()} == {
            "boot-info.json", "boot-menu.json", "grub", "grub2",
            *(k.rpartition("/")[2] for k in KERNEL),
        }  # fmt: skip
        info = boot_info.read(directory)
    assert info.multiboot_partition is None
    assert info.elements[0].root_uuid == root.uuid
    menu = read(root.device, "/boot/grub/grub.cfg")
    assert ("save_env" in menu) == (file_system == "ext4")


def test_a_boot_volume_of_the_one_system_holds_grub(loop_disk, ramdisk):
    disk = loop_disk(512)
    plan = prepared(
        document(disk, volume("/", "a"), volume("/boot", "a", size="64 MiB"))
    )
    fill(f"{disk}p3", "vmlinuz-6.1", "initrd.img-6.1")

    finish(plan)

    assert "linux '/vmlinuz-6.1'" in read(f"{disk}p3", "/grub/grub.cfg")
    assert boot_info.find([f"{disk}p{n}" for n in (1, 2, 3)]) == (
        boot_info.BootDirectory(f"{disk}p3", "/")
    )


def test_grub_goes_to_every_boot_disk(loop_disk, ramdisk):
    disk, other = loop_disk(512), loop_disk(64)
    wanted = document(disk, volume("/", "a"))
    wanted["partitions"].append(
        {"type": "disk", "id": {"type": "name", "value": other},
         "boot": True, "volumes": []},
    )  # fmt: skip
    wanted["partitions"][0]["boot"] = True
    plan = prepared(wanted)
    fill(f"{disk}p2", *KERNEL)

    finish(plan)

    assert has_grub(disk)
    assert has_grub(other)


def test_an_image_without_a_kernel_leaves_the_old_loader_alone(
    loop_disk, ramdisk
):
    disk = loop_disk(1200)
    plan = two_systems(disk)
    finish(plan)
    fill(f"{disk}p3", "boot/x")
    with mounted(f"{disk}p3") as where:
        for kernel in (where / "boot").glob("vmlinuz-*"):
            kernel.unlink()
    before = digest(disk), digest(f"{disk}p2")

    with pytest.raises(ImageError, match="'a' holds no kernel"):
        finish(plan, Phase.BOOT)

    assert (digest(disk), digest(f"{disk}p2")) == before


def test_a_ramdisk_without_grub_is_noticed_before_anything_is_written(
    loop_disk, monkeypatch, tmp_path
):
    disk = loop_disk(512)
    request = Request(document(disk, volume("/", "a")), firmware="bios")
    action = next(
        a for a in make_plan(request).actions if a.phase == Phase.BOOT
    )
    assert "grub-install" in action.tools

    (tmp_path / "grub2-mkimage").write_text("#!/bin/sh\n")
    (tmp_path / "grub2-mkimage").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert "grub2-install" in action.tools
    loader = replace(action._loader, bios_modules=tmp_path)
    with pytest.raises(MachineError, match="GRUB for BIOS"):
        loader.validate(action.target)


def test_installing_again_gives_the_same_and_resets_the_default(
    loop_disk, ramdisk
):
    disk = loop_disk(1200)
    plan = two_systems(disk)
    finish(plan)
    first = read(f"{disk}p2", "/grub/grub.cfg")
    with boot_info.find([f"{disk}p2"]).opened(writable=True) as directory:
        assert boot_info.switch(directory, "a").current_element == 0

    finish(plan)

    assert read(f"{disk}p2", "/grub/grub.cfg") == first
    with boot_info.find([f"{disk}p2"]).opened() as directory:
        assert boot_info.read(directory).current_element == 1


def test_a_switch_is_found_written_and_seen_by_grub_editenv(
    loop_disk, ramdisk
):
    disk = loop_disk(1200)
    finish(two_systems(disk))
    devices = [disk, *(f"{disk}p{n}" for n in range(1, 8))]

    found = boot_info.find(devices)
    with found.opened(writable=True) as directory:
        boot_info.switch(directory, "a")
    with found.opened() as directory:
        shown = run("grub-editenv", f"{directory}/grub/grubenv", "list")

    assert found == boot_info.BootDirectory(f"{disk}p2", "/")
    assert shown == "saved_entry=0\n"


def test_boot_info_is_read_from_a_filesystem_that_is_in_use(
    loop_disk, ramdisk
):
    disk = loop_disk(512)
    plan = prepared(document(disk, volume("/", "a")))
    fill(f"{disk}p2", *KERNEL)
    finish(plan)

    with mounted(f"{disk}p2"):
        found = boot_info.find([f"{disk}p2"])
        with found.opened() as directory:
            assert len(boot_info.read(directory).elements) == 1


def test_looking_for_boot_info_writes_nothing(loop_disk):
    disks = [loop_disk(320), loop_disk(320), loop_disk(16), loop_disk(16)]
    run("mkfs.xfs", "-q", disks[0])
    run("mkfs.btrfs", "-q", disks[1])
    run("mkfs.ext4", "-q", disks[2])
    before = [digest(disk) for disk in disks]

    with pytest.raises(MachineError, match="is on none of"):
        boot_info.find(disks)

    assert [digest(disk) for disk in disks] == before


def test_two_boot_directories_are_an_error_that_names_both(loop_disk):
    disks = [loop_disk(16), loop_disk(16)]
    for disk in disks:
        run("mkfs.ext4", "-q", "-L", "multiboot", disk)
        fill(disk, "boot-info.json")

    with pytest.raises(MachineError, match=" and ".join(disks)):
        boot_info.find(disks)
