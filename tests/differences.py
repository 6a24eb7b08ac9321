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

"""Every kind of difference between a document and disks with everything.

A row is a change to the document of ``tests.everything`` after it was laid
out, and what ``verify`` tells then; ``{one}`` to ``{whole}`` are its disks.
That of tables and partitions is in tests/functional/test_verify.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.everything import Document, group, named, raid, volume

DISKS = ("one", "two", "three", "whole")
# The places of what tests.everything has on the disks for them.
PLAIN, UNUSED_RAID, UNUSED_LVM = 8, 9, 10
CACHE, OTHER_UNUSED_RAID = 4, 5
PV = 2

Change = Callable[[Document], object]


def _on(document: Document, disk: str) -> list[dict[str, Any]]:
    entry = document["partitions"][DISKS.index(disk)]
    volumes: list[dict[str, Any]] = entry["volumes"]
    return volumes


def _change(name: str, **keys: Any) -> Change:
    return lambda document: named(document, name).update(keys)


def _swap_members(document: Document) -> None:
    volumes = _on(document, "three")
    volumes[:2] = reversed(volumes[:2])


def _another_array(document: Document) -> None:
    member = volume("raid", 20, raid="more")
    _on(document, "one")[UNUSED_RAID] = dict(member)
    _on(document, "two")[OTHER_UNUSED_RAID] = dict(member)
    document["partitions"].append(raid("more", 1))


def _rename_group(document: Document) -> None:
    named(document, "vg1")["id"] = "other"
    _on(document, "three")[PV]["vg"] = "other"


def _another_group(document: Document) -> None:
    _on(document, "one")[UNUSED_LVM] = volume("pv", 20, vg="vg9")
    document["partitions"].append(group("vg9"))


def _move_pv(document: Document) -> None:
    _on(document, "three")[PV]["vg"] = "vg0"
    document["partitions"].remove(named(document, "vg1"))


def _make_linear(name: str) -> Change:
    def change(document: Document) -> None:
        for key in ("layout", "stripes", "mirrors", "pool"):
            named(document, name).pop(key, None)

    return change


def _encrypt_plain(document: Document) -> None:
    encryption = copy.deepcopy(named(document, "secret")["encryption"])
    named(document, "plain")["encryption"] = encryption


def _take_other_key(document: Document) -> None:
    named(document, "hidden")["encryption"]["key_file"] += ".other"


def _another_set(document: Document) -> None:
    _on(document, "one")[PLAIN] = volume("bcache_backing", 20, bcache="more")
    document["partitions"].append({"type": "bcache", "id": "more"})


DIFFERENCES: dict[str, tuple[Change, list[str]]] = {
    "nothing": (lambda document: None, []),
    "array level": (
        _change("five", level=4),
        ["array five level: is 5, wanted 4"],
    ),
    "array spares": (
        _change("mirror", spares=0),
        ["array mirror active members: is 2, wanted 3"],
    ),
    "array members": (
        _swap_members,
        [
            "array mirror members: is {one}1, {two}1, {three}1,"
            " wanted {one}1, {two}1, {three}2",
            "array five members: is {one}2, {two}2, {three}2,"
            " wanted {one}2, {two}2, {three}1",
        ],
    ),
    "array missing": (
        _another_array,
        ["array more: is not there, wanted level 1 of {one}10, {two}6"],
    ),
    "array label": (
        _change("mirror", label="x"),
        ["/dev/md/mirror label: is 'm', wanted 'x'"],
    ),
    "array filesystem": (
        _change("five", file_system="ext3"),
        ["/dev/md/five filesystem: is ext4, wanted ext3"],
    ),
    "group name": (
        _rename_group,
        ["group other: is vg1, wanted other on {three}3"],
    ),
    "group missing": (
        _another_group,
        ["group vg9: is not there, wanted vg9 on {one}11"],
    ),
    "group pvs": (
        _move_pv,
        [
            "group vg0 pvs: is {one}4, {two}4,"
            " wanted {one}4, {two}4, {three}3",
        ],
    ),
    "lv missing": (
        lambda document: named(document, "vg2")["volumes"].append(
            volume("lv", 8, name="more")
        ),
        ["/dev/vg2/more: is not there, wanted linear of 8 MiB"],
    ),
    "lv extra": (
        lambda document: named(document, "vg2")["volumes"].pop(0),
        ["/dev/vg2/deep: is linear of 40 MiB, wanted no volume"],
    ),
    "lv size": (
        _change("copies", size="28 MiB"),
        ["/dev/vg0/copies size: is 24 MiB, wanted 28 MiB"],
    ),
    "lv label": (
        _change("root", label="x"),
        ["/dev/vg0/root label: is 'r', wanted 'x'"],
    ),
    "lv filesystem": (
        _change("root", file_system="ext3"),
        ["/dev/vg0/root filesystem: is ext4, wanted ext3"],
    ),
    "lv striped": (
        _make_linear("stripes"),
        [
            "/dev/vg0/stripes layout: is striped, wanted linear",
            "/dev/vg0/stripes stripes: is 2, wanted none",
        ],
    ),
    "lv raid1": (
        _make_linear("copies"),
        [
            "/dev/vg0/copies layout: is raid1, wanted linear",
            "/dev/vg0/copies mirrors: is 1, wanted none",
        ],
    ),
    "lv thin": (
        _make_linear("thin"),
        [
            "/dev/vg0/thin layout: is thin, wanted linear",
            "/dev/vg0/thin pool: is pool, wanted none",
        ],
    ),
    "encryption unwanted": (
        lambda document: named(document, "secret").pop("encryption"),
        ["{one}7 encryption: is luks, wanted none"],
    ),
    "encryption missing": (
        _encrypt_plain,
        ["{one}9 encryption: is none, wanted luks2"],
    ),
    "encryption with another key": (
        _take_other_key,
        [
            "/dev/vg0/hidden encryption: is luks2 that the key does not open,"
            " wanted luks2 that it opens"
        ],
    ),
    "label in LUKS": (
        _change("secret", label="x"),
        ["{one}7 label: is 's', wanted 'x'"],
    ),
    "filesystem in LUKS in an lv": (
        _change("hidden", file_system="ext3"),
        ["/dev/vg0/hidden filesystem: is ext4, wanted ext3"],
    ),
    "subvolume": (
        lambda document: named(document, "tree")["subvolumes"].append(
            {"name": "@more"}
        ),
        ["{one}6 subvolume @more: is not there, wanted there"],
    ),
    "btrfs label": (
        _change("tree", label="x"),
        ["{one}6 label: is 'tree', wanted 'x'"],
    ),
    "bcache mode": (
        _change("cached", mode="writearound"),
        ["bcache cached mode: is writethrough, wanted writearound"],
    ),
    "bcache cache": (
        lambda document: _on(document, "two").__setitem__(
            CACHE, volume("partition", 257, name="cache")
        ),
        ["bcache cached caches: is {two}5, wanted none"],
    ),
    "bcache missing": (
        _another_set,
        ["bcache more: is not there, wanted on {one}9"],
    ),
    "bcache label": (
        _change("cached", label="x"),
        ["/dev/bcache/cached label: is 'c', wanted 'x'"],
    ),
    "swap": (
        _change("swap", mount="none", file_system="ext4"),
        [
            "{one}8 type: is swap, wanted linux",
            "{one}8 filesystem: is swap, wanted ext4",
        ],
    ),
    "label of a whole disk": (
        _change("whole", label="x"),
        ["{whole} label: is 'w', wanted 'x'"],
    ),
    "table of a whole disk": (
        lambda document: document["partitions"][3].pop("table"),
        ["{whole}: is without a table, wanted gpt"],
    ),
    "what is not kept": (
        lambda document: [
            named(document, name).update(file_system="ext3", keep_data=False)
            for name in ("mirror", "deep", "thin", "cached", "whole")
        ],
        [],
    ),
}

# What can be at the same time.
TOGETHER = (
    (
        "array level", "array spares", "array label", "group name",
        "lv extra", "lv missing", "lv size", "lv label", "lv striped",
        "encryption missing", "label in LUKS", "filesystem in LUKS in an lv",
        "subvolume", "btrfs label", "bcache mode", "bcache label",
        "label of a whole disk",
    ),
    (
        "array members", "array missing", "array filesystem",
        "group missing", "group pvs", "lv filesystem", "lv raid1",
        "lv thin", "encryption unwanted", "encryption with another key",
        "bcache cache", "bcache missing", "swap", "table of a whole disk",
    ),
    ("what is not kept",),
)  # fmt: skip


def changed(
    document: Document, names: Iterable[str], devices: Sequence[str]
) -> tuple[Document, list[str]]:
    """Return the document with these changes, and what is told of them."""
    document = copy.deepcopy(document)
    document["partitions_policy"] = "verify"
    words = dict(zip(DISKS, devices, strict=True))
    told = []
    for name in names:
        change, lines = DIFFERENCES[name]
        change(document)
        told += [line.format(**words) for line in lines]
    return document, told
