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

from ipa_partitions.errors import LayoutErrors
from ipa_partitions.layout.sources import find

STEP = {"from": "step"}
NAMED = {"from": "layout"}
INSTANCE = {"from": "instance"}
DEFAULT = {"from": "default"}
RAMDISK = {"from": "ramdisk"}
IN_RAMDISK = {"from": "ramdisk layout"}
VOLUMES = [{"type": "partition", "mount": "/", "images": ["debian"]}]
WITHOUT_IMAGES = {"partitions": [{"type": "disk", "volumes": VOLUMES}]}

NODE = {
    "instance_info": {"image_info": INSTANCE},
    "extra": {"default_image_info": DEFAULT, "layouts": {"ceph": NAMED}},
}
ONLY_EXTRA = {"instance_info": {}, "extra": NODE["extra"]}
NOTHING = {"instance_info": None, "extra": {}}


@pytest.fixture
def ramdisk(tmp_path):
    (tmp_path / "layouts").mkdir()
    (tmp_path / "default.json").write_text(json.dumps(RAMDISK))
    (tmp_path / "layouts" / "ceph.json").write_text("not read")
    (tmp_path / "layouts" / "lvm.json").write_text(json.dumps(IN_RAMDISK))
    return tmp_path


@pytest.mark.parametrize(("node", "arguments", "found"), [
    (NODE,       {"image_info": STEP}, STEP),
    (NODE,       {"layout": "ceph"},   NAMED),       # before the ramdisk's
    (NODE,       {"layout": "lvm"},    IN_RAMDISK),
    (NODE,       {},                   INSTANCE),
    (ONLY_EXTRA, {},                   DEFAULT),
    (NOTHING,    {},                   RAMDISK),
    ({},         {},                   RAMDISK),
    (NODE,       {"image_info": {}},   {}),          # empty, and yet given
])  # fmt: skip
def test_the_first_place_that_has_a_document_is_taken(
    ramdisk, node, arguments, found
):
    before = json.dumps(node)
    assert find(node, **arguments, ramdisk=ramdisk).image_info == found
    assert json.dumps(node) == before


@pytest.mark.parametrize(("arguments", "problem"), [
    ({"image_info": STEP, "layout": "ceph"}, "both image_info and layout"),
    ({"layout": "zfs"},          "'zfs' is not known; known are: ceph, lvm"),
    ({"layout": "../default"},   "'../default' is not a name"),
    ({"layout": 7},              "7 is not a name"),
])  # fmt: skip
def test_a_wrong_choice_is_refused(ramdisk, arguments, problem):
    with pytest.raises(LayoutErrors) as error:
        find(NODE, **arguments, ramdisk=ramdisk)
    assert problem in str(error.value)


def test_none_found_is_an_error_that_names_all_places(tmp_path):
    with pytest.raises(LayoutErrors) as error:
        find(NOTHING, ramdisk=tmp_path)
    for place in ("step", "instance_info", "extra", str(tmp_path)):
        assert place in str(error.value)


CLASSIC = {
    "image_source": "http://images/debian.raw",
    "image_os_hash_algo": "sha256",
    "image_os_hash_value": "f" * 64,
    "image_checksum": "e" * 32,
    "image_disk_format": "raw",
    "image_type": "partition",
}
URL = {"name": "debian", "image_pull_url": "http://images/debian.raw"}


@pytest.mark.parametrize(("document", "instance", "images"), [
    (WITHOUT_IMAGES, CLASSIC, [
        URL | {"os_hash_algo": "sha256", "os_hash_value": "f" * 64,
               "disk_format": "raw"},
    ]),
    (WITHOUT_IMAGES, {"image_source": URL["image_pull_url"],
                      "image_checksum": "d" * 64},
     [URL | {"checksum": "d" * 64}]),
    (WITHOUT_IMAGES, {}, None),
    (WITHOUT_IMAGES | {"images": []}, CLASSIC, []),
    # What Ironic takes all for that it does not know better.
    ({"partitions": []}, {"image_source": "file:///x",
                          "image_type": "whole-disk"},
     [{"name": "image", "image_pull_url": "file:///x"}]),
])  # fmt: skip
def test_a_document_without_images_takes_the_instance_s(
    document, instance, images
):
    found = find({"instance_info": instance}, image_info=document)
    assert found.image_info.get("images") == images
    assert "images" not in WITHOUT_IMAGES


OWN = WITHOUT_IMAGES | {"configdrive": "http://own"}
PLACED = WITHOUT_IMAGES | {"configdrive": {"into": "image"}}


@pytest.mark.parametrize(("document", "argument", "instance", "taken"), [
    (WITHOUT_IMAGES, None, None,     None),
    (WITHOUT_IMAGES, None, "node's", "node's"),
    (WITHOUT_IMAGES, "arg", "node's", "arg"),
    (OWN,            None, "node's", None),      # the document has its own
    (OWN,            "arg", None,    "arg"),
    (PLACED,         None, "node's", "node's"),  # it says only where
])  # fmt: skip
def test_a_config_drive_comes_from_the_nearest_place(
    document, argument, instance, taken
):
    node = {"instance_info": {"configdrive": instance}}
    found = find(node, image_info=document, configdrive=argument)
    assert found.configdrive == taken
