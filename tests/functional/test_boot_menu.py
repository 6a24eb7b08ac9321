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

"""The menu on loop devices: followed, made anew, on trial, and foreign."""

from __future__ import annotations

import json
import subprocess

import pytest

from ipa_partitions import boot_info, deploy
from ipa_partitions.boot import confirmation, foreign, grubenv
from ipa_partitions.disk.mount import mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import MachineError
from tests import program
from tests.functional.test_boot import (
    digest,
    document,
    fill,
    finish,
    grub_script_check,
    prepared,
    ramdisk,
    read,
    volume,
)

__all__ = ["ramdisk"]

BLS = "0123456789abcdef0123456789abcdef"


def kernels(*versions: str) -> list[str]:
    return [
        f"boot/{name}-{version}"
        for version in versions
        for name in ("vmlinuz", "initrd.img")
    ]


def links(version: str) -> list[str]:
    return [
        f"vmlinuz -> boot/vmlinuz-{version}",
        f"initrd.img -> boot/initrd.img-{version}",
    ]


def two_systems(disk: str, **boot):
    """Return the plan for a, with links, and b, with a list."""
    plan = prepared(
        document(
            disk,
            volume("/", "a"),
            volume("/", "b"),
            volume("/boot", "b", size="64 MiB"),
            boot={"firmware": "bios", **boot},
        )
    )
    fill(f"{disk}p3", *kernels("6.1", "6.0"), *links("6.1"))
    fill(f"{disk}p4", "etc/x")
    install_listed(f"{disk}p5", "5.14-1")
    return plan


def install_listed(device: str, version: str) -> None:
    """Put a kernel there as Fedora's kind does."""
    fill(
        device,
        f"vmlinuz-{version}",
        f"initramfs-{version}.img",
        **{
            f"loader__entries__{BLS}-{version}.conf": f"title B\n"
            f"version {version}\nlinux /vmlinuz-{version}\n"
            f"initrd /initramfs-{version}.img\noptions root=/dev/x quiet\n"
        },
    )


def menu_of(disk: str) -> str:
    return read(f"{disk}p2", "/grub/grub.cfg")


def environment(disk: str) -> dict[str, str]:
    with mounted(f"{disk}p2") as where:
        return dict(grubenv.read_environment(RootFs(where)))


def test_the_menu_follows_links_and_lists(loop_disk, ramdisk):
    disk = loop_disk(1200)
    finish(two_systems(disk))

    menu = menu_of(disk)

    assert "\n  if linux '/vmlinuz' 'root=UUID=" in menu
    assert "\n    initrd '/initrd.img'\n" in menu
    assert "\n    linux '/boot/vmlinuz-6.1' 'root=UUID=" in menu
    assert "\n  for entry in '/loader/entries/'*.conf; do\n" in menu
    assert "\n  set version='5.14-1'\n" in menu
    assert "\n  linux '/vmlinuz-'\"$version\" 'root=UUID=" in menu
    assert grub_script_check(menu).returncode == 0


def test_links_that_lead_to_an_older_kernel_are_not_followed(
    loop_disk, ramdisk
):
    disk = loop_disk(512)
    plan = prepared(document(disk, volume("/", "a")))
    fill(f"{disk}p2", *kernels("6.1", "6.0"), *links("6.0"))
    finish(plan)

    menu = read(f"{disk}p2", "/boot/grub/grub.cfg")

    assert "\n  linux '/boot/vmlinuz-6.1' 'root=UUID=" in menu
    assert "/vmlinuz'" not in menu


def test_of_a_menu_of_several_nothing_is_found_where_one_is_left(
    loop_disk, ramdisk
):
    disk = loop_disk(1200)
    multiboot = {"type": "multiboot"}
    several = prepared(
        document(disk, multiboot, volume("/", "a"), volume("/", "b"))
    )
    for device in (f"{disk}p3", f"{disk}p4"):
        fill(device, *kernels("6.1"))
    finish(several)
    assert len(boot_info_of(disk).elements) == 2
    kept = {"size": "320 MiB", "file_system": "ext4"}
    one = document(disk, multiboot, volume("/", "a"), kept)
    one["partitions_policy"] = "verify"
    finish(deploy.make_plan(deploy.Request(one, firmware="bios")))
    with pytest.raises(MachineError, match=r"boot-info\.json is on none"):
        boot_info_of(disk)
    left = deploy.get_boot_info(f"{disk}p3")
    assert [element.os_id for element in left.elements] == ["a"]
    assert left.multiboot_partition is None


@pytest.mark.parametrize(("file_system", "can"), [
    ("ext4", True), ("xfs", False),
])  # fmt: skip
def test_booting_once_takes_a_menu_that_grub_can_write_beside(
    loop_disk, ramdisk, file_system, can
):
    disk = loop_disk(512)
    wanted = volume("/", "a", file_system=file_system)
    plan = prepared(document(disk, wanted))
    fill(f"{disk}p2", *kernels("6.1"))
    finish(plan)

    if can:
        deploy.switch_boot("a", once=True, partition=f"{disk}p2")
    else:
        with pytest.raises(MachineError, match="GRUB cannot write where"):
            deploy.switch_boot("a", once=True, partition=f"{disk}p2")
    assert deploy.switch_boot("a", partition=f"{disk}p2").elements


def test_refreshing_finds_what_was_installed_since(loop_disk, ramdisk):
    disk = loop_disk(1200)
    finish(two_systems(disk))
    with mounted(f"{disk}p3") as where:
        for name in ("vmlinuz", "initrd.img"):
            (where / name).unlink()
    fill(f"{disk}p3", *kernels("6.2"), *links("6.2"),
         etc__os_release="PRETTY_NAME=New")  # fmt: skip
    before = boot_info_of(disk)

    shown = program.output("boot", "refresh", "--partition", f"{disk}p2")

    menu = menu_of(disk)
    assert "menuentry 'New (on" in menu
    assert "\n    linux '/boot/vmlinuz-6.2' 'root=UUID=" in menu
    assert menu.count("/boot/vmlinuz-6.1") == 1  # among the others
    assert "set version='5.14-1'" in menu
    assert [e["root_uuid"] for e in shown["elements"]] == [
        e.root_uuid for e in before.elements
    ]
    assert shown["elements"][0]["boot_name"].startswith("New (on")
    assert program.output("boot", "refresh", "--partition", f"{disk}p2") == (
        shown
    )
    assert menu_of(disk) == menu


def boot_info_of(disk: str) -> boot_info.BootInfo:
    return deploy.get_boot_info(f"{disk}p2")


def test_a_system_that_cannot_be_read_keeps_its_entry(
    loop_disk, ramdisk, capfd
):
    disk = loop_disk(1200)
    finish(two_systems(disk))
    menu = menu_of(disk)
    with mounted(f"{disk}p5") as where:
        for kernel in where.glob("vmlinuz-*"):
            kernel.unlink()

    _info, problems = deploy.refresh_boot(f"{disk}p2")

    assert len(problems) == 1
    assert problems[0].startswith("b: the entry stays: image 'b' holds no")
    assert menu_of(disk) == menu


def test_a_system_is_on_trial_until_it_confirms(loop_disk, ramdisk):
    disk = loop_disk(1200)
    finish(two_systems(disk, fallback=True))
    where = ("--partition", f"{disk}p2")
    a, b = boot_info_of(disk).elements
    assert "'panic=30'" in menu_of(disk)

    chosen = program.output("boot", "set", "b", *where)

    assert (chosen["current_element"], chosen["trial_element"]) == (0, 1)
    assert environment(disk) == {
        "saved_entry": "0", "next_entry": "1", "trial_entry": "1"
    }  # fmt: skip
    assert program.output("boot", "list", *where) == chosen
    with mounted(f"{disk}p2") as directory:
        confirmed = boot_info.confirm(directory, b.root_uuid)
        written = json.loads((directory / boot_info.NAME).read_text())
    assert written == confirmed.to_json()
    assert (confirmed.current_element, confirmed.trial_element) == (1, None)
    assert "trial_element" not in confirmed.to_json()
    # What runs now is a again: b did not come up.
    program.output("boot", "set", "a", *where)
    with mounted(f"{disk}p2") as directory:
        failed = boot_info.confirm(directory, b.root_uuid)
    assert (failed.current_element, failed.trial_element) == (1, None)
    assert a.root_uuid != b.root_uuid
    # The one that was not even tried is not tried any more.
    assert environment(disk) == {"saved_entry": "1"}


def test_the_running_system_must_be_one_of_the_menu(loop_disk, ramdisk):
    disk = loop_disk(1200)
    finish(two_systems(disk, fallback=True))
    with pytest.raises(MachineError, match="is in no entry"):
        deploy.confirm_boot(f"{disk}p2")


def test_what_is_default_already_needs_no_trial(loop_disk, ramdisk):
    disk = loop_disk(1200)
    finish(two_systems(disk, fallback=True))
    deploy.switch_boot("b", partition=f"{disk}p2")

    info = deploy.switch_boot("a", partition=f"{disk}p2")

    assert (info.current_element, info.trial_element) == (0, None)
    assert environment(disk) == {"saved_entry": "0"}


@pytest.mark.parametrize(("system", "next_entry", "after"), [
    (4, None, {"other": "x y", "saved_entry": "1"}),
    (3, None, {"other": "x y", "saved_entry": "0"}),
    # It was chosen while the other one came up, and has yet to boot.
    (3, "1",  {"other": "x y", "saved_entry": "0", "next_entry": "1",
               "trial_entry": "1"}),
])  # fmt: skip
def test_a_deployed_system_confirms_with_a_shell_alone(
    loop_disk, ramdisk, system, next_entry, after
):
    disk = loop_disk(1200)
    finish(two_systems(disk, fallback=True))
    deploy.switch_boot("b", partition=f"{disk}p2")
    with mounted(f"{disk}p2") as directory:
        grubenv.update_environment(
            RootFs(directory), {"next_entry": next_entry, "other": "x y"}
        )
    unit = read(f"{disk}p{system}", confirmation.UNIT_PATH)
    with mounted(f"{disk}p{system}") as where:
        wants = where / confirmation.WANTS_PATH[1:]
        assert str(wants.readlink()) == confirmation.UNIT_PATH
    script = read(f"{disk}p{system}", confirmation.SCRIPT_PATH)
    assert f"ExecStart=/bin/sh {confirmation.SCRIPT_PATH}\n" in unit

    for _ in range(2):
        subprocess.run(["sh"], input=script.encode(), check=True)

    assert environment(disk) == after


def test_without_a_fallback_no_unit_is_written(loop_disk, ramdisk):
    disk = loop_disk(1200)
    plan = two_systems(disk)
    assert not [a for a in plan.actions if "confirm" in str(a)]


def test_a_kept_system_with_the_same_unit_keeps_its_bytes(loop_disk, ramdisk):
    disk = loop_disk(1200)
    plan = two_systems(disk, fallback=True)
    finish(plan)
    (action, _) = (a for a in plan.actions if "confirm" in str(a))
    before = digest(f"{disk}p3")
    action.execute()
    assert digest(f"{disk}p3") == before


SHOWN = """\
/dev/sda1@/EFI/Microsoft/Boot/bootmgfw.efi:Windows Boot Manager:Windows:efi
/dev/sdb2:Debian GNU/Linux 12 (bookworm):Debian:linux
/dev/sdc1:Windows 10 (loader):Windows1:chain
/dev/sdd1:Some \x1b[1mOS:x:hurd
nothing
"""


def test_what_os_prober_shows_is_read():
    assert foreign.parse(SHOWN) == (
        foreign.Found("/dev/sda1", "/EFI/Microsoft/Boot/bootmgfw.efi",
                      "Windows Boot Manager", "efi"),
        foreign.Found("/dev/sdb2", "", "Debian GNU/Linux 12 (bookworm)",
                      "linux"),
        foreign.Found("/dev/sdc1", "", "Windows 10 (loader)", "chain"),
    )  # fmt: skip


def test_a_system_on_another_disk_is_offered_after_ours(
    loop_disk, ramdisk, tmp_path
):
    other = loop_disk(512)
    run_alone = prepared(document(other, volume("/", "old")))
    fill(f"{other}p2", *kernels("4.19"), "bin/sh", "lib/ld-linux.so",
         etc__os_release='ID=debian\nPRETTY_NAME="Old one"\n',
         etc__debian_version="10\n")  # fmt: skip
    (old,) = run_alone.resolved.systems
    disk = loop_disk(1200)
    plan = two_systems(disk, foreign=True)

    finish(plan)

    menu = menu_of(disk)
    info = boot_info_of(disk)
    first, second, third = info.elements
    assert (first.os_id, second.os_id) == ("a", "b")
    assert third.os_id == f"foreign-{old.root.uuid}"
    assert third.boot_name == f"Old one (on {other}p2)"
    assert third.root_uuid == old.root.uuid
    assert f"linux '/boot/vmlinuz-4.19' 'root=UUID={old.root.uuid}'" in menu
    tops = [
        line.split("--id")[1].split("'")[1]
        for line in menu.splitlines()
        if line.startswith("menuentry ")
    ]
    assert tops == ["a", "b", third.os_id]
    switched = deploy.switch_boot(third.os_id, partition=f"{disk}p2")
    assert switched.current_element == 2
    # Under whatever name we know it.
    (tmp_path / "name").symlink_to(f"{other}p2")
    assert foreign.find(frozenset({str(tmp_path / "name")})) == ()
    assert json.loads((ramdisk / "boot-info.json").read_text()) == (
        info.to_json()
    )
