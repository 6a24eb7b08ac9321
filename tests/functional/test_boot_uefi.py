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

"""UEFI on loop devices: what lies on an ESP, read by mtools."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ipa_partitions.actions.boot import InstallBootLoader
from ipa_partitions.boot import efi, signature
from ipa_partitions.boot.esp import write_files
from ipa_partitions.deploy import Request, make_plan
from ipa_partitions.errors import ImageError, MachineError
from ipa_partitions.plan import Phase
from ipa_partitions.run import run
from tests.functional.test_boot import (
    KERNEL,
    document,
    fill,
    finish,
    has_grub,
    prepared,
    ramdisk,
    read,
    volume,
)

__all__ = ["ramdisk"]

SIGNED = efi.find_signed()
GRUB = SIGNED.grub.read_bytes()


def listed(esp: str) -> set[str]:
    # An empty one is a failure for mdir.
    shown = run("mdir", "-i", esp, "-/", "-b", "::", ok_codes=(0, 1))
    return {line[3:] for line in shown.splitlines() if line[-1] != "/"}


def content(esp: str, path: str) -> bytes:
    return subprocess.run(
        ["mtype", "-i", esp, f"::{path}"], check=True, capture_output=True
    ).stdout


def one_system(disk: str, **boot):
    plan = prepared(document(disk, volume("/", "a"), boot=boot))
    root = plan.resolved.systems[0].root
    fill(root.device, *KERNEL)
    return plan


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_the_signed_loaders_are_on_the_esp(loop_disk, ramdisk, sector_bytes):
    disk = loop_disk(1000, sector_bytes)
    plan = one_system(disk, firmware="uefi")

    finish(plan)

    esp = f"{disk}p1"
    assert listed(esp) == {
        "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "EFI/BOOT/mmx64.efi",
        "EFI/ipa-partitions/shimx64.efi", "EFI/ipa-partitions/grubx64.efi",
        "EFI/ipa-partitions/mmx64.efi",
        f"EFI/{SIGNED.vendor()}/grub.cfg", f"EFI/{SIGNED.vendor()}/menu.cfg",
    }  # fmt: skip
    assert content(esp, "EFI/BOOT/BOOTX64.EFI") == SIGNED.shim.read_bytes()
    assert content(esp, "EFI/BOOT/grubx64.efi") == GRUB
    root = plan.resolved.systems[0].root
    stub = content(esp, f"EFI/{SIGNED.vendor()}/grub.cfg").decode()
    assert f"--set=root '{root.uuid}'" in stub
    assert "set prefix=($root)'/boot/grub'" in stub
    menu = read(root.device, "/boot/grub/grub.cfg")
    assert content(esp, f"EFI/{SIGNED.vendor()}/menu.cfg").decode() == menu
    assert not has_grub(disk)
    run("fsck.vfat", "-n", esp)


def test_without_secure_boot_grub_is_made_of_modules(loop_disk, ramdisk):
    disk = loop_disk(1000)
    plan = one_system(disk, firmware="both", secure_boot=False)

    finish(plan)

    esp = f"{disk}p2"
    assert listed(esp) == {
        "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grub.cfg", "EFI/BOOT/menu.cfg",
        "EFI/ipa-partitions/grubx64.efi",
    }  # fmt: skip
    assert content(esp, "EFI/BOOT/BOOTX64.EFI") != GRUB
    assert content(esp, "EFI/BOOT/BOOTX64.EFI").startswith(b"MZ")
    assert has_grub(disk)


def test_what_else_is_on_an_esp_stays(loop_disk):
    disk = loop_disk(64)
    run("mkfs.vfat", disk)
    write_files(disk, {"EFI/x/a": b"one", "EFI/BOOT/b": b"two"})
    write_files(disk, {"EFI/BOOT/b": b"three"})

    assert listed(disk) == {"EFI/x/a", "EFI/BOOT/b"}
    assert content(disk, "EFI/x/a") == b"one"
    assert content(disk, "EFI/BOOT/b") == b"three"


def test_each_boot_disk_has_a_loader(loop_disk, ramdisk):
    disk, other = loop_disk(1000), loop_disk(600)
    wanted = document(disk, volume("/", "a"), boot={"firmware": "uefi"})
    wanted["partitions"].append(
        {"type": "disk", "id": {"type": "name", "value": other},
         "boot": True, "volumes": []},
    )  # fmt: skip
    wanted["partitions"][0]["boot"] = True
    plan = prepared(wanted)
    fill(f"{disk}p2", *KERNEL)

    finish(plan)

    assert listed(f"{disk}p1") == listed(f"{other}p1")


def test_the_result_names_the_esp(loop_disk, ramdisk):
    plan = one_system(loop_disk(1000), firmware="uefi")
    ((_, esp),) = plan.resolved.esps
    assert esp.volume.uuid == run(
        "blkid", "--probe", "--match-tag", "UUID", "--output", "value",
        esp.volume.device,
    ).strip()  # fmt: skip


def test_a_ramdisk_without_signed_loaders_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(efi, "_SIGNED", ())
    assert efi.choose_signed("auto") is None
    assert efi.choose_signed(False) is None
    with pytest.raises(MachineError, match="no signed shim and GRUB"):
        efi.choose_signed(True)
    monkeypatch.setattr(efi, "is_enforced", lambda: True)
    with pytest.raises(MachineError, match="no signed shim and GRUB"):
        efi.choose_signed("auto")
    with pytest.raises(MachineError, match="enforces Secure Boot"):
        efi.choose_signed(False)


TRUST = signature.trusted(SIGNED.shim.read_bytes())


@pytest.mark.parametrize(("kernel", "why"), [
    (GRUB, None),
    (SIGNED.shim.read_bytes(), "Microsoft Corporation"),
    (b"", "is not signed"),
    (b"MZ" + bytes(100), "is not signed"),
    (GRUB[:-2000], "is not signed"),
])  # fmt: skip
def test_who_signed_a_kernel_is_told(kernel, why):
    found = signature.refusal(kernel, TRUST)
    assert found is None if why is None else why in found


def test_shim_trusts_its_vendor():
    (vendor,) = TRUST
    assert "Secure Boot CA" in vendor.subject.rfc4514_string()


def test_an_unsigned_kernel_is_refused_before_the_loader_is_touched(
    loop_disk, ramdisk
):
    disk = loop_disk(1000)
    plan = one_system(disk, firmware="uefi", secure_boot=True)

    with pytest.raises(ImageError, match="'a': Secure Boot does not start"):
        finish(plan, Phase.BOOT)

    assert listed(f"{disk}p1") == set()


def test_a_kept_system_that_shim_refuses_is_in_the_plan(loop_disk, ramdisk):
    disk = loop_disk(1000)
    wanted = document(disk, volume("/", "a"), boot={"firmware": "uefi"})
    plan = prepared(wanted)
    fill(f"{disk}p2", *KERNEL)
    finish(plan)
    wanted["partitions_policy"] = "verify"
    wanted["boot"]["secure_boot"] = True

    # As after a power cut: who mounts it as usual writes it.
    run("debugfs", "-w", "-R", "feature needs_recovery", f"{disk}p2")
    before = Path(f"{disk}p2").read_bytes()

    again = make_plan(Request(json.loads(json.dumps(wanted))))

    assert [w for w in again.warnings if "Secure Boot does not start" in w]
    assert Path(f"{disk}p2").read_bytes() == before
    (action,) = (a for a in again.actions if isinstance(a, InstallBootLoader))
    with pytest.raises(ImageError, match="is not signed"):
        action.validate()
