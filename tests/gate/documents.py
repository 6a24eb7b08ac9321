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

"""The documents of the stories, for the one disk of the machine."""

from __future__ import annotations

from typing import Any

from tests import systems
from tests.vm.qemu import CLOCK, PATIENCE

# Not of tests.vm: a deployed system stays up.
KERNEL_PARAMS = f"console=ttyS0 {CLOCK} {PATIENCE}"

OLD, NEW = "debian-12", "debian-13"
BOTH = [OLD, NEW]


def root(name: str, **keys: Any) -> dict[str, Any]:
    """Return the partition of a system."""
    return {
        "type": "partition", "name": name, "size": "1.5 GiB", "mount": "/",
        "images": [name], **keys,
    }  # fmt: skip


def image(system: systems.SystemImage, url: str) -> dict[str, Any]:
    """Return the image, served below ``url``."""
    return {
        "name": system.name,
        "image_pull_url": f"{url}/{system.path.name}",
        "disk_format": system.disk_format,
        "os_hash_algo": "sha256",
        "os_hash_value": system.sha256,
    }


def document(*entries: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Return a document of these disks and groups, to be cleared."""
    return {
        "partitions_policy": "clean",
        "partitions": list(entries),
        "deploy_data": {"kernel_params": KERNEL_PARAMS},
        "boot": {"timeout_s": 1},
        **keys,
    }


def disk(*volumes: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Return the disk, with these volumes."""
    name = {"type": "name", "value": "vda"}
    return {"type": "disk", "id": name, "volumes": list(volumes), **keys}


def two_systems(url: str, **keys: Any) -> dict[str, Any]:
    """Two systems, swap and data for both; it starts under BIOS, too."""
    swap = {"type": "partition", "size": "256 MiB", "mount": "swap",
            "images": BOTH}  # fmt: skip
    data = {"type": "partition", "name": "data", "size": "512 MiB",
            "mount": "/data", "images": BOTH}  # fmt: skip
    return document(
        disk(root(OLD), root(NEW), swap, data),
        images=[
            image(systems.debian_12(), url),
            image(systems.debian_13(), url),
        ],
        **{"boot": {"firmware": "both", "timeout_s": 1}} | keys,
    )


def one_system(url: str, **keys: Any) -> dict[str, Any]:
    """Debian 13 on one partition."""
    return document(
        disk(root(NEW)), images=[image(systems.debian_13(), url)], **keys
    )


def lvm(url: str) -> dict[str, Any]:
    """Debian 13 on a logical volume, beside it one for data."""
    pv = {"type": "pv", "vg": "vg0", "size": "remaining"}
    volume = {"type": "lv", "name": "root", "size": "2 GiB", "mount": "/"}
    data = {"type": "lv", "name": "data", "size": "40%", "mount": "/data",
            "file_system": "xfs"}  # fmt: skip
    group = {"type": "vg", "id": "vg0", "volumes": [volume, data]}
    return document(disk(pv), group, images=[image(systems.debian_13(), url)])


def bad(url: str) -> dict[str, Any]:
    """Two mistakes, each with a path of its own."""
    found = one_system(url, partitions_policy="maybe")
    found["partitions"][0]["volumes"][0]["size"] = "1G"
    return found


PATHS = ("$.partitions_policy: ", "$.partitions[0].volumes[0].size: '1G'")
