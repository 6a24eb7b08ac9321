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

"""Every kind of root under every firmware, from one deployment each.

A disk for ``both`` boots under BIOS, under UEFI and with Secure Boot
enforced: each row is deployed once, and is a cell of each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions import deploy
from ipa_partitions.deploy import Request
from tests import loops, program, systems
from tests.vm import qemu

# It is built here: there is no network in the test machine.
IMAGE = systems.debian_13()

# After the code for BIOS and the ESP.
MULTIBOOT = 3

SECURE = "secureboot: Secure boot enabled"

ROOT = {"size": "1 GiB", "mount": "/"}
PARTITION = {"type": "partition", **ROOT}

# Name: the volumes of each disk, what stands on them, the names of images.
ROWS: dict[str, tuple[list[list[dict]], list[dict], list[str]]] = {
    "one image": ([[PARTITION]], [], ["one"]),
    "two images": (
        [[PARTITION | {"images": [name]} for name in ("one", "two")]],
        [],
        ["one", "two"],
    ),
    "root on lvm": (
        [[{"type": "pv", "size": "remaining", "vg": "vg0"}]],
        [{"type": "vg", "id": "vg0",
          "volumes": [{"type": "lv", "name": "root", **ROOT}]}],
        ["one"],
    ),
    "root on md": (
        [[{"type": "raid", "size": "1 GiB", "raid": "md0"}]] * 2,
        [{"type": "raid", "id": "md0", "level": 1, "mount": "/"}],
        ["one"],
    ),
    "root on btrfs": (
        [[{"type": "partition", "size": "1 GiB", "file_system": "btrfs",
           "subvolumes": [{"name": "@", "mount": "/"}]}]],
        [],
        ["one"],
    ),
}  # fmt: skip


def deployed(disks: Sequence[str], row: str) -> dict[str, Any]:
    volumes, further, names = ROWS[row]
    on_disks = [
        {"type": "disk", "id": {"type": "name", "value": disk},
         "volumes": each}
        for disk, each in zip(disks, volumes, strict=True)
    ]  # fmt: skip
    document = {
        "partitions_policy": "clean",
        "partitions": [*on_disks, *further],
        "images": [
            {"name": name, "image_pull_url": f"file://{IMAGE.path}"}
            for name in names
        ],
        "deploy_data": {"kernel_params": qemu.KERNEL_PARAMS},
        "boot": {"timeout_s": 1, "firmware": "both"},
    }
    return deploy.deploy(Request(document)).to_json()


FIRMWARE: tuple[qemu.Firmware, ...] = ("bios", "uefi", "secure")


def boots(files: list[Path], told: dict) -> None:
    elements = told["elements"]
    for firmware in FIRMWARE:
        assert_boots(files, firmware, elements[0], elements)
    for element in elements[1:]:
        choose(files[0], element["os_id"])
        assert_boots(files, "secure", element, elements)
    # A mirror has a loader on either disk.
    for file in files if len(files) > 1 else ():
        assert_boots([file], "uefi", elements[0], elements)


def assert_boots(
    files: list[Path],
    firmware: qemu.Firmware,
    element: dict[str, Any],
    elements: list[dict[str, Any]],
) -> None:
    facts = qemu.boot_disk(*files, firmware=firmware)
    assert facts.root_uuid == element["root_uuid"]
    assert facts.failed_units == ""
    assert (SECURE in facts.console) == (firmware == "secure")
    assert titles(facts.console) == {e["boot_name"] for e in elements}


def choose(disk: Path, image: str) -> None:
    with loops.attached(disk) as device:
        loops.find_partitions(device)
        program.output(
            "boot", "set", image, "--partition", f"{device}p{MULTIBOOT}"
        )


def titles(console: str) -> set[str]:
    """Return the entries that the menu has shown."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "\n", console)
    found = re.findall(r"^[* ]?(\S.* \(on /dev/\S+\)\S*) *$", text, re.M)
    # "Booting `...'" comes when the menu is gone.
    return {title for title in found if "`" not in title}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=row,
            marks=pytest.mark.disks(
                *["3 GiB"] * len(volumes), timeout_s=900, then=boots
            ),
        )
        for row, (volumes, _, _) in ROWS.items()
    ],
)
def test_it_boots_under_every_firmware(disks, record_property, row):
    record_property("elements", deployed(disks, row)["boot_info"]["elements"])
