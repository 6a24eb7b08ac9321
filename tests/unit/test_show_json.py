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

import json

import pytest

from ipa_partitions.disk.machine import Disk
from ipa_partitions.disk.size import MIB
from ipa_partitions.show.as_json import plan_json
from tests.unit.plans import planned

FREE_GUID = "12345678-9ABC-4DEF-8123-456789ABCDEF"


def test_every_key_is_as_specified():
    shown = plan_json(planned())
    assert list(shown) == ["disks", "groups", "arrays", "actions", "warnings"]
    (disk,) = shown["disks"]
    assert {key: disk[key] for key in list(disk)[:-1]} == {
        "device": "/dev/vda",
        "size_bytes": 10000 * MIB,
        "sector_bytes": 512,
        "table": "gpt",
    }
    assert disk["partitions"][3] == {
        "number": 4,
        "name": "two",
        "type": "linux",
        "start_bytes": 3102 * MIB,
        "size_bytes": 3000 * MIB,
        "mount": "/",
        "file_system": "ext4",
        "keep_data": True,
        "images": ["two"],
    }
    assert shown["groups"] == shown["arrays"] == []
    assert all(list(a) == ["action", "text"] for a in shown["actions"])
    assert {a["action"] for a in shown["actions"]} == {
        "stop", "clear", "partition", "format", "image", "fstab", "boot",
        "report",
    }  # fmt: skip


def test_a_type_is_a_service_an_alias_or_else_a_guid():
    (disk,) = plan_json(planned())["disks"]
    assert [part["type"] for part in disk["partitions"]] == [
        "bios_boot", "multiboot", "linux", "linux", "swap", "srv",
    ]  # fmt: skip
    unknown = [
        {
            "type": "disk",
            "id": {"type": "name", "value": "vda"},
            "volumes": [
                {
                    "type": "partition",
                    "size": 1,
                    "partition_guid": FREE_GUID.lower(),
                }
            ],
        }
    ]
    (disk,) = plan_json(planned(partitions=unknown, images=[]))["disks"]
    assert [part["type"] for part in disk["partitions"]] == [FREE_GUID]


def test_what_is_not_mounted_says_none():
    (disk,) = plan_json(planned())["disks"]
    service = disk["partitions"][0]
    assert (service["mount"], service["file_system"]) == ("none", "none")


def test_a_disk_without_a_table_shows_its_volume():
    plain = [
        {
            "type": "disk",
            "id": {"type": "name", "value": "vda"},
            "table": "none",
            "volumes": [
                {"type": "partition", "size": "100%", "file_system": "xfs"}
            ],
        }
    ]
    (disk,) = plan_json(planned(partitions=plain, images=[]))["disks"]
    (whole,) = disk["partitions"]
    assert whole["number"] is None
    assert whole["size_bytes"] == 10000 * MIB


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_the_same_seed_makes_the_same_bytes(sector_bytes):
    disk = Disk("/dev/vda", 10000 * MIB, sector_bytes)
    one, two = (json.dumps(plan_json(planned(disk))) for _ in range(2))
    assert one == two
