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

"""The images of a layout: what follows from a URL, and what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ipa_partitions import registry
from ipa_partitions.errors import LayoutError
from ipa_partitions.images.image import Image
from ipa_partitions.layout import document as doc
from ipa_partitions.layout import model
from ipa_partitions.layout.values import parse_hash
from ipa_partitions.urls import public_url, url_path, url_scheme

# The words of SPEC 2.6 and 2.2; plug-ins may bring more of either.
FORMATS = ("raw", "qcow2", "tar", "squashfs", "dir")
_BLOCK_FORMATS = ("raw", "qcow2")
SCHEMES = (
    "http", "https", "file", "rsync", "ssh", "oci", "catalog",
)  # fmt: skip
_TREE_SCHEMES = ("rsync", "ssh")
_COMPRESSION = {
    ".gz": "gzip", ".xz": "xz", ".zst": "zstd", ".zstd": "zstd",
    # The media types of registries.
    "+gzip": "gzip", "+zstd": "zstd", ".tar.gzip": "gzip",
}  # fmt: skip
_DIGESTS = {64: "sha256", 128: "sha512"}


def build_image(at: str, image: doc.Image) -> model.Image:
    """Return the image with what its URL declares filled in."""
    path = url_path(image.image_pull_url)
    disk_format = image.disk_format or _format(image.image_pull_url, path)
    by_suffix = "none" if disk_format == "dir" else compression_of(path)
    return model.Image(
        at=at,
        name=image.name,
        boot=image.boot,
        image_name=image.image_name or image.name,
        image_uuid=image.image_uuid,
        url=image.image_pull_url,
        target=image.target,
        disk_format=disk_format,
        compression=image.compression or by_suffix,
        checksum=build_checksum(
            image.os_hash_algo, image.os_hash_value, image.checksum
        ),
        deploy=image.deploy,
        type=image.image_type,
        is_format_declared=image.disk_format is not None,
        is_compression_declared=image.compression is not None,
    )


def _format(url: str, path: str) -> str:
    """Return the format that the URL declares: SPEC 2.6."""
    if _scheme(url) in _TREE_SCHEMES:
        return "dir"
    if _scheme(url) == "catalog":
        return "squashfs"  # until its server says otherwise
    return format_of(path)


def format_of(path: str) -> str:
    """Return the format that the suffixes of ``path`` stand for."""
    if re.search(r"\.tar(\.[^./]+)?$", path):
        return "tar"
    plain = re.sub(r"\.(gz|xz|zst|zstd)$", "", path)
    for name in ("qcow2", "squashfs"):
        if plain.endswith(f".{name}"):
            return name
    return "raw"


def compression_of(path: str) -> str:
    """Return the compression that the last suffix of ``path`` stands for."""
    declared = (c for end, c in _COMPRESSION.items() if path.endswith(end))
    return next(declared, "none")


def _scheme(url: str) -> str | None:
    try:
        return url_scheme(url)
    except ValueError:
        return None


def build_checksum(
    algorithm: str | None, digest: str | None, checksum: str | None
) -> model.Checksum | None:
    """Return the checksum that the three keys stand for, None for none."""
    value = checksum if digest is None else digest
    if value is None:
        return None
    if "/" in value and digest is None:
        return model.Checksum(algorithm, None, value)
    return model.Checksum(
        algorithm or _DIGESTS.get(len(value)),
        value.lower(),
        key="checksum" if digest is None else "os_hash_value",
    )


def image_problems(images: Iterable[model.Image]) -> Iterator[LayoutError]:
    """Yield what is wrong with the images, each and between them."""
    seen: dict[str, str] = {}
    chosen: str | None = None
    for image in images:
        if image.name in seen:
            yield LayoutError(
                f"{image.at}.name",
                f"{image.name!r} is at {seen[image.name]} already",
            )
        seen.setdefault(image.name, image.at)
        if image.boot and image.type == "data":
            yield LayoutError(
                f"{image.at}.boot", "there is nothing to boot in data"
            )
        elif image.boot and chosen:
            yield LayoutError(
                f"{image.at}.boot", f"{chosen} is the default already"
            )
        elif image.boot:
            chosen = image.at
        yield from _url_problems(image)
        yield from _checksum_problems(image)


def _url_problems(image: model.Image) -> Iterator[LayoutError]:
    if not _is_plugin("deployers", image.disk_format, FORMATS):
        yield LayoutError(
            f"{image.at}.disk_format",
            f"{image.disk_format!r} is not one of {', '.join(FORMATS)}",
        )
    elif image.type == "whole-disk" and not is_block(image.disk_format):
        yield LayoutError(
            f"{image.at}.disk_format",
            f"{image.disk_format!r} does not bring a whole disk",
        )
    try:
        scheme = url_scheme(image.url)
    except ValueError as error:
        yield LayoutError(f"{image.at}.image_pull_url", str(error))
        return
    if not _is_plugin("sources", scheme, SCHEMES):
        yield LayoutError(
            f"{image.at}.image_pull_url",
            f"{scheme!r} is not one of {', '.join(SCHEMES)}",
        )
    elif scheme in SCHEMES and scheme != "catalog":
        yield from _format_problems(image, scheme in _TREE_SCHEMES)


def _format_problems(
    image: model.Image, is_tree: bool
) -> Iterator[LayoutError]:
    if is_tree != (image.disk_format == "dir"):
        yield LayoutError(
            f"{image.at}.disk_format",
            f"{image.disk_format!r} does not come from"
            f" {public_url(image.url)}",
        )
    elif is_tree and image.compression != "none":
        yield LayoutError(
            f"{image.at}.compression", "a directory is not compressed"
        )


def to_fetch(image: model.Image) -> Image:
    """Return what it takes to fetch ``image``, once it is located."""
    checksum = image.checksum
    return Image(
        image.name,
        image.url,
        image.disk_format,
        image.compression,
        checksum.algorithm if checksum else None,
        checksum.digest if checksum else None,
        checksum.sums_url if checksum else None,
        image.access,
        image.size_bytes,
    )


def is_format_known(image: model.Image) -> bool:
    """Tell whether it is not only a registry, not asked yet, that knows."""
    return image.is_format_declared or _scheme(image.url) != "oci"


def is_block(disk_format: str) -> bool:
    """Tell whether such an image is written onto a volume, not into it."""
    if disk_format in FORMATS:  # loading all of them would take a while
        return disk_format in _BLOCK_FORMATS
    deployer = registry.load("deployers").get(disk_format)
    return deployer is not None and bool(deployer.kind == "block")


def _is_plugin(kind: registry.Kind, name: str, ours: Iterable[str]) -> bool:
    return name in ours or name in registry.load(kind)


def _checksum_problems(image: model.Image) -> Iterator[LayoutError]:
    checksum = image.checksum
    if checksum is None:
        if image.url.lower().startswith("http://"):
            yield LayoutError(
                f"{image.at}.os_hash_value",
                "is required for what comes over plain http",
            )
        return
    at = f"{image.at}.{checksum.key}"
    if image.disk_format == "dir":
        yield LayoutError(at, "a directory has no checksum")
    elif checksum.sums_url is not None:
        if _scheme(checksum.sums_url) not in ("http", "https", "file"):
            yield LayoutError(
                at, "is neither a digest nor an http(s) or file URL"
            )
    elif (
        checksum.algorithm is None
        or checksum.digest is None
        or "/" in checksum.digest
    ):
        # It is not shown: a URL may have a secret.
        nor = ", nor the URL of a sums file"
        yield LayoutError(
            at,
            "is no sha256 or sha512 digest"
            + (nor if checksum.key == "checksum" else ""),
        )
    else:
        try:
            parse_hash(checksum.algorithm, checksum.digest)
        except ValueError as error:
            yield LayoutError(at, str(error))
