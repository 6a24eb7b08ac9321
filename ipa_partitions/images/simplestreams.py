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

"""Read a simplestreams tree, signed or not: which images it has.

``streams/v1/index.json`` names files of products, each with versions, each
with items: files with a path, a size and a sha256. In a signed tree all
of these files end with ``.sjson`` and are JSON, signed in clear.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.images import sources
from ipa_partitions.images.access import ANYBODY, Access
from ipa_partitions.run import run
from ipa_partitions.urls import public_url

_INDEX = "streams/v1/index"
# More than twice what the largest public trees have.
_INDEX_LIMIT_BYTES = 8 * 1024**2
_PRODUCTS_LIMIT_BYTES = 32 * 1024**2
_MAX_PRODUCT_FILES = 100

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Item:
    """A file of the tree, and what its bytes must be."""

    ftype: str
    url: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Product:
    """The newest version of a product of ``tree``."""

    tree: Tree
    label: str
    version: str
    items: Mapping[str, Any]

    def item(self, ftype: str) -> Item | None:
        """Return its file of that type, None if there is none.

        Raises ImageError if nobody says what its bytes must be.
        """
        for _, item in _objects(self.items):
            if item.get("ftype") == ftype:
                return self.tree.item(item)
        return None

    @property
    def place(self) -> tuple[object, ...]:
        """What newer ones are greater in."""
        return version_key(self.version)


@dataclass(frozen=True)
class Tree:
    """A tree at ``url``; with a ``keyring`` nothing unsigned is read."""

    url: str
    keyring: bytes | None = None
    access: Access = ANYBODY

    def products(self, os: str, release: str, arch: str) -> Iterator[Product]:
        """Yield those of that system, each in its newest version.

        Raises ImageError for a tree that cannot be had, is not signed by a
        key of the keyring, or is none.
        """
        for path in self._product_files():
            content = self._read(path, _PRODUCTS_LIMIT_BYTES)
            for _, product in _objects(content.get("products")):
                wanted = {"os": os, "release": release, "arch": arch}
                if not all(product.get(k) == v for k, v in wanted.items()):
                    continue
                versions = dict(_objects(product.get("versions")))
                if versions:
                    version = max(versions, key=version_key)
                    merged = {**content, **product, **versions[version]}
                    yield Product(
                        self,
                        str(merged.get("label") or ""),
                        version,
                        merged.get("items") or {},
                    )

    def _product_files(self) -> Iterator[str]:
        index = self._read(self._signed(f"{_INDEX}.json"), _INDEX_LIMIT_BYTES)
        entries = [
            entry
            for _, entry in _objects(index.get("index"))
            if entry.get("format") == "products:1.0"
        ]
        if len(entries) > _MAX_PRODUCT_FILES:
            raise ImageError(
                f"{public_url(self.url)}: has {len(entries)} files of products"
            )
        for entry in entries:
            yield self._signed(str(entry.get("path")))

    def _signed(self, path: str) -> str:
        if self.keyring is None or not path.endswith(".json"):
            return path
        return path.removesuffix(".json") + ".sjson"

    def _read(self, path: str, limit_bytes: int) -> Mapping[str, Any]:
        url = self._url_of(path)
        text = sources.read(url, limit_bytes, self.access)
        if self.keyring is not None:
            text = verified(text, self.keyring, url)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise ImageError(f"{public_url(url)}: is no JSON object")
        return content

    def item(self, item: Mapping[str, Any]) -> Item:
        """Return a file as the tree describes it; raises ImageError."""
        url = self._url_of(str(item.get("path")))
        size_bytes, sha256 = item.get("size"), item.get("sha256")
        if (
            type(size_bytes) is not int
            or not isinstance(sha256, str)
            or not _SHA256.fullmatch(sha256)
        ):
            raise ImageError(f"{public_url(url)}: has no size and sha256")
        return Item(str(item.get("ftype")), url, size_bytes, sha256)

    def _url_of(self, path: str) -> str:
        """Return the URL of a path, which must lie below the tree."""
        parts = path.split("/")
        if not path or "" in parts or ".." in parts or "\\" in path:
            raise ImageError(f"{public_url(self.url)}: names {path!r}")
        # Who gives the address of the index means the tree.
        root = self.url.partition("/streams/v1/")[0].rstrip("/")
        return f"{root}/{quote(path)}"


def version_key(version: str) -> tuple[object, ...]:
    """Return what versions are sorted by: their numbers as numbers.

    Of more digits than any has, a number is several.
    """
    return tuple(
        (int(digits), "") if digits else (-1, text)
        for digits, text in re.findall(r"(\d{1,99})|(\D+)", version)
    )


def verified(text: bytes, keyring: bytes, url: str) -> bytes:
    """Return what is signed of ``text``, by a key of ``keyring``.

    Raises ImageError if nothing is, or by another key.
    """
    with tempfile.TemporaryDirectory() as scratch:
        signed, keys = Path(scratch, "signed"), Path(scratch, "keys.gpg")
        signed.write_bytes(text)
        keys.write_bytes(keyring)
        try:
            plain = run(
                "gpgv",
                "--homedir", scratch,
                "--keyring", str(keys),
                "--output", "-",
                str(signed),
            )  # fmt: skip
            return plain.encode("utf-8", "surrogateescape")
        except CommandError as error:
            said = str(error).replace(scratch, "").splitlines()[-1]
            raise ImageError(
                f"{public_url(url)}: is not signed by a key of the source's"
                f" keyring_data: {said}"
            ) from None


def parse_keyring(text: str) -> bytes:
    """Return the keyring that ``text`` is, in base64 or ASCII armor.

    Raises ValueError.
    """
    armored = _armored(text)
    try:
        keyring = base64.b64decode(
            "".join((text if armored is None else armored).split()),
            validate=True,
        )
    except (binascii.Error, ValueError):
        keyring = b""
    if armored is None and keyring.startswith(b"-----BEGIN PGP"):
        return parse_keyring(keyring.decode("ascii", "replace"))
    if not keyring:
        raise ValueError("keyring_data is no keyring in base64 or armor")
    return keyring


def _armored(text: str) -> str | None:
    """Return what is between the lines of an armor, None if it has none."""
    lines = iter(text.splitlines())
    if not any(line.startswith("-----BEGIN PGP ") for line in lines):
        return None
    for line in lines:  # its headers end with an empty line
        if not line.strip():
            break
    return "\n".join(takewhile(_is_data, lines))


def _is_data(line: str) -> bool:
    """Tell whether it is neither the checksum of an armor nor its end."""
    return not line.startswith(("=", "-----END"))


def _objects(value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield those members of an object that are objects."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, Mapping):
                yield key, each
