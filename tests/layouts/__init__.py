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

"""Layouts: each an example, a golden plan, and a run on loop devices.

``NAME.json`` is the document as an operator would write it, ``NAME.plan``
what ``ipa-partitions plan`` shows of it for the disks named here, with the
seed. ``python -m tests.layouts`` writes the plans anew: read the difference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ipa_partitions.disk.machine import Disk
from ipa_partitions.disk.size import exact_bytes

FOLDER = Path(__file__).parent
SEED = "c0ffee00-0000-4000-8000-000000000000"

DISKS: dict[str, dict[str, str]] = {
    "bcache": {"vda": "3 GiB", "vdb": "1 GiB"},
    "btrfs-subvolumes": {"vda": "2 GiB"},
    "ceph": {"vda": "4 GiB", "vdb": "1 GiB", "vdc": "1 GiB"},
    "classic": {"vda": "8 GiB"},
    "config-drive": {"vda": "2 GiB"},
    "encrypted": {"vda": "3 GiB"},
    "encrypted-tpm": {"vda": "2 GiB"},
    "filesystems": {"vda": "2 GiB"},
    "from-rsync": {"vda": "2 GiB"},
    "lvm": {"vda": "3 GiB", "vdb": "2 GiB"},
    "lvm-thin": {"vda": "4 GiB"},
    "msdos": {"vda": "10 GB"},
    "one-system": {"vda": "4 GiB"},
    "raid-levels": {
        "vda": "3 GiB",
        "vdb": "2 GiB",
        "vdc": "1 GiB",
        "vdd": "1 GiB",
        "vde": "1 GiB",
    },
    "raid1-root": {"vda": "4 GiB", "vdb": "4 GiB"},
    "separate-volumes": {"vda": "12 GiB"},
    "two-disks": {"vda": "1 GiB", "vdb": "6 GB"},
    "two-systems": {"vda": "10000 MiB"},
    "uefi": {"vda": "2 GiB"},
    "uefi-fallback": {"vda": "4 GiB"},
    "whole-disk-data": {"vda": "2 GiB", "vdb": "1 GiB", "vdc": "1 GiB"},
    "with-data": {"vda": "4 GiB"},
}


# What these have takes a kernel with md, LVM, LUKS or bcache.
IN_A_MACHINE = (
    "bcache",
    "encrypted",
    "encrypted-tpm",
    "lvm",
    "lvm-thin",
    "raid-levels",
    "raid1-root",
    "whole-disk-data",
)
ON_LOOPS = tuple(name for name in DISKS if name not in IN_A_MACHINE)


def document(name: str) -> dict[str, Any]:
    """Return the document, parsed."""
    text = (FOLDER / f"{name}.json").read_text()
    return dict(json.loads(text))


def imagined(name: str, sector_bytes: int = 512) -> tuple[Disk, ...]:
    """Return the disks that the plan is made for."""
    return tuple(
        Disk(f"/dev/{disk}", exact_bytes(size), sector_bytes)
        for disk, size in DISKS[name].items()
    )
