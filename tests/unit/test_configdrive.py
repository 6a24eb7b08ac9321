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

"""The config drive: its forms, and what is none."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from ipa_partitions.deploy import Request, make_plan
from ipa_partitions.disk.machine import Disk
from ipa_partitions.errors import ImageError, LayoutErrors
from ipa_partitions.images.configdrive import (
    HIDDEN,
    ConfigDrive,
    read_configdrive,
    render,
)
from ipa_partitions.layout import parse

DRIVE = b"an ISO\0" * 1000
GZIPPED = gzip.compress(DRIVE)
PACKED = base64.b64encode(GZIPPED)
LIMIT = len(DRIVE)


def test_base64_of_a_gzipped_drive_is_unpacked():
    assert read_configdrive(PACKED.decode(), LIMIT) == DRIVE
    broken = base64.encodebytes(GZIPPED).decode()
    assert read_configdrive(broken, LIMIT) == DRIVE


@pytest.mark.parametrize("content", [PACKED, GZIPPED, DRIVE])
def test_a_file_may_be_packed_or_not(tmp_path, content):
    (tmp_path / "drive").write_bytes(content)
    assert read_configdrive(str(tmp_path / "drive"), LIMIT) == DRIVE
    assert read_configdrive(f"file://{tmp_path}/drive", LIMIT) == DRIVE


@pytest.mark.parametrize(("drive", "problem"), [
    ("!secret!",                               "is not base64 of something"),
    ("name",                                   "is not base64 of something"),
    (base64.b64encode(DRIVE).decode(),         "is not base64 of something"),
    (base64.b64encode(GZIPPED[:-8]).decode(),  "is cut short"),
    (base64.b64encode(gzip.compress(DRIVE + b"x")).decode(), "larger than"),
    ("/nowhere/drive",                         "No such file"),
    ("/tmp",                                   "Is a directory"),
    ("http://u:secret@h:x/",                   "has no sound URL"),
    ("http://127.0.0.1:secret/x",              "has no sound URL"),
    ("http:///secret",                         "has no sound URL"),
    (HIDDEN,                                   "is hidden: Ironic shows it"),
])  # fmt: skip
def test_what_is_no_config_drive_is_refused(drive, problem):
    with pytest.raises(ImageError, match=problem) as caught:
        read_configdrive(drive, LIMIT)
    assert "secret" not in str(caught.value)


PARTS = {
    "meta_data": {"uuid": "u", "name": "n"},
    "user_data": "#cloud-config",
    "network_data": {"links": []},
    "vendor_data": {"a": 1},
}


def test_an_object_becomes_the_files_that_readers_look_for():
    files = render(PARTS)
    for version in ("latest", "2012-08-10"):
        here = f"openstack/{version}"
        assert json.loads(files[f"{here}/meta_data.json"]) == {
            "uuid": "u",
            "name": "n",
        }
        assert files[f"{here}/user_data"] == b"#cloud-config"
        assert json.loads(files[f"{here}/network_data.json"]) == {"links": []}
        assert json.loads(files[f"{here}/vendor_data.json"]) == {"a": 1}
        assert json.loads(files[f"{here}/vendor_data2.json"]) == {"a": 1}
    assert len(files) == 10


def test_user_data_may_be_json_and_what_is_not_there_has_no_file():
    files = render({"meta_data": {"uuid": "u"}, "user_data": [1]})
    assert files["openstack/latest/user_data"] == b"[1]"
    assert len(files) == 4


def test_an_instance_always_has_a_uuid():
    def uuid_of(parts, node=None):
        text = render(parts, node)["openstack/latest/meta_data.json"]
        return json.loads(text)["uuid"]

    assert uuid_of(PARTS, "node") == "u"
    assert uuid_of({"user_data": "a"}, "node") == "node"
    assert uuid_of({"user_data": "a"}) == uuid_of({"user_data": "a"})
    assert uuid_of({"user_data": "a"}) != uuid_of({"user_data": "b"})


DISK = {"type": "disk", "id": {"type": "name", "value": "vda"}}
ROOT = {"type": "partition", "size": "remaining", "mount": "/"}
DOCUMENT = {
    "partitions_policy": "clean",
    "partitions": [DISK | {"volumes": [ROOT]}],
    "images": [{"name": "one", "image_pull_url": "file:///one.tar"}],
}
URL = "http://drive"


@pytest.mark.parametrize(("own", "beside", "drive"), [
    (None,                            None,  None),
    ({"into": "image"},               None,  None),
    ({},                              None,  None),
    (URL,                             None,  ConfigDrive(URL)),
    (PARTS,                           None,  ConfigDrive(PARTS)),
    (PARTS | {"into": "image"},       None,  ConfigDrive(PARTS, "image")),
    ({"into": "image", "content": URL}, None, ConfigDrive(URL, "image")),
    ({"into": "image"},               URL,   ConfigDrive(URL, "image")),
    ({"into": "image"},               PARTS, ConfigDrive(PARTS, "image")),
    ({"into": "image"} | PARTS,       URL,   ConfigDrive(URL, "image")),
    ({"into": "image"}, PARTS | {"into": "partition"}, ConfigDrive(PARTS)),
    (PARTS,                           URL,   ConfigDrive(URL)),
    ({"meta_data": {}, "user_data": None}, None,
     ConfigDrive({"meta_data": {}})),
])  # fmt: skip
def test_a_document_has_one_or_says_where_it_goes(own, beside, drive):
    given = DOCUMENT if own is None else DOCUMENT | {"configdrive": own}
    assert parse(given, beside).configdrive == drive


@pytest.mark.parametrize(("own", "paths"), [
    ("", [""]),
    ("secret", [""]),
    ("ftp://h/secret", [""]),
    (base64.b64encode(b"secret").decode(), [""]),
    (7, [""]),
    (["secret"], [""]),
    ({"into": "secret"}, [".into"]),
    ({"into": None, "secret_key": 1}, [".into", ".secret_key"]),
    ({"content": URL, "meta_data": {}}, [""]),
    ({"content": ["secret"]}, [".content"]),
    ({"content": "secret"}, [".content"]),
    ({"meta_data": "secret", "user_data": 7, "network_data": ["secret"]},
     [".meta_data", ".network_data", ".user_data"]),
])  # fmt: skip
def test_what_is_none_is_refused_without_what_is_in_it(own, paths):
    with pytest.raises(LayoutErrors) as caught:
        parse(DOCUMENT | {"configdrive": own})
    found = [each.at.removeprefix("$.configdrive") for each in
             caught.value.errors]  # fmt: skip
    assert found == paths
    assert "secret" not in str(caught.value).replace("secret_key", "")


def plan_of(drive, **disk):
    request = Request(
        DOCUMENT | {"configdrive": drive},
        firmware="bios",
        imagined=(Disk("/dev/vda", 8 * 1024**3, **disk),),
    )
    return [str(action) for action in make_plan(request).actions]


def test_a_partition_is_made_only_for_one_that_goes_there():
    there = "write the config drive to /dev/vda2"
    inside = (
        "write the config drive into one at /var/lib/cloud/seed/config_drive"
    )
    plan = plan_of(PARTS)
    assert there in plan
    assert not [text for text in plan if text.startswith(inside[:27])]
    plan = plan_of(PARTS | {"into": "image"})
    assert inside in plan
    assert not [text for text in plan if "config-2" in text]
