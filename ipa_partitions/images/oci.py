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

"""Images in OCI registries: which blobs an image is made of.

What is pulled is a manifest, verified where the URL has its digest, and
then blobs, which the manifest has the digests of.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from ipa_partitions.errors import ImageError
from ipa_partitions.images import sources
from ipa_partitions.images.access import Access, basic
from ipa_partitions.images.catalog import this_arch
from ipa_partitions.images.sources.http import HTTP
from ipa_partitions.images.sources.http_stream import HttpStream
from ipa_partitions.urls import OCI_PATH, is_web_url, public_url

RAMDISK = Path("/etc/ipa-partitions")

_LIMIT_BYTES = 4 * 1024**2
_TITLE = "org.opencontainers.image.title"

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CONTAINERS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')

# The names of OCI, where Debian has others.
_ARCHES = {"ppc64el": "ppc64le", "armhf": "arm"}


class Reference(NamedTuple):
    """What an ``oci://`` URL names."""

    host: str
    repository: str
    tag: str
    digest: str | None

    @property
    def version(self) -> str:
        """The digest, or else the tag."""
        return self.digest or self.tag


class Layer(NamedTuple):
    """A blob, and what is known of it."""

    digest: str
    size_bytes: int
    media_type: str
    title: str

    @property
    def sha256(self) -> str:
        """The digest in hex."""
        return self.digest.removeprefix("sha256:")


@dataclass(frozen=True)
class Artifact:
    """What a manifest is of: ``url`` has its digest.

    A container's layers are laid over each other, the last on top;
    anything else has one.
    """

    url: str
    is_container: bool
    layers: tuple[Layer, ...]


def parse_reference(url: str) -> Reference:
    """Return what ``url`` names; raises ValueError."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    found = OCI_PATH.fullmatch(parts.path)
    if not found:
        raise ValueError(f"{public_url(url)!r} names no image")
    tag = found["tag"] or "latest"
    return Reference(host, found["repository"], tag, found["digest"])


class Registry:
    """The registry that ``url`` is in."""

    def __init__(self, url: str, access: Access) -> None:
        self.name = public_url(url)
        self.reference = parse_reference(url)
        if not access.authorization:
            known = _known_user(self.reference.host)
            access = replace(access, authorization=known)
        # The first is for who gives tokens, which are good for minutes.
        self._own_access = self._access = access

    def artifact(self) -> Artifact:
        """Ask what the image is made of; raises ImageError."""
        digest, manifest = self._manifest(self.reference.version)
        if manifest.get("mediaType") in _INDEXES or "manifests" in manifest:
            chosen = self._for_this_machine(manifest)
            digest, manifest = self._manifest(chosen)
        config = manifest.get("config")
        kind = config.get("mediaType") if isinstance(config, dict) else None
        layers = tuple(map(self._layer, _list(manifest.get("layers"))))
        is_container = kind in _CONTAINERS
        if not layers or (len(layers) > 1 and not is_container):
            raise ImageError(
                f"{self.name}: has {len(layers)} layers, and is no container"
                " image, which alone may have several"
            )
        host, repository, *_ = self.reference
        url = f"oci://{host}/{repository}@{digest}"
        return Artifact(url, is_container, layers)

    @contextmanager
    def blob(self, layer: Layer) -> Iterator[HttpStream]:
        """Yield the bytes of a layer; its digest is yet to be compared."""
        with closing(self.open(f"blobs/{layer.digest}", ())) as stream:
            yield stream

    def open(self, path: str, accept: tuple[str, ...]) -> HttpStream:
        """Ask for something below the repository."""
        host, repository, *_ = self.reference
        url = f"https://{host}/v2/{repository}/{path}"
        headers = {"Accept": ", ".join(accept)} if accept else {}
        return HTTP.open(url, self._access, headers, self._authorized)

    def _authorized(self, challenge: str) -> Access:
        """Return our keys with the token that the registry asks for."""
        words = dict(_CHALLENGE.findall(challenge))
        realm = words.get("realm", "")
        if not challenge.lower().startswith("bearer ") or not is_web_url(
            realm
        ):
            raise ImageError(f"{self.name}: the registry takes no tokens")
        if not realm.startswith("https://"):
            raise ImageError(f"{self.name}: its tokens come by plain http")
        asked = {
            "service": words.get("service", ""),
            "scope": f"repository:{self.reference.repository}:pull",
        }
        url = f"{realm}?{urlencode(asked)}"
        try:
            text = sources.read(url, _LIMIT_BYTES, self._own_access)
            answer = json.loads(text)
            token = answer.get("token") or answer["access_token"]
        except (
            ValueError, LookupError, AttributeError, TypeError, RecursionError,
        ):  # fmt: skip
            raise ImageError(f"{public_url(url)}: gives no token") from None
        self._access = replace(self._access, authorization=f"Bearer {token}")
        return self._access

    def _manifest(self, version: str) -> tuple[str, Mapping[str, Any]]:
        """Return the digest of a manifest, and what it says."""
        stream = self.open(f"manifests/{version}", _INDEXES + _MANIFESTS)
        with closing(stream):
            text = sources.read_rest(stream, _LIMIT_BYTES, self.name)
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        if _DIGEST.fullmatch(version) and digest != version:
            raise ImageError(
                f"{self.name}: its manifest is {digest}, not {version}"
            )
        try:
            manifest = json.loads(text)
        except (ValueError, RecursionError):
            manifest = None
        if not isinstance(manifest, dict):
            raise ImageError(f"{self.name}: its manifest is no JSON object")
        return digest, manifest

    def _for_this_machine(self, index: Mapping[str, Any]) -> str:
        arch = _ARCHES.get(this_arch(), this_arch())
        there = _list(index.get("manifests"))
        fitting = [
            each
            for each in there
            if isinstance(platform := each.get("platform"), dict)
            and (platform.get("os"), platform.get("architecture"))
            == ("linux", arch)
        ]
        if len(there) == 1 and "platform" not in there[0]:
            fitting = there
        digests = {str(each.get("digest")) for each in fitting}
        if len(digests) != 1 or not _DIGEST.fullmatch(next(iter(digests))):
            raise ImageError(
                f"{self.name}: has {len(digests)} images for linux/{arch}"
            )
        return digests.pop()

    def _layer(self, layer: Mapping[str, Any]) -> Layer:
        digest, size_bytes = layer.get("digest"), layer.get("size")
        if (
            not isinstance(digest, str)
            or not _DIGEST.fullmatch(digest)
            or type(size_bytes) is not int
            or size_bytes < 0
        ):
            raise ImageError(f"{self.name}: a layer lacks its sha256 or size")
        annotations = layer.get("annotations")
        if not isinstance(annotations, dict):
            annotations = {}
        title = str(annotations.get(_TITLE, ""))
        return Layer(digest, size_bytes, str(layer.get("mediaType")), title)


def _known_user(host: str) -> str | None:
    """Return what ``registry.json``, as docker's config.json, has of it."""
    file = RAMDISK / "registry.json"
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text()).get("auths", {}).get(host, {})
        if "auth" in found:
            user, _, password = (
                base64.b64decode(found["auth"]).decode().partition(":")
            )
            return basic(user, password)
        if "username" in found:
            return basic(found["username"], found["password"])
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        # The text of the error may hold a password.
        raise ImageError(f"{file}: is not docker's config.json") from None
    return None


def _list(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        return []
    return [each for each in value if isinstance(each, dict)]
