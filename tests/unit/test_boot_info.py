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
from dataclasses import replace

import pytest

from ipa_partitions import boot_info
from ipa_partitions.boot.grubenv import parse_environment, render_environment
from ipa_partitions.errors import ImageError, MachineError

CENTOS = {
    "grub_id": 0,
    "image_name": "centos-7.1.1503",
    "os_id": "centos",
    "image_uuid": "2a86b00d-cfa4-49d9-a008-13c7940ed02d",
    "boot_name": "CentOS Linux release 7.1.1503 (Core) (on /dev/vda3)",
    "root_uuid": "2abf123d-d52f-4f62-a351-7358221bc51f",
}
UBUNTU = {
    "grub_id": 1,
    "image_name": "ubuntu-14.04.3",
    "os_id": "ubuntu",
    "image_uuid": None,
    "boot_name": "Ubuntu 14.04.3 LTS (14.04) (on /dev/vda4)",
    "root_uuid": "c27f0a2f-8c5e-4b43-a4ba-d1b9d0b8b3f3",
}
DOCUMENT = {
    "elements": [CENTOS, UBUNTU],
    "current_element": 0,
    "multiboot_partition": "3b360901-7896-48d4-a14d-fc35e1582c74",
}


def element(grub_id: int, os_id: str, name: str, uuid: str | None = None):
    return boot_info.Element(grub_id, name, os_id, uuid, "x", "0a")


@pytest.fixture
def info():
    return boot_info.BootInfo.from_json(json.dumps(DOCUMENT))


@pytest.fixture
def directory(tmp_path, info):
    (tmp_path / "grub").mkdir()
    boot_info.write(tmp_path, info)
    save(tmp_path, saved_entry="0")
    return tmp_path


def save(directory, **variables):
    (directory / "grub/grubenv").write_bytes(render_environment(variables))


def saved(directory):
    return parse_environment((directory / "grub/grubenv").read_bytes())


def test_the_json_is_exactly_that_of_the_contract(info):
    assert info.to_json() == DOCUMENT
    assert json.dumps(info.to_json()) == json.dumps(DOCUMENT)


@pytest.mark.parametrize(("change", "problem"), [
    ({"elements": []},                        "current_element is no"),
    ({"elements": [UBUNTU]},                  "not 0, 1, 2"),
    ({"elements": [CENTOS, CENTOS]},          "not 0, 1, 2"),
    ({"elements": [{**CENTOS, "x": 1}]},      "elements.0.x: Unexpected"),
    ({"elements": [{**CENTOS, "grub_id": "0"}]}, "elements.0.grub_id"),
    ({"elements": [{**CENTOS, "grub_id": False}]}, "elements.0.grub_id"),
    ({"elements": [{**CENTOS, "root_uuid": None}]}, "elements.0.root_uuid"),
    ({"elements": {}},                        "elements"),
    ({"current_element": 2},                  "current_element is no"),
    ({"current_element": -1},                 "current_element is no"),
    ({"current_element": "0"},                "current_element"),
    ({"multiboot_partition": 1},              "multiboot_partition"),
    ({"x": None},                             "x: Unexpected"),
])  # fmt: skip
def test_json_that_is_not_exact_is_refused_by_name(change, problem):
    with pytest.raises(ImageError, match=problem):
        boot_info.BootInfo.from_json(json.dumps({**DOCUMENT, **change}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "NaN"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(ImageError, match=r"boot-info\.json"):
        boot_info.BootInfo.from_json(text)


@pytest.mark.parametrize(("image", "grub_id"), [
    ("centos",                                0),
    ("ubuntu",                                1),
    ("ubuntu-14.04.3",                        1),
    ("2a86b00d-cfa4-49d9-a008-13c7940ed02d",  0),
    (0,                                       0),
    (1,                                       1),
    ("1",                                     1),
])  # fmt: skip
def test_an_image_is_meant_by_name_uuid_or_grub_id(info, image, grub_id):
    assert info.element(image).grub_id == grub_id


@pytest.mark.parametrize("image", ["cent", "Centos", "", "2", 2, -1, "01",
                                   " 1", "None", None])  # fmt: skip
def test_an_unknown_image_is_an_error_that_lists_the_choices(info, image):
    with pytest.raises(MachineError) as error:
        info.element(image)

    assert repr(image) in str(error.value)
    assert "0: centos (centos-7.1.1503" in str(error.value)
    assert "1: ubuntu (ubuntu-14.04.3" in str(error.value)


@pytest.mark.parametrize(("image", "grub_id"), [
    ("a",    0),     # an os_id, though also the image_name of the other
    ("b",    1),
    ("u",    None),  # one image deployed twice
    ("1",    2),     # an os_id, not the entry number 1
    (1,      1),
    ("2",    2),
])  # fmt: skip
def test_names_come_before_numbers_and_os_ids_before_images(image, grub_id):
    info = boot_info.BootInfo(
        (
            element(0, "a", "x", "u"),
            element(1, "b", "a", "u"),
            element(2, "1", "y"),
        ),
        0,
        None,
    )
    if grub_id is None:
        with pytest.raises(MachineError, match="means more than one"):
            info.element(image)
    else:
        assert info.element(image).grub_id == grub_id


@pytest.mark.parametrize(("saved_entry", "current"), [
    ("0", 0), ("1", 1), ("ubuntu", 1), ("7", 0), ("", 0), ("nothing", 0),
])  # fmt: skip
def test_the_default_is_what_grub_will_take(directory, saved_entry, current):
    save(directory, saved_entry=saved_entry)

    assert boot_info.read(directory).current_element == current


def test_a_saved_number_is_an_index_even_if_an_image_is_named_so(directory):
    named = boot_info.BootInfo(
        (element(0, "1", "x"), element(1, "0", "y")), 0, None
    )
    boot_info.write(directory, named)
    save(directory, saved_entry="1")

    assert boot_info.read(directory).current_element == 1


def test_switching_sets_the_default_and_forgets_what_was_next(directory, info):
    save(directory, saved_entry="0", next_entry="0", other="x")

    switched = boot_info.switch(directory, "ubuntu")

    assert switched == replace(info, current_element=1)
    assert boot_info.read(directory) == switched
    assert saved(directory) == {"saved_entry": "1", "other": "x"}


def test_switching_once_leaves_the_default(directory, info):
    assert boot_info.switch(directory, 1, once=True) == info
    assert saved(directory) == {"saved_entry": "0", "next_entry": "1"}


def test_a_switch_never_leaves_half_a_default(directory):
    """Who has it open, as after a loss of power, has all of the old one."""
    with (directory / "grub/grubenv").open("rb") as before:
        boot_info.switch(directory, "ubuntu")
        assert parse_environment(before.read())["saved_entry"] == "0"
    assert saved(directory)["saved_entry"] == "1"
    assert [p.name for p in (directory / "grub").iterdir()] == ["grubenv"]


def test_a_switch_to_nothing_changes_nothing(directory):
    with pytest.raises(MachineError, match="'windows' is none of"):
        boot_info.switch(directory, "windows")
    assert saved(directory) == {"saved_entry": "0"}


def test_a_link_in_the_place_of_a_file_is_replaced(directory, tmp_path, info):
    canary = tmp_path / "canary"
    canary.write_text("mine")
    (directory / boot_info.NAME).unlink()
    (directory / boot_info.NAME).symlink_to(canary)

    boot_info.write(directory, info)

    assert canary.read_text() == "mine"
    assert boot_info.read(directory) == info
