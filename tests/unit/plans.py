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

"""Plans to look at, of a document with a volume of every kind."""

from __future__ import annotations

import json
from typing import Any

from ipa_partitions.deploy import Request, make_plan
from ipa_partitions.disk.machine import Disk
from ipa_partitions.disk.size import MIB
from ipa_partitions.plan import Plan

SEED = "00000000-0000-4000-8000-000000000001"
VDA = Disk("/dev/vda", 10000 * MIB)

DOCUMENT: dict[str, Any] = {
    "partitions_policy": "clean",
    "partitions": [
        {
            "type": "disk",
            "id": {"type": "name", "value": "vda"},
            "volumes": [
                {
                    "type": "partition",
                    "name": "one",
                    "size": "3000 MiB",
                    "mount": "/",
                    "images": ["one"],
                },
                {
                    "type": "partition",
                    "name": "two",
                    "size": "30%",
                    "mount": "/",
                    "images": ["two"],
                },
                {
                    "type": "partition",
                    "size": 256,
                    "mount": "swap",
                    "images": ["one", "two"],
                },
                {
                    "type": "partition",
                    "name": "data",
                    "size": "remaining",
                    "mount": "/srv",
                    "file_system": "xfs",
                    "partition_guid": "srv",
                    "images": ["two"],
                },
            ],
        }
    ],
    "images": [
        {"name": name, "image_pull_url": f"file:///{name}.tar"}
        for name in ("one", "two")
    ],
}


def document(**changes: Any) -> dict[str, Any]:
    """Return the document, with some of its keys replaced."""
    copied: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
    return copied | changes


def planned(*disks: Disk, **changes: Any) -> Plan:
    """Return the plan of the document for imagined disks."""
    return make_plan(
        Request(document(**changes), seed=SEED, imagined=disks or (VDA,))
    )
