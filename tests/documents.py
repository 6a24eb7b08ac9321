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


"""The document of the story: two systems, swap and data that both use."""

from __future__ import annotations

from typing import Any

from tests import systems
from tests.vm import qemu

NAMES = ("debian-12", "debian-13")


def one_disk(
    device: str, *volumes: dict[str, Any], **keys: Any
) -> dict[str, Any]:
    """Return a document of one disk, to be cleared, with these volumes."""
    name = device.removeprefix("/dev/")
    disk = {
        "type": "disk",
        "id": {"type": "name", "value": name},
        "volumes": list(volumes),
    }
    return {"partitions_policy": "clean", "partitions": [disk], **keys}


def two_systems(device: str, server_url: str) -> dict[str, Any]:
    """Return the document, for images served below ``server_url``."""
    both = list(NAMES)
    roots = (
        {
            "type": "partition",
            "name": name,
            "size": "1.5 GiB",
            "mount": "/",
            "images": [name],
        }
        for name in NAMES
    )
    swap = {
        "type": "partition",
        "size": "256 MiB",
        "mount": "swap",
        "images": both,
    }
    data = {
        "type": "partition",
        "name": "data",
        "size": "remaining",
        "mount": "/data",
        "file_system": "xfs",
        "label": "data",
        "images": both,
    }
    return one_disk(
        device,
        *roots,
        swap,
        data,
        images=[
            _image(system, server_url)
            for system in (systems.debian_12(), systems.debian_13())
        ],
        deploy_data={"kernel_params": qemu.KERNEL_PARAMS},
        boot={"firmware": "bios", "timeout_s": 1},
    )


def _image(system: systems.SystemImage, server_url: str) -> dict[str, Any]:
    return {
        "name": system.name,
        "image_pull_url": f"{server_url}/{system.path.name}",
        "disk_format": system.disk_format,
        "os_hash_algo": "sha256",
        "os_hash_value": system.sha256,
    }
