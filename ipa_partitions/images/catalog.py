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

"""The image catalog: an API that says which trees a node's images are of.

``GET <catalog_url>/<node uuid>`` answers a list of boot sources:

    [{"url": ..., "keyring_data": ..., "selections":
      [{"os": ..., "release": ..., "arches": [...], "labels": [...]}]}]

Nothing is looked at but what a selection names.
"""

from __future__ import annotations

import json
import platform
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ipa_partitions.errors import ImageError
from ipa_partitions.images import sources
from ipa_partitions.images.access import ANYBODY, Access
from ipa_partitions.images.simplestreams import (
    Item,
    Product,
    Tree,
    parse_keyring,
)
from ipa_partitions.images.sources.http import HttpStatusError
from ipa_partitions.urls import is_web_url, public_url

KERNEL_PARAMETER = "ipa-partitions-catalog-url"
_KERNEL_COMMAND_LINE = Path("/proc/cmdline")
_FIRMWARE_UUID = Path("/sys/class/dmi/id/product_uuid")
_LIMIT_BYTES = 4 * 1024**2
_NOT_FOUND = 404
_ANY = "*"

# Debian's names, which trees use, where the kernel has others.
_ARCHES = {
    "x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64el",
    "armv7l": "armhf",
}  # fmt: skip


class CatalogUnreachableError(ImageError):
    """There is no catalog, or it cannot be asked."""


class CatalogNodeError(ImageError):
    """The catalog does not know this node."""


class CatalogSelectionError(ImageError):
    """The catalog has nothing that is the image asked for."""


class Kind(NamedTuple):
    """What an item's ``ftype`` is to us."""

    ftype: str
    disk_format: str
    compression: str


# In the order in which they are taken where the document does not say.
KINDS = (
    Kind("squashfs", "squashfs", "none"),
    Kind("root-tgz", "tar", "gzip"),
    Kind("root-txz", "tar", "xz"),
    Kind("root-image.gz", "raw", "gzip"),
    Kind("root-image.xz", "raw", "xz"),
    Kind("root-image", "raw", "none"),
)


class Wanted(NamedTuple):
    """What a ``catalog:`` URL asks for."""

    os: str
    release: str
    label: str | None

    def __str__(self) -> str:
        """Return the URL again."""
        return "catalog:" + "/".join(filter(None, self))


@dataclass(frozen=True)
class Source:
    """A tree, and the selections of it that are for this node."""

    tree: Tree
    selections: tuple[Mapping[str, Any], ...]

    def labels(self, wanted: Wanted, arch: str) -> Iterator[str]:
        """Yield the labels under which ``wanted`` may be taken."""
        for selection in self.selections:
            if (
                selection.get("os") == wanted.os
                and selection.get("release") == wanted.release
                and {arch, _ANY} & {*_strings(selection.get("arches"))}
            ):
                yield from _strings(selection.get("labels"))


@dataclass(frozen=True)
class Found:
    """An image of the catalog, with what boots it over the network."""

    item: Item
    disk_format: str
    compression: str
    version: str
    kernel: Item | None
    initrd: Item | None


@dataclass(frozen=True)
class Catalog:
    """The catalog at ``url``, for one node.

    With ``is_secure`` nothing of it is asked for but over https: what it
    names is then as true as it is, where nobody compares checksums.
    """

    url: str
    node_uuid: str
    access: Access = ANYBODY
    is_secure: bool = False

    def find(
        self,
        catalog_url: str,
        disk_format: str | None = None,
        arch: str | None = None,
    ) -> Found:
        """Return the newest image that a ``catalog:`` URL names.

        With ``disk_format`` only one of that. Raises one of the three
        errors above, and ImageError for a tree that is not sound.
        """
        wanted = parse_catalog_url(catalog_url)
        arch = arch or this_arch()
        sources_there = self.sources()
        if not sources_there:
            raise CatalogSelectionError(
                f"{wanted}: the catalog has no source for node"
                f" {self.node_uuid}"
            )
        is_selected = False
        for source in sources_there:
            labels = {*source.labels(wanted, arch)}
            if not labels or wanted.label not in {None, *labels} | (
                {wanted.label} if _ANY in labels else set()
            ):
                continue
            is_selected = True
            self._refuse_insecure(source.tree.url)
            allowed = {wanted.label} if wanted.label else labels
            products = source.tree.products(wanted.os, wanted.release, arch)
            found = _newest(products, allowed, disk_format)
            if found:
                return found
        trouble = (
            f"no source has it for {arch}"
            + (f" as {disk_format}" if disk_format else "")
            if is_selected
            else f"no source of node {self.node_uuid} selects it for {arch}"
        )
        raise CatalogSelectionError(f"{wanted}: {trouble}")

    def sources(self) -> tuple[Source, ...]:
        """Ask for the node's boot sources."""
        url = f"{self.url.rstrip('/')}/{quote(self.node_uuid)}"
        name = f"the image catalog {public_url(url)}"
        if not is_web_url(url):
            raise CatalogUnreachableError(f"{name} is no http(s) URL")
        self._refuse_insecure(url)
        try:
            answer = json.loads(sources.read(url, _LIMIT_BYTES, self.access))
        except HttpStatusError as error:
            if error.status == _NOT_FOUND:
                raise CatalogNodeError(
                    f"{name} does not know node {self.node_uuid}"
                ) from None
            raise CatalogUnreachableError(f"{name}: {error}") from None
        except ImageError as error:
            raise CatalogUnreachableError(
                f"{name} cannot be reached: {error}"
            ) from None
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, list):
            raise CatalogUnreachableError(
                f"{name} answers no list of boot sources"
            )
        try:
            return tuple(_source(each, self.access) for each in answer)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise CatalogUnreachableError(
                f"{name} answers no list of boot sources: {error}"
            ) from None

    def _refuse_insecure(self, url: str) -> None:
        if self.is_secure and not url.lower().startswith("https://"):
            raise ImageError(
                f"{public_url(url)}: is not over https, and nobody compares"
                " the checksum of what is booted"
            )


def parse_catalog_url(url: str) -> Wanted:
    """Return what ``catalog:os/release[/label]`` asks for."""
    os, release, *label = url.removeprefix("catalog:").split("/")
    return Wanted(os, release, label[0] if label else None)


def kernel_catalog_url() -> str | None:
    """Return the URL that this machine was booted with, if any."""
    for word in _KERNEL_COMMAND_LINE.read_text().split():
        name, _, value = word.partition("=")
        if name == KERNEL_PARAMETER and value:
            return value
    return None


def machine_uuid() -> str:
    """Return what stands for a node whose UUID nobody says.

    That of the firmware; where that has none, or only root may know, the
    nil UUID.
    """
    try:
        return str(uuid.UUID(_FIRMWARE_UUID.read_text().strip()))
    except (OSError, ValueError):
        return str(uuid.UUID(int=0))


def this_arch() -> str:
    """Return the architecture of this machine, as trees call it."""
    return arch_of(platform.machine())


def arch_of(machine: str) -> str:
    """Return what trees call what the kernel calls ``machine``."""
    return _ARCHES.get(machine, machine)


def _source(each: Mapping[str, Any], access: Access) -> Source:
    url, keyring = each["url"], each.get("keyring_data")
    if not isinstance(url, str) or not is_web_url(url):
        raise ValueError("the url of one is not http(s)://")
    tree = Tree(url, access=replace(access, authorization=None))
    if keyring:
        tree = replace(tree, keyring=parse_keyring(keyring))
    selections = each.get("selections") or ()
    return Source(tree, tuple(s for s in selections if isinstance(s, dict)))


def _strings(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        return ()
    return tuple(each for each in value if isinstance(each, str))


def _newest(
    products: Iterator[Product],
    labels: set[str],
    disk_format: str | None,
) -> Found | None:
    kinds = [k for k in KINDS if disk_format in (None, k.disk_format)]
    newest: Product | None = None
    for product in products:
        if not {product.label, _ANY} & labels:
            continue
        if not any(product.item(kind.ftype) for kind in kinds):
            continue
        if newest is None or product.place > newest.place:
            newest = product
    if newest is None:
        return None
    for kind in kinds:
        item = newest.item(kind.ftype)
        if item:
            return Found(
                item,
                kind.disk_format,
                kind.compression,
                newest.version,
                newest.item("boot-kernel"),
                newest.item("boot-initrd"),
            )
    return None
