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

"""The image catalog: URLs, versions, keyrings."""

from __future__ import annotations

import base64

import pytest

from ipa_partitions.deploy import Request, make_plan
from ipa_partitions.disk.machine import Disk
from ipa_partitions.images import catalog
from ipa_partitions.images.simplestreams import parse_keyring, version_key
from ipa_partitions.layout import parse
from ipa_partitions.locate import Servers, told

KEYRING = b"\x99\x01keys"
PACKED = base64.b64encode(KEYRING).decode()
ARMOR = f"""-----BEGIN PGP PUBLIC KEY BLOCK-----
Version: GnuPG

{PACKED[:6]}
{PACKED[6:]}
=abcd
-----END PGP PUBLIC KEY BLOCK-----
"""


@pytest.mark.parametrize(("url", "wanted"), [
    ("catalog:ubuntu/noble",        ("ubuntu", "noble", None)),
    ("catalog:ubuntu/24.04/stable", ("ubuntu", "24.04", "stable")),
])  # fmt: skip
def test_a_url_is_a_system_a_release_and_maybe_a_label(url, wanted):
    assert catalog.parse_catalog_url(url) == wanted
    assert str(catalog.parse_catalog_url(url)) == url


def test_newer_versions_are_greater():
    versions = [
        "", "2023", "20240101", "20240101.1", "20240101.2", "20240101.10",
        "20240102", "2" * 5000,
    ]  # fmt: skip
    keys = [version_key(version) for version in versions]
    assert keys == sorted(keys)
    assert len({*keys}) == len(keys)


@pytest.mark.parametrize("text", [
    PACKED, f"{PACKED[:4]}\n{PACKED[4:]}\n", ARMOR, f"hello\n{ARMOR}",
    ARMOR.replace("\n", "\r\n"), ARMOR.replace("Version: GnuPG\n", ""),
    ARMOR.replace("=abcd\n", ""), base64.b64encode(ARMOR.encode()).decode(),
])  # fmt: skip
def test_a_keyring_is_base64_or_armor(text):
    assert parse_keyring(text) == KEYRING


@pytest.mark.parametrize("text", ["", "&", "-----BEGIN PGP X-----\n\n&\n"])
def test_what_is_no_keyring_is_refused(text):
    with pytest.raises(ValueError):
        parse_keyring(text)


DISK = {"type": "disk", "id": {"type": "name", "value": "vda"}}
ROOT = {"type": "partition", "size": "remaining", "mount": "/"}
DOCUMENT = {
    "partitions_policy": "clean",
    "partitions": [DISK | {"volumes": [ROOT]}],
    "images": [{"name": "one", "image_pull_url": "catalog:debian/13"}],
}


@pytest.mark.parametrize(("own", "doors", "kernel", "taken"), [
    ("http://a", "http://b", "http://c", "http://a"),
    (None,       "http://b", "http://c", "http://b"),
    (None,       None,       "http://c", "http://c"),
    (None,       None,       None,       None),
])  # fmt: skip
def test_the_document_goes_before_the_kernel_command_line(
    tmp_path, monkeypatch, own, doors, kernel, taken
):
    line = tmp_path / "cmdline"
    word = f"ipa-partitions-catalog-url={kernel}" if kernel else ""
    line.write_text(f"quiet xipa-partitions-catalog-url=no {word} x=y\n")
    monkeypatch.setattr(catalog, "_KERNEL_COMMAND_LINE", line)
    layout = parse(DOCUMENT | {"catalog_url": own})
    assert told(layout, Servers(catalog_url=doors)).catalog_url == taken


@pytest.mark.parametrize(("text", "uuid"), [
    ("4C4C4544-0042-4810-8056-B4C04F333732\n",
     "4c4c4544-0042-4810-8056-b4c04f333732"),
    ("Not Settable\n", "00000000-0000-0000-0000-000000000000"),
    (None, "00000000-0000-0000-0000-000000000000"),
])  # fmt: skip
def test_a_machine_without_a_node_has_the_uuid_of_its_firmware(
    tmp_path, monkeypatch, text, uuid
):
    file = tmp_path / "product_uuid"
    if text:
        file.write_text(text)
    monkeypatch.setattr(catalog, "_FIRMWARE_UUID", file)
    assert catalog.machine_uuid() == uuid


def test_on_imagined_disks_nobody_is_asked():
    disk = Disk("/dev/vda", 8 * 1024**3)
    plan = make_plan(Request(DOCUMENT, firmware="bios", imagined=(disk,)))
    assert "from catalog:debian/13 to" in "\n".join(map(str, plan.actions))
    assert plan.warnings == ()
