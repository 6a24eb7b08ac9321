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

"""A system that is not ours, on a disk that the document does not mention."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from ipa_partitions import deploy
from ipa_partitions.deploy import Request
from tests import systems
from tests.vm import qemu

# It is built here: there is no network in the test machine.
IMAGE = systems.debian_13()


def deployed(device: str, **boot: Any) -> dict[str, Any]:
    """Deploy Debian onto one partition of ``device``; return boot-info."""
    root = {"type": "partition", "size": "remaining", "mount": "/"}
    document = {
        "partitions_policy": "clean",
        "partitions": [
            {
                "type": "disk",
                "id": {"type": "name", "value": device},
                "volumes": [root],
            }
        ],
        "images": [
            {"name": "debian", "image_pull_url": f"file://{IMAGE.path}"}
        ],
        "deploy_data": {"kernel_params": qemu.KERNEL_PARAMS},
        "boot": {"timeout_s": 1, **boot},
    }
    result = deploy.deploy(Request(document, firmware="bios")).to_json()
    found: dict[str, Any] = result["boot_info"]
    return found


def boots_by_our_menu(files, told):
    facts = qemu.boot_disk(*files)
    assert facts.root_uuid == told["root_uuid"]
    assert facts.version == "13"


@pytest.fixture
def writable():
    """Have what os-prober writes to: the test machine's root is read-only."""
    place = "/var/lib/os-prober"
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    yield
    subprocess.run(["umount", place], check=True)


@pytest.mark.disks("1 GiB", "1 GiB", then=boots_by_our_menu)
def test_a_foreign_system_boots_by_its_grub_id(
    disks, writable, record_property
):
    ours, other = disks
    (old,) = deployed(other)["elements"]
    first, second = deployed(ours, foreign=True)["elements"]
    assert [first["grub_id"], second["grub_id"]] == [0, 1]
    assert second["root_uuid"] == old["root_uuid"]

    info = deploy.switch_boot(1, partition=f"{ours}2")

    assert info.current_element == 1
    record_property("root_uuid", old["root_uuid"])
