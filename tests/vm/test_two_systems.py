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

"""The story: two systems on one disk, each of them booted, by its choice.

Then one is replaced, and the other boots as before.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ipa_partitions.disk.mount import mounted
from tests import documents, file_server, loops, program, systems
from tests.everything import named
from tests.vm import qemu

DISK_BYTES = 5 * 1024**3

# On gpt under BIOS: the boot loader's code, then the multiboot partition.
MULTIBOOT, SWAP, DATA = 2, 5, 6


def test_either_of_two_systems_boots_from_one_deployed_disk(
    tmp_path: Path,
) -> None:
    disk = loops.blank_image(tmp_path / "disk.img", DISK_BYTES)
    result = deployed(disk)
    first, second = result["boot_info"]["elements"]
    assert result["boot_info"]["current_element"] == first["grub_id"]
    assert result["root_uuid"] == first["root_uuid"]
    with attached(disk) as device:
        uuids = {n: uuid(f"{device}p{n}") for n in (MULTIBOOT, SWAP, DATA)}
    assert result["boot_info"]["multiboot_partition"] == uuids[MULTIBOOT]
    assert_boots(disk, "12", first, uuids)

    with attached(disk) as device:
        switched = program.output(
            "boot", "set", "debian-13",
            "--partition", f"{device}p{MULTIBOOT}",
        )  # fmt: skip
    assert switched["current_element"] == second["grub_id"]
    assert switched["elements"] == [first, second]
    assert_boots(disk, "13", second, uuids)

    with attached(disk) as device, mounted(f"{device}p{DATA}") as data:
        (data / "mine").write_text("precious")
    again = deployed(disk, replaced="debian-13")
    kept, fresh = again["boot_info"]["elements"]
    # It says, too, on which loop device it is this time.
    assert kept | {"boot_name": first["boot_name"]} == first
    assert fresh["root_uuid"] != second["root_uuid"]
    assert_boots(disk, "12", first, uuids)
    with attached(disk) as device, mounted(f"{device}p{DATA}") as data:
        assert (data / "mine").read_text() == "precious"


def deployed(disk: Path, replaced: str | None = None) -> Any:
    """Deploy both systems, or under verify only the one that is replaced."""
    images = (systems.debian_12(), systems.debian_13())
    with (
        loops.attached(disk) as device,
        file_server.serving(*(image.path for image in images)) as url,
    ):
        document = documents.two_systems(device, url)
        if replaced:
            document["partitions_policy"] = "verify"
            named(document, replaced)["keep_data"] = False
        return program.output(
            "deploy", "--yes", "-", stdin=json.dumps(document)
        )


@contextmanager
def attached(disk: Path) -> Iterator[str]:
    """Yield the loop device of a disk whose partitions are there."""
    with loops.attached(disk) as device:
        loops.find_partitions(device)
        yield device


def assert_boots(
    disk: Path, version: str, element: dict[str, Any], uuids: dict[int, str]
) -> None:
    """Boot; compare with the element of boot-info that it should be."""
    booted = qemu.boot_disk(disk)
    assert (booted.id, booted.version) == ("debian", version)
    assert booted.root_uuid == element["root_uuid"]
    assert element["image_name"] == f"debian-{version}"
    # They were grown to, or made as large as, their partitions.
    assert 1.3 * 1024**3 < booted.mounts["/"]["size"] < 1.5 * 1024**3
    assert booted.mounts["/data"]["uuid"] == uuids[DATA]
    assert booted.mounts["/data"]["fstype"] == "xfs"
    assert booted.swap_uuids == (uuids[SWAP],)
    assert booted.failed_units == ""
    assert f"root=UUID={element['root_uuid']}" in booted.cmdline.split()


def uuid(device: str) -> str:
    return subprocess.run(
        [
            "blkid", "--probe", "--match-tag", "UUID", "--output", "value",
            device,
        ],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
