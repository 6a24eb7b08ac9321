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

"""The document: what is taken, and what is refused with which path."""

from __future__ import annotations

import copy
import json
import re
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipa_partitions import layout
from ipa_partitions.errors import LayoutErrors, json_path
from ipa_partitions.images.access import Access
from tests.layouts import FOLDER

DIGEST = "0123456789abcdef" * 4

GOOD = {
    "partitions_policy": "clean",
    "partitions": [
        {
            "type": "disk",
            "id": {"type": "name", "value": "vda"},
            "volumes": [
                {
                    "type": "partition",
                    "size": "40%",
                    "mount": "/",
                    "images": ["a"],
                },
                {
                    "type": "partition",
                    "size": "remaining",
                    "mount": "/",
                    "images": ["b"],
                },
                {"type": "partition", "size": 100, "mount": "swap"},
            ],
        }
    ],
    "images": [
        {"name": "a", "image_pull_url": "file:///a.raw", "checksum": DIGEST},
        {"name": "b", "image_pull_url": "file:///b.tar", "checksum": DIGEST},
    ],
}


def problems(document, configdrive=None):
    try:
        layout.parse(document, configdrive)
    except LayoutErrors as error:
        return [str(each) for each in error.errors]
    return []


def changed(*path_and_value, document=GOOD):
    """Return ``document`` with one value set, or removed where it is None."""
    document = copy.deepcopy(document)
    *path, last, value = path_and_value
    holder = document
    for key in path:
        holder = holder[key]
    if value is None:
        del holder[last]
    elif isinstance(holder, list) and last == len(holder):
        holder.append(value)
    else:
        holder[last] = value
    return document


NIL_UUID = "00000000-0000-0000-0000-000000000000"
VOLUMES = ("partitions", 0, "volumes")
FIRST = (*VOLUMES, 0)
IMAGE = ("images", 0)
V0 = "$.partitions[0].volumes[0]"


def test_a_good_document_has_no_problem():
    assert problems(GOOD) == []


@pytest.mark.parametrize(("change", "problem"), [
    # the top
    (("colour", "red"), "$.colour: unknown key"),
    (("<raid>", {"type": "raid"}), '$["<raid>"]: unknown key'),
    (("boot", {"<foo>": 1}), '$.boot["<foo>"]: unknown key'),
    (("version", 2), "$.version: 2: must be 1"),
    (("version", True), "$.version: True is not a whole number"),
    (("partitions", []), "$.partitions: must not be empty"),
    (("partitions", None), "$.partitions: is required"),
    (("partitions_policy", "erase"),
     "$.partitions_policy: 'erase': must be 'verify' or 'clean'"),
    (("image_deploy_flags", {"rsync_flags": "-a -e sh"}),
     "$.image_deploy_flags.rsync_flags: '-e' is not an rsync flag"),
    (("image_deploy_flags", {"rsync_flags": "--rsync-path=/x"}),
     "$.image_deploy_flags.rsync_flags: '--rsync-path=/x' is not"),
    (("image_deploy_flags", {"rsync_flags": "-a --exclude"}),
     "$.image_deploy_flags.rsync_flags: '--exclude' lacks its value"),
    (("deploy_data", {"kernel_params": "a\nb"}),
     "$.deploy_data.kernel_params: 'a\\nb' has a control character"),
    (("boot", {"firmware": "coreboot"}), "$.boot.firmware: 'coreboot'"),
    (("boot", {"timeout_s": -1}), "$.boot.timeout_s: -1"),
    (("boot", {"serial": "tty0"}), "$.boot.serial: 'tty0' is not"),
    (("boot", {"loader": "lilo"}), "$.boot.loader: 'lilo' is not one of"),
    (("configdrive", 7), "$.configdrive: is neither a string nor an object"),
    ((*IMAGE, "checksum", ""), "$.images[0].checksum: is no sha256 or sha5"),
    ((*IMAGE, "os_hash_value", ""), "$.images[0]: os_hash_algo and os_hash"),
    *((("catalog_url", url), "$.catalog_url: is not an http(s) URL")
      for url in ("", "x", "ftp://x", "http://")),
    # disks
    (("partitions", 0, "type", "dsk"),
     "$.partitions[0].type: 'dsk' is not one of disk, vg, raid, bcache"),
    (("partitions", 0, "id", {"type": "name"}),
     "$.partitions[0].id.value: is required"),
    (("partitions", 0, "id", {"type": "serial", "value": "x"}),
     "$.partitions[0].id.type: 'serial' is not one of"),
    (("partitions", 0, "id", {"type": "name", "value": "../etc"}),
     "$.partitions[0].id.value: '/dev/../etc' leads upwards"),
    (("partitions", 0, "id", {"type": "scsi", "value": "0:0"}),
     "$.partitions[0].id.value: '0:0' is not a SCSI address"),
    (("partitions", 0, "size", "50%"),
     "$.partitions[0].size: '50%' is not an exact size"),
    (("partitions", 0, "table", "bsd"), "$.partitions[0].table: 'bsd'"),
    (("partitions", 0, "table", "none"),
     "$.partitions[0].volumes: 3 volumes where table none has exactly one"),
    (("partitions", 0, "boot", False),
     "$.partitions: there is no disk to boot from"),
    (("partitions", 1, GOOD["partitions"][0]),
     "$.partitions[1].id: '/dev/vda' is at $.partitions[0].id already"),
    # volumes
    ((*FIRST, "size", "1G"), f"{V0}.size: '1G' is not a size such as"),
    ((*FIRST, "size", None), f"{V0}.size: is required"),
    ((*FIRST, "size", "remaining"),
     f"$.partitions[0].volumes[1].size: {V0} is 'remaining' already"),
    ((*FIRST, "mont", "/"), f"{V0}.mont: unknown key"),
    ((*FIRST, "<partition>", 1), f'{V0}["<partition>"]: unknown key'),
    ((*FIRST, "encryption", {"type": "luks2", "<luks2>": 1}),
     f'{V0}.encryption["<luks2>"]: unknown key'),
    (("partitions", 0, "id", {"type": "hints", "value": {"<foo>": 1.5}}),
     '$.partitions[0].id.value["<foo>"]: 1.5 is not a string'),
    ((*FIRST, "mount", "home"), f"{V0}.mount: 'home' is not an absolute"),
    ((*FIRST, "mount", "/a/../b"), f"{V0}.mount: '/a/../b' leads upwards"),
    ((*FIRST, "file_system", "ntfs"), f"{V0}.file_system: 'ntfs' is not"),
    ((*FIRST, "file_system", "none"),
     f"{V0}.file_system: 'none' cannot be mounted"),
    ((*FIRST, "file_system", "swap"),
     f"{V0}.file_system: 'swap' cannot have the mount '/'"),
    ((*FIRST, "label", "x" * 17), f"{V0}.label: "),
    ((*FIRST, "uuid", "abc"), f"{V0}.uuid: 'abc' is not of the form"),
    ((*FIRST, "uuid", NIL_UUID), f"{V0}.uuid: '{NIL_UUID}' is not of"),
    ((*FIRST, "mkfs_options", ["-d", "/dev/vdb"]),
     f"{V0}.mkfs_options: '/dev/vdb' names a device"),
    ((*FIRST, "images", ["c"]),
     f"{V0}.images[0]: there is no image 'c'; there is a, b"),
    ((*FIRST, "images", []), f"{V0}.images: must not be empty"),
    ((*FIRST, "partition_guid", "x"), f"{V0}.partition_guid: 'x' is neither"),
    *(((*FIRST, "partition_guid", guid), f"{V0}.partition_guid: '{guid}' is")
      for guid in (NIL_UUID, "{0fc63daf848347728e793d69d8477de4--}")),
    ((*FIRST, "fstab_options", "a b"), f"{V0}.fstab_options: 'a b'"),
    ((*FIRST, "name", "a\nb"), f"{V0}.name: 'a\\nb' is empty or has"),
    ((*FIRST, "name", "ä" * 37), f"{V0}.name: '{'ä' * 37}' is longer than"),
    ((*FIRST, "name", "x" * 37), f"{V0}.name: "),
    ((*FIRST, "id", "x" * 37), f"{V0}.id: "),
    ((*FIRST, "mount", "/" + "\U0001f600" * 19), f"{V0}.mount: "),
    ((*FIRST, "encryption", {"type": "luks2"}),
     f"{V0}.encryption: needs one of key_file and tpm2"),
    ((*VOLUMES, 3, {"type": "partition", "size": 1, "mount": "/boot/efi",
                    "partition_guid": "linux"}),
     "$.partitions[0].volumes[3].partition_guid: firmware looks for an ESP"),
    *(((*VOLUMES, 3, {"type": "partition", "size": 1, "mount": mount,
                      "encryption": {"type": "luks2", "tpm2": True}}),
       "$.partitions[0].volumes[3].encryption: neither firmware nor GRUB")
      for mount in ("/boot/efi", "multiboot")),
    ((*VOLUMES, 3, {"type": "pv", "vg": "v", "size": 1}),
     "$.partitions[0].volumes[3].vg: there is no vg 'v'"),
    ((*VOLUMES, 3, {"type": "raid", "size": 1}),
     "$.partitions[0].volumes[3]: needs raid, the id of an array"),
    ((*VOLUMES, 3, {"type": "partition", "size": 1, "mount": "/",
                    "images": ["a"]}),
     f"$.partitions[0].volumes[3].mount: {V0} is / of image 'a' already"),
    # groups and arrays
    (("partitions", 1, {"type": "vg", "id": "v"}),
     "$.partitions[1].id: the group has no pv"),
    (("partitions", 1, {"type": "raid", "id": "m", "level": 5}),
     "$.partitions[1].level: level 5 with 0 spares takes 3 members"),
    (("partitions", 1, {"type": "raid", "id": "m", "level": 2}),
     "$.partitions[1].level: 2"),
    (("partitions", 1, {"type": "raid", "id": "m", "level": True}),
     "$.partitions[1].level: True is not a whole number"),
    # images
    ((*IMAGE, "name", "b"), "$.images[1].name: 'b' is at $.images[0]"),
    ((*IMAGE, "name", "a-1"),
     "$.images[0].name: the image 'a-1' has no volume with the mount /"),
    ((*IMAGE, "image_pull_url", "ftp://h/x"), "$.images[0].image_pull_url: "),
    ((*IMAGE, "image_pull_url", "http://h/x b"),
     "$.images[0].image_pull_url: is empty, or has a space"),
    ((*IMAGE, "image_pull_url", "rsync://-e/x"),
     "$.images[0].image_pull_url: "),
    ((*IMAGE, "disk_format", "dir"),
     "$.images[0].disk_format: 'dir' does not come from file:///a.raw"),
    ((*IMAGE, "disk_format", "vmdk"), "$.images[0].disk_format: 'vmdk'"),
    ((*IMAGE, "checksum", "abc"), "$.images[0].checksum: is no sha256"),
    ((*IMAGE, "os_hash_algo", "sha256"), "$.images[0]: "),
    ((*IMAGE, "deploy", "never"),
     "$.images[0].deploy: 'never' leaves nothing to boot"),
    ((*IMAGE, "image_name", "x" * 256), "$.images[0].image_name: 'xxx"),
    ((*IMAGE, "target", "/.."), "$.images[0].target: '/..' leads upwards"),
    ((*IMAGE, "boot", "yes"), "$.images[0].boot: 'yes'"),
])  # fmt: skip
def test_a_bad_document_is_refused_with_the_path(change, problem):
    found = problems(changed(*change))
    # Others may follow from it, such as an image that now has no volume.
    assert any(each.startswith(problem) for each in found), found


@pytest.mark.parametrize(("hints", "problem"), [
    ({"size": ">="},             "size: '>=' is no operator with its value"),
    ({"model": "<in>"},          "model: '<in>' is no operator with its"),
    ({"size": 9, "model": "s=="}, "model: 's==' is no operator with its"),
    ({"foo": "x"},               'The hints "foo" are invalid'),
    ({"size": "abc"},            'Root device hint "size" is not an integer'),
])  # fmt: skip
def test_hints_that_mean_no_disk_of_any_machine_are_refused(hints, problem):
    id_ = {"type": "hints", "value": hints}
    (found,) = problems(changed("partitions", 0, "id", id_))
    assert found.startswith(f"$.partitions[0].id.value: {problem}")


SHA512 = {"os_hash_algo": "sha512", "os_hash_value": "a" * 128}


@pytest.mark.parametrize(("keys", "problem"), [
    ({"checksum": "x" * 64}, "checksum: 'xxx"),
    ({"checksum": "ftp://h/s"}, "checksum: is neither a digest nor an"),
    ({**SHA512, "os_hash_value": "a" * 64}, "os_hash_value: 'aaa"),
    ({**SHA512, "os_hash_value": "https://u:secret@h/s"},
     "os_hash_value: is no sha256 or sha512 digest"),
    ({**SHA512, "image_pull_url": "rsync://h/m"},
     "os_hash_value: a directory has no checksum"),
    ({"checksum": DIGEST, "image_pull_url": "rsync://h/m"},
     "checksum: a directory has no checksum"),
])  # fmt: skip
def test_a_checksum_is_told_by_the_key_that_has_it(keys, problem):
    image = {"name": "a", "image_pull_url": "file:///a.raw"} | keys
    (found,) = problems(changed(*IMAGE, image))
    assert found.startswith(f"$.images[0].{problem}")
    assert "secret" not in found


@pytest.mark.parametrize(("url", "checksum", "warning"), [
    ("http://h/a.raw",   "http://h/sums",   "$.images[0].checksum: who can"),
    ("http://h/a.raw",   "https://h/sums",  None),
    ("http://h/a.raw",   DIGEST,            None),
    ("https://h/a.raw",  "http://h/sums",   None),
    ("https://h/a.raw",  None,              "$.images[0]: without os_hash_va"),
    ("catalog:a/b",      None,              None),
    ("rsync://h/m",      None,              None),
])  # fmt: skip
def test_what_may_arrive_changed_is_a_warning(url, checksum, warning):
    image = {"name": "a", "image_pull_url": url, "checksum": checksum}
    found = layout.parse(changed(*IMAGE, image)).warnings
    assert [each[: len(warning or "")] for each in found] == (
        [warning] if warning else []
    )


INTO = {"into": "image"}


@pytest.mark.parametrize(("own", "of_the_node", "found"), [
    (INTO | {"meta_data": {}}, None,   ["there is no system for it"]),
    (INTO | {"content": "/x"}, None,   ["there is no system for it"]),
    # That of the node may have been meant for another deployment.
    (INTO,                     None,   []),
    (INTO,                     "H4sI", []),
    (INTO | {"content": "/x"}, "H4sI", []),
    ("H4sI",                   None,   []),
])  # fmt: skip
def test_a_config_drive_needs_a_system_to_go_into(own, of_the_node, found):
    volume = {"type": "partition", "size": 1}
    lone = {**GOOD["partitions"][0], "volumes": [volume]}
    document = {"partitions": [lone], "configdrive": own}
    assert problems(document, of_the_node) == [
        f"$.configdrive: {each}" for each in found
    ]


@pytest.mark.parametrize(("volume", "keys", "problem"), [
    ({}, {"target": "/srv"},
     "target: a raw image needs a volume with the mount /srv"),
    ({"mount": "none", "file_system": "btrfs",
      "subvolumes": [{"name": "@", "mount": "/"}]}, {},
     "target: a raw image needs a volume with the mount / and no subv"),
    ({}, {"deploy": "always"},
     f"deploy: a raw image would replace all of {V0}, whose data is to be"),
])  # fmt: skip
def test_a_block_image_needs_a_volume_to_replace(volume, keys, problem):
    document = changed("partitions_policy", "verify")
    document["partitions"][0]["volumes"][0] |= volume
    document["images"][0] |= keys
    (found,) = problems(document)
    assert found.startswith(f"$.images[0].{problem}")


def test_every_problem_is_told_at_once():
    document = changed(*FIRST, "size", "1G")
    document["partitions"][0]["volumes"][1]["images"] = ["c"]
    document["images"][1]["image_pull_url"] = "http://h/b.tar"
    del document["images"][1]["checksum"]
    document["colour"] = "red"
    paths = [problem.partition(": ")[0] for problem in problems(document)]
    assert paths == [
        "$.colour",
        "$.images[1].name",
        "$.images[1].os_hash_value",
        "$.partitions[0].volumes[0].size",
        "$.partitions[0].volumes[1].images[0]",
    ]


def test_a_flaw_hides_no_other():
    document = changed(*FIRST, "mount", "home")
    document["images"][1]["image_pull_url"] = "ftp://h/x"
    document["partitions"][0]["volumes"][2]["label"] = "x" * 17
    document["partitions"][0]["volumes"][1]["lable"] = "x" * 17
    document["partitions"][0]["id"] = {"type": "nam", "value": "vda"}
    paths = [problem.partition(": ")[0] for problem in problems(document)]
    assert paths == [
        "$.images[1].image_pull_url",
        "$.partitions[0].id.type",
        f"{V0}.mount",
        "$.partitions[0].volumes[1].lable",
        "$.partitions[0].volumes[2].label",
    ]


@pytest.mark.parametrize(("flaw", "other", "paths"), [
    (("partitions", 0, "table", "mbr"), {"label": "x" * 17},
     ["$.partitions[0].table", f"{V0}.label"]),
    (("partitions", 0, "boot", "yes"), {"label": "x" * 17},
     ["$.partitions[0].boot", f"{V0}.label"]),
    ((*IMAGE, "boot", "yes"), {"label": "x" * 17},
     ["$.images[0].boot", f"{V0}.label"]),
    ((*FIRST, "mount", "home"), {"label": "x" * 17},
     [f"{V0}.label", f"{V0}.mount"]),
    ((*FIRST, "mount", "home"), {"label": "x" * 16, "name": "x"},
     [f"{V0}.mount"]),
    ((*FIRST, "mount", "Swap"), {"label": "x" * 17, "file_system": "swap"},
     [f"{V0}.label", f"{V0}.mount"]),
    ((*FIRST, "mount", "None"), {"file_system": "none"}, [f"{V0}.mount"]),
    # What is meant cannot have that value.
    ((*FIRST, "keepdata", "no"), {"images": ["c"]},
     ["$.images[0].name", f"{V0}.images[0]", f"{V0}.keepdata"]),
    # One path begins as the other does.
    ((*IMAGE, "image", "x"), {"label": "x" * 17, "size": "1G"},
     ["$.images[0].image", f"{V0}.label", f"{V0}.size"]),
    ((*FIRST, "file", "x"), {"file_system": "ext9"},
     [f"{V0}.file", f"{V0}.file_system"]),
])  # fmt: skip
def test_a_flaw_does_not_hide_what_is_around_it(flaw, other, paths):
    document = changed(*flaw)
    document["partitions"][0]["volumes"][0] |= other
    assert [p.partition(": ")[0] for p in problems(document)] == paths


CROSS = {
    "partitions": [
        {
            "type": "disk",
            "id": {"type": "name", "value": "vda"},
            "volumes": [
                {"type": "pv", "size": 9, "vg": "vgX"},
                {"type": "partition", "size": 9, "mount": "/"},
                {"type": "raid", "size": 9, "raid": "md0"},
            ],
        },
        {
            "type": "disk",
            "id": {"type": "name", "value": "vda"},
            "volumes": [
                {"type": "partition", "size": 9, "images": ["nope"]},
                {"type": "raid", "size": 9, "raid": "md0"},
            ],
        },
        {"type": "raid", "id": "md0", "level": 1},
        {
            "type": "vg",
            "id": "vg0",
            "volumes": [{"type": "lv", "size": 9, "name": "lv0"}],
        },
    ],
    "images": [
        {"name": "a", "image_pull_url": "file:///a.tar"},
        {"name": "b", "image_pull_url": "file:///b.tar"},
    ],
}
BETWEEN_OBJECTS = {
    "$.images[1].name",
    "$.partitions[0].volumes[0].vg",
    "$.partitions[1].id",
    "$.partitions[1].volumes[0].images[0]",
    "$.partitions[3].id",
}


@pytest.mark.parametrize(("flaw", "told", "hidden"), [
    (("boot", "yes"), "$.boot", ()),
    (("boot", {"loader": 7}), "$.boot.loader", ()),
    (("partitions", 1, "table", "mbr"), "$.partitions[1].table", ()),
    (("partitions", 1, "id", "type", "nam"), "$.partitions[1].id.type",
     ["$.partitions[1].id"]),
    (("partitions", 2, "level", 7), "$.partitions[2].level", ()),
    (("partitions", 2, "metadata", "2"), "$.partitions[2].metadata", ()),
    (("partitions", 2, "encryption", {"type": "luks2", "foo": 1}),
     ("$.partitions[2].encryption", "$.partitions[2].encryption.foo"), ()),
    ((*FIRST, "name", "x\n"), f"{V0}.name", ["$.partitions[3].id"]),
    ((*VOLUMES, 1, "mount", "home"), "$.partitions[0].volumes[1].mount", ()),
    ((*VOLUMES, 1, "type", "part"), "$.partitions[0].volumes[1].type",
     ["$.partitions[3].id"]),
    (("partitions", 3, "id", "a b"), "$.partitions[3].id",
     ["$.partitions[0].volumes[0].vg"]),
    (("partitions", 3, "volumes", 0, "layout", "mirror"),
     "$.partitions[3].volumes[0].layout", ["$.partitions[3].id"]),
    ((*IMAGE, "boot", "yes"), "$.images[0].boot", ()),
    ((*IMAGE, "os_hash_algo", "md5"), "$.images[0].os_hash_algo", ()),
    ((*IMAGE, "target", "srv"), "$.images[0].target",
     ["$.partitions[1].volumes[0].images[0]"]),
    # Only once the size is right is the member looked at as a whole.
    (("partitions", 0, "volumes", 2, {"type": "raid", "size": "1G"}),
     ("$.partitions[0].volumes[2]", "$.partitions[0].volumes[2].size"),
     ["$.partitions[3].id"]),
    (("partitions", 2, {"type": "raid", "id": "md 0", "name": "md0",
                        "level": 1}), "$.partitions[2].id",
     ["$.partitions[0].volumes[0].vg", "$.partitions[3].id"]),
])  # fmt: skip
def test_a_flaw_hides_nothing_between_objects(flaw, told, hidden):
    document = changed(*flaw, document=CROSS)
    paths = {problem.partition(": ")[0] for problem in problems(document)}
    # What a name or a mount that is lost with the flaw may stand for is not
    # told, nor what may be said of the flaw's own place.
    told = {told} if isinstance(told, str) else {*told}
    assert paths == told | (BETWEEN_OBJECTS - {*hidden})


def _leaves(value, *above):
    """Yield the keys that lead to every value that holds no other."""
    if not isinstance(value, dict | list):
        yield above
        return
    each = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in each:
        yield from _leaves(inner, *above, key)


# Of the classic form every flaw is told by itself.
OF_THE_LAYOUT_FORM = sorted(
    {*FOLDER.glob("*.json")} - {FOLDER / "classic.json"}
)


def is_below(path, other):
    return path == other or path.startswith((f"{other}.", f"{other}["))


@pytest.mark.parametrize(
    "file", OF_THE_LAYOUT_FORM, ids=lambda file: file.stem
)
def test_no_flaw_makes_a_problem_elsewhere(file):
    document = json.loads(file.read_text())
    for keys in _leaves(document):
        # Of an image any text may be the name, and the URL.
        text = () if "images" in keys else ("é /",)
        for flaw in ([{}], -1, *text):
            flawed = changed(*keys, flaw, document=document)
            wrong = json_path(keys)
            for path in (each.partition(": ")[0] for each in problems(flawed)):
                assert is_below(path, wrong) or is_below(wrong, path), (
                    f"{path}, where {wrong} is {flaw!r}"
                )


SECRET_URL = "https://user:S3CRET@h/i?token=S3CRET"


@pytest.mark.parametrize("flaw", [
    ("images", [SECRET_URL]), ("images", SECRET_URL), ("boot", SECRET_URL),
    ("version", SECRET_URL), ("catalog_url", "ftp://user:S3CRET@h"),
    ("configdrive", {"meta_data": {"admin_pass": "S3CRET"}, "user": "S3CRET"}),
    (*FIRST, "images", [SECRET_URL]), (*FIRST, "label", SECRET_URL),
    (*IMAGE, "image_pull_url", [SECRET_URL]), (*IMAGE, "token", "S3CRET"),
    (*IMAGE, "disk_format", SECRET_URL), (*IMAGE, "target", SECRET_URL),
    (*IMAGE, "compression", SECRET_URL), (*IMAGE, "os_hash_algo", SECRET_URL),
    (*IMAGE, "os_hash_algo", "x" * 40 + SECRET_URL),
    (*IMAGE, "deploy", "user:S3CRET@h::module"),
    ("deploy_data", {"kernel_params": f"\n ks={SECRET_URL}"}),
])  # fmt: skip
def test_no_secret_is_told_not_even_by_a_traceback(flaw):
    with pytest.raises(LayoutErrors) as raised:
        layout.parse(changed(*flaw))
    assert "S3CRET" not in "".join(traceback.format_exception(raised.value))


def test_no_secret_of_the_classic_form_is_told_by_a_traceback():
    with pytest.raises(LayoutErrors) as raised:
        layout.parse(CLASSIC | {"image_server_password": [SECRET_URL]})
    assert "S3CRET" not in "".join(traceback.format_exception(raised.value))


def test_a_volume_without_a_name_is_called_by_its_type():
    group = {
        "type": "vg",
        "id": "vg0",
        "volumes": [{"type": "lv", "size": 1}, {"type": "lv", "size": 1}],
    }
    document = changed("partitions", 1, group)
    document["partitions"][0]["volumes"].append(
        {"type": "pv", "size": 99, "vg": "vg0"}
    )
    assert problems(document) == [
        "$.partitions[1].volumes[1].name: a second 'lv' in the group"
    ]
    group["volumes"].pop()
    assert layout.parse(document).groups[0].volumes[0].name == "lv"


@pytest.mark.parametrize("role", ["esp", "bios_boot", "multiboot"])
def test_a_service_partition_can_be_made_anew(role):
    volume = {"type": role, "keep_data": False}
    parsed = layout.parse(changed(*VOLUMES, 3, volume))
    assert not parsed.disks[0].volumes[3].content.keep_data


def test_the_schema_knows_that_a_budget_is_no_share():
    schema = layout.json_schema()["$defs"]
    size, budget = (
        next(
            each["pattern"]
            for each in schema[kind]["properties"]["size"]["anyOf"]
            if "pattern" in each
        )
        for kind in ("Partition", "Disk")
    )
    for text, is_size, is_budget in (
        ("9 GiB", True, True), (" 9.5KB ", True, True), ("9", True, True),
        ("40%", True, False), ("remaining", True, False), ("9G", False, False),
    ):  # fmt: skip
        assert bool(re.search(size, text)) == is_size
        assert bool(re.search(budget, text)) == is_budget


def test_a_partition_may_be_called_anything_that_a_gpt_can_say():
    for name in ("EFI System", "Dätä / 1", "ä" * 36):
        assert problems(changed(*FIRST, "name", name)) == []


def test_two_block_images_cannot_be_one_volume():
    tools = {
        "name": "tools", "image_type": "data", "checksum": DIGEST,
        "image_pull_url": "file:///tools.raw",
    }  # fmt: skip
    document = changed("images", 2, tools)
    document["partitions"][0]["volumes"][0]["images"] = ["a", "tools"]
    assert problems(document) == [
        f"$.images[2].target: the image 'a' is all of {V0} already"
    ]
    for harmless in ({"deploy": "never"}, {"disk_format": "tar"}):
        document["images"][2] = tools | harmless
        assert problems(document) == []


def test_what_only_follows_from_a_flaw_is_not_told():
    document = changed(*FIRST, "mount", "home")
    assert [p.partition(": ")[0] for p in problems(document)] == [
        f"{V0}.mount"
    ]


@pytest.mark.parametrize(("policy", "keys", "deploy", "refused"), [
    ("verify", {"keep_data": False}, "auto",   True),
    ("verify", {"keep_data": False}, "always", False),
    ("verify", {},                   "auto",   False),
    ("clean",  {"keep_data": False}, "auto",   False),
])  # fmt: skip
def test_no_kernel_of_a_system_that_stays_is_wiped(
    policy, keys, deploy, refused
):
    boot = {"type": "partition", "size": 9, "mount": "/boot", **keys}
    document = changed(*VOLUMES, 3, boot)
    document["partitions_policy"] = policy
    document["images"][0] |= {"deploy": deploy, "disk_format": "tar"}
    assert problems(document) == (
        ["$.partitions[0].volumes[3].keep_data: leaves no kernel of a, which"
         " is not deployed again"] if refused else []
    )  # fmt: skip


def test_two_defaults_to_boot_are_one_too_many():
    document = changed(*IMAGE, "boot", True)
    document["images"][1]["boot"] = True
    assert problems(document) == [
        "$.images[1].boot: $.images[0] is the default already"
    ]


@pytest.mark.parametrize("secret", ["p4ssw0rd", "t0ken"])
def test_secrets_of_urls_are_in_no_message(secret):
    document = changed(
        *IMAGE, "image_pull_url", "http://u:p4ssw0rd@h/a.raw?t=t0ken"
    )
    document["images"][0]["disk_format"] = "dir"
    found = problems(document)
    assert found
    assert secret not in "".join(found)


@pytest.mark.parametrize("other", [None, 3, "x", [], True])
def test_what_is_no_object_is_refused(other):
    assert problems(other) == ["$: is not a JSON object"]


def test_defaults_follow_from_what_is_written():
    parsed = layout.parse(GOOD)
    root_a, root_b, swap = parsed.disks[0].volumes
    assert (root_a.name, swap.name) == ("root", "swap")
    assert (root_b.content.file_system, swap.content.file_system) == (
        "ext4", "swap",
    )  # fmt: skip
    assert swap.content.images == ("a",)
    assert [image.disk_format for image in parsed.images] == ["raw", "tar"]
    assert parsed.boot.serial == "ttyS0,115200"
    assert parsed.rsync_flags == ("-a", "-A", "-X")


@pytest.mark.parametrize(("url", "disk_format", "compression"), [
    ("file:///x",                  "raw",      "none"),
    ("file:///x.img.gz",           "raw",      "gzip"),
    ("https://h/x.raw.zst?a=.tar", "raw",      "zstd"),
    ("file:///x.qcow2",            "qcow2",    "none"),
    ("file:///x.tar",              "tar",      "none"),
    ("file:///x.tar.xz",           "tar",      "xz"),
    ("file:///x.tar.bz2",          "tar",      "none"),
    ("file:///x.squashfs",         "squashfs", "none"),
    ("file:///x.squashfs.zst",     "squashfs", "zstd"),
    ("rsync://h/m/p",              "dir",      "none"),
    ("rsync://h/m/p.tar.gz",       "dir",      "none"),
    ("h::m/p",                     "dir",      "none"),
    ("u@h:/p",                     "dir",      "none"),
])  # fmt: skip
def test_the_url_declares_the_format(url, disk_format, compression):
    document = changed(*IMAGE, "image_pull_url", url)
    del document["images"][0]["checksum"]
    image = layout.parse(document).images[0]
    assert (image.disk_format, image.compression) == (
        disk_format, compression,
    )  # fmt: skip


@pytest.mark.parametrize("label", ["a+b", "a.b", "ü"])
def test_a_label_that_no_fat_can_have_is_refused(label):
    volume = {"type": "partition", "size": 1, "label": label}
    document = changed(*VOLUMES, 3, volume | {"file_system": "vfat"})
    assert problems(document) == [
        "$.partitions[0].volumes[3].label:"
        f" {label!r} has a character that it cannot have"
    ]


def test_no_two_filesystems_have_one_uuid():
    document = changed(*FIRST, "uuid", NIL_UUID.replace("0", "a"))
    document["partitions"][0]["volumes"][1]["uuid"] = NIL_UUID.replace(
        "0", "A"
    )
    assert len(problems(document)) == 1
    assert problems(document)[0].startswith(
        "$.partitions[0].volumes[1].uuid: "
    )


@pytest.mark.parametrize("flags", [
    "", "-a -A -X --timeout 86400", "-aP --exclude '/lost found' --progress",
])  # fmt: skip
def test_rsync_flags_are_split_as_words(flags):
    document = changed("image_deploy_flags", {"rsync_flags": flags})
    assert problems(document) == []


CLASSIC = {"urls": ["file:///secret"], "root_mb": 10}


@pytest.mark.parametrize("key", [
    "id", "checksum", "os_hash_algo", "os_hash_value", "disk_format",
    "container_format", "kernel", "ramdisk", "root_gb", "swap_mb",
    "ephemeral_mb", "ephemeral_format", "configdrive", "preserve_ephemeral",
    "image_type", "deploy_boot_mode", "disk_label", "proxies",
])  # fmt: skip
def test_null_in_the_classic_form_is_as_nothing(key):
    assert layout.parse(CLASSIC | {key: None}) == layout.parse(CLASSIC)


@pytest.mark.parametrize("disk_format", ["tar", "squashfs", "dir"])
def test_only_a_block_image_brings_a_whole_disk(disk_format):
    whole = CLASSIC | {"image_type": "whole-disk", "disk_format": disk_format}
    problem = f"$.disk_format: '{disk_format}' does not bring a whole disk"
    assert problem in problems(whole)


@pytest.mark.parametrize(("keys", "problem"), [
    ({"os_hash_algo": "sha512", "checksum": DIGEST}, "$.checksum: '0123"),
    ({"os_hash_value": "http://h/s"}, "$.os_hash_value: is no sha256 or sha5"),
    ({"checksum": "http://h/s"}, None),
    ({"os_hash_value": DIGEST}, None),
])  # fmt: skip
def test_only_a_classic_checksum_can_be_a_url(keys, problem):
    found = problems(CLASSIC | keys)
    assert [each[: len(problem or "")] for each in found] == (
        [problem] if problem else []
    )


BASIC = {"image_server_auth_strategy": "http_basic"}


@pytest.mark.parametrize(("document", "paths"), [
    ({"urls": ["http://x/y.raw"], "disk_label": "foo", "root_gb": 5},
     ["$.disk_label", "$.os_hash_value"]),
    ({"id": "x", "image_type": "partition"}, ["$", "$.urls"]),
    ({"urls": ["ftp://x/y.raw"], "swap_mb": -1},
     ["$", "$.swap_mb", "$.urls[0]"]),
    ({"urls": ["http://x/y.raw"], **BASIC}, ["$", "$", "$.os_hash_value"]),
    ({"urls": [7], "root_mb": "x", **BASIC}, ["$", "$.root_mb", "$.urls[0]"]),
    ({"urls": ["file:///x"], "root_gb": -1}, ["$.root_gb"]),
    ({"urls": ["file:///x"], "image_type": "foo"}, ["$.image_type"]),
    ({"urls": ["file:///x"], "root_mb": 1, **BASIC, "image_server_user": 5},
     ["$.image_server_user"]),
    ({"urls": ["http://x/y"], "root_mb": 1, "checksum": 5}, ["$.checksum"]),
    ({"urls": ["http://x/y"], "checksum": "x", "root_mb": -1},
     ["$.checksum", "$.root_mb"]),
])  # fmt: skip
def test_every_problem_of_the_classic_form_is_told_at_once(document, paths):
    assert [each.partition(": ")[0] for each in problems(document)] == paths


@pytest.mark.parametrize(("given", "name"), [
    ("4f1d", "4f1d"), ("x.qcow2?signature=secret", "x.qcow2"), ("", None),
    ("x" * 256, None), ("?secret", None), ("a\nb", None),
])  # fmt: skip
def test_the_id_of_the_classic_form_is_a_name_or_nothing(given, name):
    (image,) = layout.parse(CLASSIC | {"id": given}).images
    assert (image.image_name, image.image_uuid) == (name or "image", name)


@pytest.mark.parametrize(("keys", "access"), [
    ({}, Access()),
    ({"image_server_user": "u", "image_server_password": "p"}, Access()),
    (BASIC | {"image_server_user": "u", "image_server_password": "p"},
     Access("Basic dTpw")),
    ({"image_request_authorization": "QmVhcmVyIHRva2Vu"},
     Access("Bearer token")),
    ({"proxies": {"http": "http://p"}, "no_proxy": "a,b"},
     Access(None, (("http", "http://p"),), "a,b")),
])  # fmt: skip
def test_the_classic_form_says_how_its_server_is_spoken_to(keys, access):
    (image,) = layout.parse(CLASSIC | keys).images
    assert image.access == access
    assert "token" not in repr(image)


@pytest.mark.parametrize("keys", [
    BASIC, BASIC | {"image_server_user": "secret"},
    {"image_request_authorization": "secret"},
    {"image_request_authorization": "c2VjcmV0Cg=="},
    {"image_request_authorization": 7, "image_server_password": ["secret"]},
    {"proxies": {"http": ["secret"]}}, {"proxies": "secret"},
])  # fmt: skip
def test_what_is_no_way_to_speak_to_a_server_is_told_without_secrets(keys):
    assert problems(CLASSIC | keys)
    assert "secret" not in "".join(problems(CLASSIC | keys))


DEEP: list[object] = []
for _ in range(300):
    DEEP = [DEEP]


@pytest.mark.parametrize("document", [
    {"partitions": DEEP}, CLASSIC | {"kernel": DEEP},
    {"partitions": "\ud800"}, CLASSIC | {"kernel": "\ud800"},
])  # fmt: skip
def test_json_that_no_parser_takes_is_one_problem_and_shows_nothing(document):
    (problem,) = problems(document)
    assert problem.startswith("$: invalid JSON: ")
    assert "secret" not in problem


def test_names_match_exactly():
    document = changed(*IMAGE, "name", "a-7")
    assert [problem.partition(":")[0] for problem in problems(document)] == [
        "$.images[0].name",
        f"{V0}.images[0]",
    ]


def test_a_long_mount_makes_a_name_that_fits():
    document = changed(*FIRST, "mount", "/srv/" + "x" * 60)
    document["images"].pop(0)
    for each in document["partitions"][0]["volumes"][::2]:
        each["images"] = ["b"]
    names = [v.name for v in layout.parse(document).disks[0].volumes]
    assert names[0] == "srv-" + "x" * 32


def test_the_schema_knows_every_key():
    schema = layout.json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {
        "partitions_policy", "partitions", "images", "image_deploy_flags",
        "deploy_data", "boot", "configdrive", "catalog_url", "version",
    }  # fmt: skip
    json.dumps(schema)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "id", "size", "volumes", "<raid>"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(JSON, st.sampled_from([FIRST, IMAGE, VOLUMES, ("partitions",)]))
def test_no_json_makes_it_stumble(value, where):
    document = copy.deepcopy(GOOD)
    *path, last = where
    holder = document
    for key in path:
        holder = holder[key]
    holder[last] = value
    for problem in problems(document):
        assert problem.startswith("$")
