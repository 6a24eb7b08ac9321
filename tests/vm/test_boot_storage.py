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

"""Systems with their root on arrays, LVM, btrfs or LUKS are deployed and boot.

Each is deployed in the test machine, then its disks are booted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions import deploy
from ipa_partitions.deploy import Request
from tests import loops, program, systems
from tests.vm import qemu

# It is built here: there is no network in the test machine.
IMAGE = systems.debian_13()

KEY = Path(systems.KEY)
BY_KEY = {"encryption": {"type": "luks2", "key_file": systems.KEY}}
BY_TPM = {"encryption": {"type": "luks2", "tpm2": True}}

# The boot loader's code comes before it.
MULTIBOOT = 2


def deployed(
    disks: Mapping[str, Sequence[dict[str, Any]]],
    *more: dict[str, Any],
    names: Sequence[str] = ("debian",),
) -> dict[str, Any]:
    """Deploy Debian onto disks with these volumes; return the answer."""
    KEY.parent.mkdir(exist_ok=True)
    KEY.write_text(systems.FILES[systems.KEY[1:]])
    KEY.chmod(0o600)
    on_disks = [
        {
            "type": "disk",
            "id": {"type": "name", "value": device},
            "volumes": volumes,
        }
        for device, volumes in disks.items()
    ]
    document = {
        "partitions_policy": "clean",
        "partitions": [*on_disks, *more],
        "images": [
            {"name": name, "image_pull_url": f"file://{IMAGE.path}"}
            for name in names
        ],
        "deploy_data": {"kernel_params": qemu.KERNEL_PARAMS},
        "boot": {"timeout_s": 1},
    }
    return deploy.deploy(Request(document, firmware="bios")).to_json()


def booted(
    files: Sequence[Path], root_uuid: str, tpm: Path | None = None
) -> qemu.Facts:
    """Boot the disks, and compare what all systems that are up have."""
    facts = qemu.boot_disk(*files, tpm=tpm)
    assert facts.root_uuid == root_uuid
    assert facts.failed_units == ""
    assert len(facts.swap_uuids) == 1
    return facts


def sources(facts: qemu.Facts) -> dict[str, str]:
    """Return the device of each mount point."""
    return {mount: its["source"] for mount, its in facts.mounts.items()}


def boots_from_any_disk(files, told):
    for some, state in ((files[:1], "U_"), (files[1:], "_U")):
        facts = booted(some, told["root_uuid"])
        assert set(facts.mounts) == {"/", "/boot"}
        states = re.findall(r"\[([U_]+)\]", facts.arrays)
        assert states == [state] * 3


@pytest.mark.disks("1 GiB", "1 GiB", then=boots_from_any_disk)
def test_a_mirror_boots_with_either_disk_gone(disks, record_property):
    volumes = [
        {"type": "raid", "size": "100 MiB", "mount": "/boot"},
        {"type": "raid", "size": "800 MiB", "mount": "/"},
        {"type": "raid", "size": "remaining", "mount": "swap"},
    ]
    result = deployed(dict.fromkeys(disks, volumes))
    record_property("root_uuid", result["root_uuid"])


def boots_from_group(files, told):
    found = sources(booted(files, told["root_uuid"], told["tpm"]))
    assert found.pop("/data").startswith("/dev/mapper/luks-")
    assert found == {
        "/": "/dev/mapper/vg0-root",
        "/srv": "/dev/mapper/vg0-srv",
    }


@pytest.mark.disks("1 GiB", "1 GiB", then=boots_from_group)
def test_a_group_with_boot_in_it_boots(disks, record_property):
    """GRUB reads it; swap and data in it are opened by key and by TPM."""
    pvs = [{"type": "pv", "size": "remaining", "vg": "vg0"}]
    volumes = [
        {"name": "root", "size": "1 GiB", "mount": "/"},
        {"name": "srv", "size": "100 MiB", "mount": "/srv",
         "layout": "raid1"},
        {"name": "swap", "size": "100 MiB", "mount": "swap", **BY_KEY},
        {"name": "data", "size": "remaining", "mount": "/data",
         "file_system": "xfs", **BY_TPM},
    ]  # fmt: skip
    group = {
        "type": "vg",
        "id": "vg0",
        "volumes": [{"type": "lv", **volume} for volume in volumes],
    }
    result = deployed(dict.fromkeys(disks, pvs), group)
    record_property("root_uuid", result["root_uuid"])


def boots_from_subvolume(files, told):
    facts = booted(files, told["root_uuid"])
    assert sources(facts) == {
        "/": "/dev/vda2[/@]",
        "/home": "/dev/vda2[/@home]",
    }


@pytest.mark.disks("1.5 GiB", then=boots_from_subvolume)
def test_a_subvolume_boots(disks, record_property):
    subvolumes = [
        {"name": "@", "mount": "/"},
        {"name": "@home", "mount": "/home"},
    ]
    volumes = [
        {"type": "partition", "size": "1 GiB", "file_system": "btrfs",
         "subvolumes": subvolumes},
        {"type": "partition", "size": "remaining", "mount": "swap"},
    ]  # fmt: skip
    result = deployed({disks[0]: volumes})
    record_property("root_uuid", result["root_uuid"])


def boots_each_of_two(files, told):
    grouped, sealed = told["roots"]
    found = sources(booted(files, grouped))
    assert found == {"/": "/dev/mapper/vg0-root"}
    with loops.attached(files[0]) as device:
        loops.find_partitions(device)
        program.output(
            "boot", "set", "sealed", "--partition", f"{device}p{MULTIBOOT}"
        )
    found = sources(booted(files, sealed))
    assert found.pop("/").startswith("/dev/mapper/luks-")
    assert found == {"/boot": "/dev/vda3"}


@pytest.mark.disks("2 GiB", then=boots_each_of_two)
def test_a_menu_boots_a_group_and_an_encrypted_root(disks, record_property):
    of_sealed = {"images": ["sealed"]}
    volumes = [
        {"type": "partition", "size": "100 MiB", "mount": "/boot",
         **of_sealed},
        {"type": "partition", "size": "800 MiB", "mount": "/",
         **BY_KEY, **of_sealed},
        {"type": "partition", "size": "100 MiB", "mount": "swap",
         "images": ["grouped", "sealed"]},
        {"type": "pv", "size": "remaining", "vg": "vg0"},
    ]  # fmt: skip
    root = {
        "type": "lv",
        "name": "root",
        "size": "100%",
        "mount": "/",
        "images": ["grouped"],
    }
    group = {"type": "vg", "id": "vg0", "volumes": [root]}
    result = deployed({disks[0]: volumes}, group, names=["grouped", "sealed"])
    elements = result["boot_info"]["elements"]
    record_property("roots", [each["root_uuid"] for each in elements])
