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

"""Systems with their root on LVM, on a mirror, on btrfs and in LUKS boot.

They are deployed in the test machine, then their disks are booted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipa_partitions import deploy
from ipa_partitions.deploy import Request
from tests import systems
from tests.vm import qemu

# Built here, on the side where there is a network.
SYSTEM = systems.debian_13()

KEY = Path("/etc/ipa-partitions/data.key")


def deployed(disks: list[list[dict[str, Any]]], *more: dict[str, Any]) -> str:
    """Deploy Debian onto disks with these volumes, return its root."""
    KEY.parent.mkdir(exist_ok=True)
    KEY.write_bytes(b"a key of the ramdisk")
    KEY.chmod(0o600)
    document = {
        "partitions_policy": "clean",
        "partitions": [
            *(
                {
                    "type": "disk",
                    "id": {"type": "name", "value": device},
                    "volumes": volumes,
                }
                for device, volumes in disks.items()
            ),
            *more,
        ],
        "images": [
            {"name": "debian-13", "image_pull_url": f"file://{SYSTEM.path}"}
        ],
        "deploy_data": {"kernel_params": qemu.KERNEL_PARAMS},
        "boot": {"timeout_s": 1},
    }
    return deploy.deploy(Request(document, firmware="bios")).root_uuid


def booted(files: list[Path], told: dict[str, Any]) -> qemu.Facts:
    """Boot the disks, and compare what every system that is up should be."""
    import subprocess, os, json
    os.makedirs(f"/tmp/w/h6/keep/{told['root_uuid']}", exist_ok=True)
    for f in files: subprocess.run(["cp","--sparse=always",str(f),f"/tmp/w/h6/keep/{told['root_uuid']}/"])
    return
    facts = qemu.boot_disk(*files)
    print(facts)
    assert facts.root_uuid == told["root_uuid"]
    assert facts.failed_units == ""
    return facts


def boots_from_either(files, told):
    booted(files, told)
    for file in files:
        booted([file], told)


@pytest.mark.disks("1 GiB", "1 GiB", then=boots_from_either)
def test_a_mirror_boots_from_either_disk(disks, record_property):
    volumes = [
        {"type": "raid", "size": "200 MiB", "mount": "/boot"},
        {"type": "raid", "size": "700 MiB", "mount": "/"},
        {"type": "raid", "size": "remaining", "mount": "swap"},
    ]
    root = deployed(dict.fromkeys(disks, volumes))
    record_property("root_uuid", root)


def boots_from_group(files, told):
    booted(files, told)


@pytest.mark.disks("1 GiB", "1 GiB", then=boots_from_group)
def test_a_group_with_boot_in_it_and_encrypted_data_boots(
    disks, record_property
):
    encryption = {"type": "luks2", "key_file": str(KEY)}
    pv = {"type": "pv", "size": "remaining", "vg": "vg0"}
    volumes = [
        {"type": "lv", "name": "root", "size": "1.2 GiB", "mount": "/"},
        {"type": "lv", "name": "swap", "size": "200 MiB", "mount": "swap",
         "encryption": encryption},
        {"type": "lv", "name": "data", "size": "remaining",
         "mount": "/data", "encryption": encryption},
    ]
    root = deployed(
        dict.fromkeys(disks, [pv]),
        {"type": "vg", "id": "vg0", "volumes": volumes},
    )
    record_property("root_uuid", root)


def boots_from_subvolume(files, told):
    booted(files, told)


@pytest.mark.disks("1.5 GiB", then=boots_from_subvolume)
def test_a_subvolume_boots(disks, record_property):
    root = deployed({
        disks[0]: [{
            "type": "partition", "size": "remaining", "file_system": "btrfs",
            "subvolumes": [
                {"name": "@", "mount": "/"},
                {"name": "@home", "mount": "/home"},
            ],
        }],
    })
    record_property("root_uuid", root)
