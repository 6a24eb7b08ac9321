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

"""Images from real registries: single files, and layers of containers."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ipa_partitions.deploy import Request, deploy, make_plan
from ipa_partitions.disk.mount import mounted
from ipa_partitions.errors import ActionError, ImageError, PartitionsError
from ipa_partitions.images import oci, sources, stream
from ipa_partitions.images.access import ANYBODY, basic
from ipa_partitions.images.image import Image
from ipa_partitions.images.sources import http_session, http_stream
from ipa_partitions.locate import Servers
from tests import documents
from tests.functional.file_images import LoopDisk, told
from tests.registry import (
    CONTAINER,
    OCI,
    PASSWORD,
    USER,
    Pushed,
    digest_of,
    docker_registry,
    to_json,
    token_registry,
)
from tests.servers import self_signed
from tests.unit.test_images_layers import layer

LAYER = f"{OCI}.image.layer.v1.tar"
BASE = layer("etc/", ("etc/os", "1"), ("etc/old", "x"), "tmp/", "tmp/a")
TOP = layer("etc/", ("etc/os", "2"), "etc/.wh.old", "tmp/.wh..wh..opq")
PACKED_BASE = gzip.compress(BASE)
AUTHORIZED = replace(ANYBODY, authorization=basic(USER, PASSWORD))


@pytest.fixture(autouse=True)
def _ramdisk(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").symlink_to(certificate)
    monkeypatch.setattr(http_session, "RAMDISK", tmp_path)
    monkeypatch.setattr(oci, "RAMDISK", tmp_path)
    monkeypatch.setattr(oci, "this_arch", lambda: "ppc64el")
    monkeypatch.setattr(http_stream, "FIRST_WAITS_S", (0.01,))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def pushed(all_pushed: Pushed) -> Pushed:
    """Return images that a test may change."""
    return Pushed({**all_pushed.blobs}, {**all_pushed.manifests})


@pytest.fixture(scope="module")
def all_pushed(tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    """Return images in all forms that a registry may have."""
    tmp_path = tmp_path_factory.mktemp("images")
    raw, tree = tmp_path / "x.raw", tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/os").write_text("2")
    subprocess.run(
        ["mkfs.ext4", "-q", "-d", str(tree), str(raw), "16M"], check=True
    )
    subprocess.run(
        ["mksquashfs", str(tree), str(tmp_path / "x.squashfs"), "-quiet"],
        check=True, capture_output=True,
    )  # fmt: skip
    pushed = Pushed()
    zstd = zstandard.compress(raw.read_bytes())
    squashfs = (tmp_path / "x.squashfs").read_bytes()
    plain = "application/octet-stream"
    pushed.image(pushed.blob(zstd, plain, "debian.raw.zst"), tag="raw")
    pushed.image(pushed.blob(squashfs, plain, "x.squashfs"), tag="squashfs")
    pushed.image(pushed.blob(TOP_ALONE, f"{LAYER}+gzip"), tag="artifact")
    layers = (
        pushed.blob(PACKED_BASE, f"{LAYER}+gzip"),
        pushed.blob(zstandard.compress(TOP), f"{LAYER}+zstd"),
    )
    image = pushed.image(*layers, tag="latest", config=CONTAINER)
    other = pushed.image(layers[0], tag="other", config=CONTAINER)
    pushed.index("index", amd64=other, ppc64le=image)
    pushed.index("foreign", amd64=other)
    pushed.image(*layers, tag="two")
    return pushed


TOP_ALONE = gzip.compress(layer("etc/", ("etc/os", "2")))


def download(url: str) -> bytes:
    with sources.opened(url, AUTHORIZED) as stream:
        return sources.read_rest(stream, 1024**3, url)


@pytest.fixture(scope="module")
def registry(
    all_pushed: Pushed,
    certificate: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    scratch = tmp_path_factory.mktemp("registry")
    with docker_registry(all_pushed, scratch, certificate) as host:
        yield f"oci://{host}/library/image"


def document(device: str, url: str, **keys: Any) -> dict[str, Any]:
    volume = {"type": "partition", "size": "remaining", "mount": "/data"}
    image = {
        "name": "tools",
        "image_type": "data",
        "target": "/data",
        "image_pull_url": url,
        **keys,
    }
    return documents.one_disk(device, volume, images=[image])


@pytest.mark.parametrize(("tag", "keys"), [
    (":raw", {}), (":squashfs", {}), (":index", {}), ("", {}),
    (":artifact", {"disk_format": "tar"}), (":latest", {}),
    (":raw", {"disk_format": "raw", "compression": "zstd"}),
])  # fmt: skip
def test_an_image_of_a_registry_is_deployed(
    registry: str, pushed: Pushed, loop_disk: LoopDisk, tag: str,
    keys: dict[str, Any],
) -> None:  # fmt: skip
    device = loop_disk(256)
    request = Request(
        document(device, registry + tag, **keys), servers=Servers(AUTHORIZED)
    )
    named = tag[1:] or "latest"
    if named == "index":
        named = "latest"
    pinned = f"{registry}@{digest_of(pushed.manifests[named][1])}"
    plan = "\n".join(str(each) for each in make_plan(request).actions)
    assert f"from {pinned} to" in plan
    deploy(request)
    with mounted(f"{device}p1") as root:
        assert (root / "etc/os").read_text() == "2"
        assert not (root / "etc/old").exists()
        assert not (root / "tmp/a").exists()


def test_progress_is_of_all_the_layers(registry: str, pushed: Pushed) -> None:
    layers = json.loads(pushed.manifests["latest"][1])["layers"]
    image = Image("x", registry, "tar", "none", access=AUTHORIZED)
    with told() as seen, stream.streamed(image) as plain:
        for _ in plain.blocks:
            pass
    size_bytes = sum(layer["size"] for layer in layers)
    assert seen[-1].bytes == seen[-1].total_bytes == size_bytes


def test_an_image_is_what_its_digest_says(
    registry: str, pushed: Pushed
) -> None:
    digest = digest_of(pushed.manifests["squashfs"][1])
    assert download(f"{registry}@{digest}") == download(f"{registry}:squashfs")
    assert download(f"{registry}:x@{digest}")
    with pytest.raises(ImageError, match="HTTP 404"):
        download(f"{registry}@sha256:{'0' * 64}")


@pytest.mark.parametrize(("tag", "keys", "problem"), [
    (":none",     {}, "HTTP 404"),
    (":two",      {}, "has 2 layers, and is no container"),
    (":foreign",  {}, "has 0 images for linux/ppc64le"),
    ("",          {"disk_format": "raw"}, "container image, which is tar"),
    ("",          {"checksum": "0" * 64}, "name it by its digest"),
    (":squashfs", {"checksum": "0" * 64}, "its sha256 is"),
    (":raw",      {"disk_format": "squashfs"}, "not squashfs"),
])  # fmt: skip
def test_what_is_not_as_declared_is_refused(
    registry: str, loop_disk: LoopDisk, tag: str, keys: dict[str, Any],
    problem: str,
) -> None:  # fmt: skip
    described = document(loop_disk(256), registry + tag, **keys)
    with pytest.raises(PartitionsError, match=problem):
        deploy(Request(described, servers=Servers(AUTHORIZED)))


def test_a_registry_that_wants_a_password_says_so(
    registry: str, tmp_path: Path
) -> None:
    with (
        pytest.raises(ImageError, match="takes no tokens"),
        sources.opened(registry),
    ):
        pass
    host = registry.split("/")[2]
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for known in (
        {"auth": pair},
        {"username": USER, "password": PASSWORD},
    ):
        file = tmp_path / "registry.json"
        file.write_text(json.dumps({"auths": {host: known}}))
        with sources.opened(registry):
            pass
    file.write_text('{"auths": {"' + host + '": {"auth": "hunter2"}}}')
    with pytest.raises(ImageError, match="docker's config") as raised:
        sources.opened(registry).__enter__()
    assert "hunter2" not in str(raised.value)


def test_a_token_is_fetched_where_it_is_asked_for(
    pushed: Pushed, certificate: Path
) -> None:
    with token_registry(pushed, certificate) as (host, asked):
        url = f"oci://{host}/library/image:squashfs"
        content = download(url)
    assert hashlib.sha256(content).hexdigest() in str(pushed.blobs.keys())
    scope = "scope=repository%3Alibrary%2Fimage%3Apull"
    assert asked[1] == f"/token?service=s&{scope}"
    assert [path for path in asked if "token" in path] == [asked[1]]


def test_another_token_is_fetched_when_one_is_no_longer_good(
    pushed: Pushed, certificate: Path
) -> None:
    with token_registry(pushed, certificate, good_for=2) as (host, asked):
        content = download(f"oci://{host}/library/image:latest")
    assert b"etc/os" in content
    assert len([path for path in asked if "token" in path]) == 2


def test_a_blob_goes_on_with_another_token(
    pushed: Pushed, certificate: Path
) -> None:
    # The manifest and the start of the blob, and then each part, cost one.
    with token_registry(pushed, certificate, good_for=2, cut_bytes=900) as (
        host,
        asked,
    ):
        content = download(f"oci://{host}/library/image:raw")
    assert digest_of(content) in pushed.blobs
    assert len(content) > 2 * 900
    assert len([path for path in asked if "token" in path]) > 1


@pytest.mark.parametrize(("change", "problem"), [
    ("layer",    "the sha256 of a layer is"),
    ("long",     "a layer is longer than its manifest"),
    ("short",    "ends too early|the sha256 of a layer|closed"),
    ("manifest", "its manifest is sha256:.*, not sha256"),
    ("json",     "its manifest is no JSON object"),
    ("digest",   "a layer lacks its sha256"),
    ("empty",    "has 0 layers"),
])  # fmt: skip
def test_bytes_that_are_not_those_of_the_digest_are_refused(
    pushed: Pushed, certificate: Path, change: str, problem: str
) -> None:
    url = "library/image:latest"
    kind, manifest = pushed.manifests["latest"]
    if change in ("layer", "long", "short"):
        name = digest_of(zstandard.compress(TOP))
        assert name in pushed.blobs
        other = zstandard.compress(layer("etc/", ("etc/os", "3")))
        pushed.blobs[name] = {
            "layer": other,
            "long": other + bytes(99),
            "short": other[:50],
        }[change]
    elif change == "manifest":
        digest = digest_of(manifest)
        pushed.manifests[digest] = (kind, manifest + b" ")
        url = f"library/image@{digest}"
    elif change == "json":
        pushed.manifests["latest"] = (kind, b"[" * 9999)
    else:
        changed = json.loads(manifest)
        changed["layers"] = [{"digest": "sha256:7", "size": 7}]
        if change == "empty":
            changed["layers"] = 7
        pushed.manifests["latest"] = (kind, to_json(changed))
    with (
        token_registry(pushed, certificate) as (host, _),
        pytest.raises(ImageError, match=problem) as raised,
    ):
        download(f"oci://{host}/{url}")
    assert str(raised.value).startswith(f"oci://{host}/library/image")


def test_a_layer_that_is_wrong_leaves_nothing_to_mount(
    pushed: Pushed, certificate: Path, loop_disk: LoopDisk
) -> None:
    # More than is looked at before: only the end tells.
    other = layer(("etc/large", "y" * 9_000_000))
    pushed.blobs[digest_of(PACKED_BASE)] = gzip.compress(other)
    kind, manifest = pushed.manifests["latest"]
    changed = json.loads(manifest)
    (base,) = (
        each
        for each in changed["layers"]
        if each["digest"] == digest_of(PACKED_BASE)
    )
    base["size"] = len(gzip.compress(other))
    for name in ("latest", digest_of(to_json(changed))):
        pushed.manifests[name] = (kind, to_json(changed))
    device = loop_disk(256)
    with (
        token_registry(pushed, certificate) as (host, _),
        pytest.raises(ActionError, match="the sha256 of a layer"),
    ):
        url = f"oci://{host}/library/image"
        deploy(Request(document(device, url), servers=Servers(AUTHORIZED)))
    argv = ["blkid", "--probe", "--match-tag", "TYPE", "--output", "value"]
    left = subprocess.run([*argv, f"{device}p1"], capture_output=True)
    assert left.stdout == b""
