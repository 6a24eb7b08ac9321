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

"""The image catalog: static files of a real server, signed and not."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions.deploy import Request, deploy, make_plan
from ipa_partitions.disk.mount import mounted
from ipa_partitions.errors import ImageError, LayoutErrors
from ipa_partitions.images import catalog
from ipa_partitions.images.catalog import (
    Catalog,
    CatalogNodeError,
    CatalogSelectionError,
    CatalogUnreachableError,
)
from ipa_partitions.images.sources import http_stream
from ipa_partitions.locate import Servers
from tests import documents
from tests.functional.file_images import LoopDisk
from tests.servers import Server
from tests.simplestreams import INDEX, PRODUCTS, Key, Tree, boot_source

NODE = "6b0b4e4c-3a2f-4d53-93a1-5d4b3f8b1c11"
OTHER = "00000000-0000-0000-0000-000000000001"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_stream, "FIRST_WAITS_S", (0.01,))


@pytest.fixture
def tree(server: Server) -> Tree:
    tree = Tree(server.folder / "tree")
    tree.add("20240101", {"squashfs": b"old", "boot-kernel": b"k1"})
    tree.add(
        "20240201.10",
        {"squashfs": b"new", "boot-kernel": b"k2", "boot-initrd": b"i2"},
    )
    tree.add("20240201.9", {"squashfs": b"before"})
    tree.add("20250101", {"squashfs": b"x"}, "ubuntu:jammy")
    tree.add("20250101", {"squashfs": b"x"}, "ubuntu:noble:a", arch="arm64")
    tree.add("20240301", {"root-tgz": b"day"}, "ubuntu:noble:d", label="daily")
    tree.add("20240101", {"root-image.gz": b"i"}, "centos:9")
    tree.add("20240101", {"lxd.tar.xz": b"n"}, "debian:13")
    tree.write()
    return tree


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Key]]:
    # A path that is short enough for the sockets of GnuPG.
    homes = [tmp_path_factory.mktemp("k") / "h" for _ in range(2)]
    made = [Key.make(home) for home in homes]
    yield made
    for key in made:
        key.stop()


def serve(server: Server, *answer: object, node: str = NODE) -> Catalog:
    """Let the catalog answer this for the node."""
    file = server.folder / "catalog" / node
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(list(answer)))
    return Catalog(f"{server.url}/catalog", NODE)


def found(there: Catalog, url: str, *words: str) -> tuple[str, ...]:
    image = there.find(url, *words, arch="amd64")
    path = image.item.url.partition("/tree/")[2]
    return path, image.disk_format, image.compression


@pytest.mark.parametrize(("url", "selection", "words", "image"), [
    ("ubuntu/noble", {"labels": ["stable"]}, (),
     ("ubuntu/noble/20240201.10/squashfs", "squashfs", "none")),
    ("ubuntu/noble/stable", {}, (),
     ("ubuntu/noble/20240201.10/squashfs", "squashfs", "none")),
    ("ubuntu/noble", {}, (),
     ("ubuntu/noble/20240301/root-tgz", "tar", "gzip")),
    ("ubuntu/noble", {}, ("squashfs",),
     ("ubuntu/noble/20240201.10/squashfs", "squashfs", "none")),
    ("ubuntu/noble/daily", {"labels": ["stable", "daily"]}, (),
     ("ubuntu/noble/20240301/root-tgz", "tar", "gzip")),
    ("centos/9", {"os": "centos", "release": "9", "arches": ["*"]}, (),
     ("centos/9/20240101/root-image.gz", "raw", "gzip")),
])  # fmt: skip
def test_the_newest_that_is_selected_is_taken(
    server: Server, tree: Tree, url: str, selection: dict[str, Any],
    words: tuple[str, ...], image: tuple[str, ...],
) -> None:  # fmt: skip
    there = serve(server, boot_source(f"{server.url}/tree", **selection))
    assert found(there, f"catalog:{url}", *words) == image


def test_kernel_and_initrd_are_of_the_same_version(
    server: Server, tree: Tree
) -> None:
    source = boot_source(f"{server.url}/tree/{INDEX}", labels=["stable"])
    image = serve(server, source).find("catalog:ubuntu/noble", arch="amd64")
    assert image.version == "20240201.10"
    assert image.kernel and image.initrd
    assert image.kernel.sha256 == hashlib.sha256(b"k2").hexdigest()
    assert image.initrd.url.endswith("/20240201.10/boot-initrd")


@pytest.mark.parametrize(("url", "selection", "words", "problem"), [
    ("debian/12",    {}, (), "no source of node .* selects it"),
    ("ubuntu/noble/beta", {"labels": ["stable"]}, (), "selects it for amd64"),
    ("ubuntu/noble", {"arches": ["arm64"]}, (), "selects it for amd64"),
    ("ubuntu/noble", {"os": "*"}, (), "selects it"),
    ("ubuntu/noble/beta", {}, (), "no source has it for amd64"),
    ("ubuntu/noble", {}, ("raw",), "no source has it for amd64 as raw"),
    ("debian/13", {"os": "debian", "release": "13"}, (), "no source has it"),
])  # fmt: skip
def test_what_is_not_selected_is_not_taken(
    server: Server, tree: Tree, url: str, selection: dict[str, Any],
    words: tuple[str, ...], problem: str,
) -> None:  # fmt: skip
    there = serve(server, boot_source(f"{server.url}/tree", **selection))
    with pytest.raises(CatalogSelectionError, match=problem):
        found(there, f"catalog:{url}", *words)


def test_nothing_is_fetched_that_was_not_selected(
    server: Server, tree: Tree
) -> None:
    there = serve(server, boot_source(f"{server.url}/tree", release="other"))
    with pytest.raises(CatalogSelectionError):
        found(there, "catalog:ubuntu/noble")
    assert [r["path"] for r in server.requests] == [f"/catalog/{NODE}"]


def test_no_source_is_an_error_of_its_own(server: Server) -> None:
    with pytest.raises(CatalogSelectionError, match="has no source for"):
        found(serve(server), "catalog:ubuntu/noble")


def test_a_node_that_is_not_known_is_an_error_of_its_own(
    server: Server,
) -> None:
    there = serve(server, node=OTHER)
    with pytest.raises(CatalogNodeError, match=f"does not know node {NODE}"):
        found(there, "catalog:ubuntu/noble")


@pytest.mark.parametrize("status", [401, 500, 503])
def test_a_catalog_that_does_not_answer_cannot_be_reached(
    server: Server, status: int
) -> None:
    there = serve(server)
    server.faults.statuses = [status] * 9
    with pytest.raises(CatalogUnreachableError, match=f"HTTP {status}"):
        found(there, "catalog:ubuntu/noble")


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:1", "file:///etc", "http://[::1", "http://a b",
])  # fmt: skip
def test_a_catalog_that_is_not_there_cannot_be_reached(url: str) -> None:
    with pytest.raises(CatalogUnreachableError):
        found(Catalog(url, NODE), "catalog:ubuntu/noble")


@pytest.mark.parametrize("answer", [
    "", "{", "{}", "7", "[7]", '[{"url": 7}]', '[{"url": "file:///etc"}]',
    "[{}]", "[" * 9999, '[{"url": "http://h", "keyring_data": "&"}]', "null",
])  # fmt: skip
def test_an_answer_that_is_no_list_of_sources_is_none(
    server: Server, answer: str
) -> None:
    there = serve(server)
    (server.folder / "catalog" / NODE).write_text(answer)
    with pytest.raises(CatalogUnreachableError):
        found(there, "catalog:ubuntu/noble")


@pytest.mark.parametrize("form", ["armored", "in_base64", "both"])
def test_a_signed_tree_is_read_if_it_is_signed(
    server: Server, keys: list[Key], form: str
) -> None:
    tree = Tree(server.folder / "tree", keys[0])
    tree.add("1", {"squashfs": b"x"})
    tree.write()
    for unsigned in (INDEX, PRODUCTS):
        (tree.folder / unsigned).unlink()
    data = getattr(keys[0], form.replace("both", "armored"))
    if form == "both":
        data = base64.b64encode(data.encode()).decode()
    there = serve(server, boot_source(f"{server.url}/tree", data))
    path = "ubuntu/noble/1/squashfs"
    assert found(there, "catalog:ubuntu/noble")[0] == path


@pytest.mark.parametrize("fault", [
    "another key", "index", "products", "unsigned", "unsigned products",
])  # fmt: skip
def test_a_tree_that_is_not_signed_by_the_keyring_is_refused(
    server: Server, keys: list[Key], fault: str
) -> None:
    tree = Tree(server.folder / "tree", keys[fault == "another key"])
    tree.add("1", {"squashfs": b"x"})
    tree.write()
    path = PRODUCTS if "products" in fault else INDEX
    file = (tree.folder / path).with_suffix(".sjson")
    if fault in ("index", "products"):
        text = file.read_bytes()
        assert b'"format"' in text
        file.write_bytes(text.replace(b'"format"', b'"Format"', 1))
    elif "unsigned" in fault:
        file.write_bytes((tree.folder / path).read_bytes())
    source = boot_source(f"{server.url}/tree", keys[0].in_base64)
    with pytest.raises(ImageError, match="is not signed by a key") as raised:
        found(serve(server, source), "catalog:ubuntu/noble")
    assert "/scratch/" not in str(raised.value)
    # Nothing unsigned is looked at in its place.
    assert not [r for r in server.requests if r["path"].endswith(".json")]


@pytest.mark.parametrize("change", [
    {"path": "../../etc/passwd"}, {"path": "/etc/passwd"}, {"path": "a//b"},
    {"path": ""}, {"path": 7, "size": None}, {"sha256": "0" * 63},
    {"sha256": None}, {"size": "7"}, {"size": True},
])  # fmt: skip
def test_an_item_that_nobody_vouches_for_is_refused(
    server: Server, tree: Tree, change: dict[str, Any]
) -> None:
    versions = tree.products["com.example:ubuntu:noble"]["versions"]
    versions["20240201.10"]["items"]["squashfs"] |= change
    tree.write()
    source = boot_source(f"{server.url}/tree", labels=["stable"])
    with pytest.raises(ImageError):
        found(serve(server, source), "catalog:ubuntu/noble")


@pytest.mark.parametrize("path", [INDEX, PRODUCTS])
@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 9999, "missing"])
def test_a_tree_that_is_none_is_refused(
    server: Server, tree: Tree, path: str, content: str
) -> None:
    file = tree.folder / path
    file.write_text(content)
    if content == "missing":
        file.unlink()
    source = boot_source(f"{server.url}/tree", labels=["stable"])
    with pytest.raises(ImageError, match=path):
        found(serve(server, source), "catalog:ubuntu/noble")


def document(device: str, **image: Any) -> dict[str, Any]:
    volume = {"type": "partition", "size": "remaining", "mount": "/data"}
    described = {
        "name": "tools",
        "image_type": "data",
        "image_pull_url": "catalog:ubuntu/noble",
        "target": "/data",
        **image,
    }
    return documents.one_disk(device, volume, images=[described])


@pytest.fixture
def served(server: Server, tmp_path: Path) -> Tree:
    """Return a tree with an image that can be deployed, in three forms."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "hello").write_text("world")
    for name, argv in {
        "squashfs": ["mksquashfs", str(files), str(tmp_path / "squashfs"),
                     "-quiet", "-no-progress"],
        "root-tgz": ["tar", "-C", str(files), "-czf",
                     str(tmp_path / "root-tgz"), "."],
        "raw": ["mkfs.ext4", "-q", "-d", str(files), str(tmp_path / "raw"),
                "16M"],
    }.items():  # fmt: skip
        subprocess.run(argv, check=True, capture_output=True)
        assert name
    raw = gzip.compress((tmp_path / "raw").read_bytes())
    (tmp_path / "root-image.gz").write_bytes(raw)
    tree = Tree(server.folder / "tree")
    tree.add(
        "1",
        {
            ftype: (tmp_path / ftype).read_bytes()
            for ftype in ("squashfs", "root-tgz", "root-image.gz")
        },
    )
    tree.write()
    serve(server, boot_source(f"{server.url}/tree"))
    return tree


@pytest.mark.parametrize("disk_format", [None, "tar", "squashfs", "raw"])
def test_an_image_of_the_catalog_is_deployed(
    server: Server, served: Tree, loop_disk: LoopDisk,
    monkeypatch: pytest.MonkeyPatch, disk_format: str | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(catalog, "this_arch", lambda: "amd64")
    device = loop_disk(256)
    image: dict[str, Any] = {"disk_format": disk_format}
    if disk_format == "raw":
        image |= {"target": "/data"}
    request = Request(
        document(device, **image),
        servers=Servers(node_uuid=NODE, catalog_url=f"{server.url}/catalog"),
    )
    plan = [str(action) for action in make_plan(request).actions]
    assert any(f"{server.url}/tree/ubuntu/noble/1/" in text for text in plan)
    deploy(request)
    with mounted(f"{device}p1") as root:
        assert (root / "hello").read_text() == "world"


@pytest.mark.parametrize("fault", ["content", "size"])
def test_what_the_tree_does_not_vouch_for_is_not_left(
    server: Server, served: Tree, loop_disk: LoopDisk,
    monkeypatch: pytest.MonkeyPatch, fault: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(catalog, "this_arch", lambda: "amd64")
    file = served.folder / "ubuntu/noble/1/squashfs"
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content + bytes(fault == "size"))
    device = loop_disk(256)
    request = Request(
        document(device) | {"catalog_url": f"{server.url}/catalog"},
        servers=Servers(node_uuid=NODE),
    )
    problem = "bytes, not" if fault == "size" else "its sha256 is"
    with pytest.raises(Exception, match=problem):
        deploy(request)
    words = ["blkid", "--probe", "--match-tag", "TYPE", "--output", "value"]
    argv = [*words, f"{device}p1"]
    assert subprocess.run(argv, capture_output=True).stdout == b""


@pytest.mark.parametrize(("keys", "problem"), [
    ({"os_hash_algo": "sha256", "os_hash_value": "0" * 64},
     "in the catalog, not 0000"),
    ({"checksum": "https://images.example.com/SHA512SUMS"},
     "in the catalog, not one of a list"),
])  # fmt: skip
def test_another_checksum_in_the_document_is_an_error_at_once(
    server: Server, served: Tree, loop_disk: LoopDisk,
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, str], problem: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(catalog, "this_arch", lambda: "amd64")
    described = document(loop_disk(64), **keys)
    servers = Servers(node_uuid=NODE, catalog_url=f"{server.url}/catalog")
    with pytest.raises(ImageError, match=problem):
        make_plan(Request(described, servers=servers))


def test_without_a_catalog_there_is_nothing_to_guess(
    loop_disk: LoopDisk,
) -> None:
    with pytest.raises(CatalogUnreachableError, match="no image catalog"):
        make_plan(Request(document(loop_disk(64))))


def test_what_is_not_deployed_is_not_asked_for(loop_disk: LoopDisk) -> None:
    described = document(loop_disk(64), deploy="never")
    described |= {"catalog_url": "http://127.0.0.1:1"}
    make_plan(Request(described))


def test_an_image_that_the_layout_cannot_take_is_an_error(
    server: Server, tree: Tree, loop_disk: LoopDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(catalog, "this_arch", lambda: "amd64")
    source = boot_source(f"{server.url}/tree", os="centos", release="9")
    serve(server, source)
    described = document(
        loop_disk(64),
        image_pull_url="catalog:centos/9",
        deploy="always",
    ) | {"partitions_policy": "verify"}
    servers = Servers(node_uuid=NODE, catalog_url=f"{server.url}/catalog")
    with pytest.raises(LayoutErrors, match=r"images\[0\].deploy"):
        make_plan(Request(described, servers=servers))
