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

"""A document with everything that can be laid out, and its disks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

SIZES = ("700 MiB", "650 MiB", "300 MiB", "60 MiB")

Document = dict[str, Any]


def volume(kind: str, size_mib: int, **keys: Any) -> dict[str, Any]:
    """Return a volume; one with a mount has the name of that."""
    return {"type": kind, "size": f"{size_mib} MiB", **keys}


def disk(device: str, *volumes: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Return a disk, by its kernel name."""
    disk_id = {"type": "name", "value": device}
    return {"type": "disk", "id": disk_id, "volumes": [*volumes], **keys}


def document(devices: Sequence[str], key: str) -> Document:
    """Return it for four disks, and the file of a key."""
    ext4 = {"file_system": "ext4"}
    encrypted = {"type": "luks2", "key_file": key}
    member = [
        volume("raid", 40, raid="mirror"),
        volume("raid", 40, raid="five"),
    ]
    under = volume("raid", 60, raid="under")
    one, two, three, whole = devices
    return {
        "partitions_policy": "clean",
        "partitions": [
            disk(
                one,
                *copy.deepcopy(member),
                dict(under),
                volume("pv", 200, vg="vg0"),
                volume("bcache_backing", 60, bcache="cached"),
                volume(
                    "partition", 130, name="tree", file_system="btrfs",
                    label="tree",
                    subvolumes=[{"name": "@"}, {"name": "@home"}],
                ),
                volume("partition", 40, name="secret", label="s",
                       encryption={**encrypted}, **ext4),
                volume("partition", 20, name="swap", mount="swap"),
                volume("partition", 20, name="plain", label="p", **ext4),
                # What may be taken for parts of what is not there.
                volume("partition", 20, name="raid", partition_guid="raid"),
                volume("partition", 20, name="lvm", partition_guid="lvm"),
            ),
            disk(
                two,
                *copy.deepcopy(member),
                dict(under),
                volume("pv", 200, vg="vg0"),
                volume("bcache_cache", 257, bcache="cached"),
                volume("partition", 20, name="raid", partition_guid="raid"),
            ),
            disk(
                three,
                *copy.deepcopy(member),
                volume("pv", 100, vg="vg1"),
            ),
            disk(
                whole,
                {"type": "partition", "size": "remaining", "name": "whole",
                 "label": "w", **ext4},
                table="none",
            ),
            raid("mirror", 1, spares=1, label="m", **ext4),
            raid("five", 5, label="f", **ext4),
            raid("under", 0, vg="vg2"),
            {"type": "bcache", "id": "cached", "label": "c", **ext4},
            group(
                "vg0",
                volume("lv", 60, name="root", label="r", **ext4),
                volume("lv", 24, name="stripes", layout="striped",
                       stripes=2),
                volume("lv", 24, name="copies", layout="raid1", mirrors=1,
                       **ext4),
                volume("lv", 80, name="pool", layout="thin-pool"),
                volume("lv", 100, name="thin", layout="thin", pool="pool",
                       label="t", **ext4),
                volume("lv", 40, name="hidden", label="h",
                       encryption={**encrypted}, **ext4),
            ),
            group("vg1", volume("lv", 40, name="data", label="d", **ext4)),
            group("vg2", volume("lv", 40, name="deep", label="d", **ext4)),
        ],
    }  # fmt: skip


def raid(name: str, level: int, **keys: Any) -> dict[str, Any]:
    """Return an array."""
    return {"type": "raid", "id": name, "level": level, **keys}


def group(name: str, *volumes: dict[str, Any]) -> dict[str, Any]:
    """Return a group."""
    return {"type": "vg", "id": name, "volumes": [*volumes]}


def named(document: Document, name: str) -> dict[str, Any]:
    """Return the array, set, group or volume of this name."""
    found = (
        each
        for entry in document["partitions"]
        for each in (entry, *entry.get("volumes", ()))
        if name in (each.get("name"), each.get("id"))
    )
    return next(found)
