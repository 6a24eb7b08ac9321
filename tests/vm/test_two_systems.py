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


"""The story: two systems on one disk, each of them booted, by its choice."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests import documents, file_server, loops, program, systems
from tests.vm import qemu

DISK_BYTES = 5 * 1024**3

# On gpt under BIOS: the boot loader's code, then the multiboot partition.
MULTIBOOT = 2


def test_either_of_two_systems_boots_from_one_deployed_disk(
    tmp_path: Path,
) -> None:
    disk = loops.blank_image(tmp_path / "disk.img", DISK_BYTES)
    images = (systems.debian_12(), systems.debian_13())

    with (
        loops.attached(disk) as device,
        file_server.serving(*(image.path for image in images)) as url,
    ):
        document = documents.two_systems(device, url)
        result = program.output(
            "deploy", "--yes", "-", stdin=json.dumps(document)
        )
        swap_uuid = _uuid(f"{device}p5")
        data_uuid = _uuid(f"{device}p6")
        multiboot_uuid = _uuid(f"{device}p{MULTIBOOT}")
    first, second = result["boot_info"]["elements"]

    booted = qemu.boot_disk(disk)
    assert_is(booted, "12", first, swap_uuid, data_uuid)
    assert result["boot_info"]["current_element"] == first["grub_id"]
    assert result["boot_info"]["multiboot_partition"] == multiboot_uuid
    assert result["root_uuid"] == first["root_uuid"]

    with loops.attached(disk) as device:
        loops.find_partitions(device)
        switched = program.output(
            "boot", "set", "debian-13",
            "--partition", f"{device}p{MULTIBOOT}",
        )  # fmt: skip
    assert switched["current_element"] == second["grub_id"]
    assert switched["elements"] == [first, second]

    booted = qemu.boot_disk(disk)
    assert_is(booted, "13", second, swap_uuid, data_uuid)


def assert_is(
    booted: qemu.Facts,
    version: str,
    element: dict[str, Any],
    swap_uuid: str,
    data_uuid: str,
) -> None:
    """Compare what came up with the element of boot-info that it should be."""
    assert (booted.id, booted.version) == ("debian", version)
    assert booted.root_uuid == element["root_uuid"]
    assert element["image_name"] == f"debian-{version}"
    # They were grown to, or made as large as, their partitions.
    assert 1.3 * 1024**3 < booted.mounts["/"]["size"] < 1.5 * 1024**3
    assert booted.mounts["/data"]["uuid"] == data_uuid
    assert booted.mounts["/data"]["fstype"] == "xfs"
    assert booted.swap_uuids == (swap_uuid,)
    assert booted.failed_units == ""
    assert f"root=UUID={element['root_uuid']}" in booted.cmdline.split()


def _uuid(device: str) -> str:
    return subprocess.run(
        [
            "blkid", "--probe", "--match-tag", "UUID", "--output", "value",
            device,
        ],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
