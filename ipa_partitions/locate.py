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

"""Find out what the images of a layout are, before it is resolved.

What is asked for here is small, and nothing is written.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace

from ipa_partitions.errors import CommandError, ImageError, raise_all
from ipa_partitions.images import catalog
from ipa_partitions.images.access import ANYBODY, Access
from ipa_partitions.images.configdrive import ConfigDrive
from ipa_partitions.layout.check import problems
from ipa_partitions.layout.images import (
    compression_of,
    format_of,
    to_fetch,
)
from ipa_partitions.layout.model import Checksum, Image, Layout
from ipa_partitions.layout.mounts import may_deploy
from ipa_partitions.urls import public_url, url_scheme

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Servers:
    """What the doors know of the servers of images.

    ``access`` is how they are spoken to where the document does not say,
    ``node_uuid`` which node this is, ``catalog_url`` what the ramdisk was
    told of the image catalog.
    """

    access: Access = ANYBODY
    node_uuid: str | None = None
    catalog_url: str | None = None


def told(layout: Layout, servers: Servers) -> Layout:
    """Return ``layout`` with what is known of its servers filled in."""
    images = (
        replace(image, access=image.access.or_else(servers.access))
        for image in layout.images
    )
    return replace(
        layout,
        images=tuple(images),
        configdrive=_with_instance(layout, servers),
        catalog_url=layout.catalog_url
        or servers.catalog_url
        or catalog.kernel_catalog_url(),
        node_uuid=servers.node_uuid or layout.node_uuid,
    )


def located(layout: Layout) -> Layout:
    """Return ``layout`` with its images as their servers have them.

    Only those are asked for that may be deployed. Raises ImageError if one
    cannot be had, LayoutErrors if it then fits no more.
    """
    images = tuple(
        _located(image, layout) if may_deploy(layout, image) else image
        for image in layout.images
    )
    found = replace(layout, images=images)
    if (
        found.form == "classic"
        and not found.is_whole_disk
        and may_deploy(found, found.images[0])
    ):
        found = _with_the_filesystem(found)
    if found == layout:
        return layout
    layout = found
    raise_all(problems(layout))
    return layout


def _with_the_filesystem(layout: Layout) -> Layout:
    """Return a classic layout whose root has the filesystem of the image.

    Nobody declares that there: Ironic writes whatever comes. What is wrong
    with the image is told where it is validated.
    """
    (image,), (disk,) = layout.images, layout.disks
    *others, root = disk.volumes
    holds = _filesystem_of(image, root.content.file_system)
    content = replace(root.content, file_system=holds)
    disk = replace(disk, volumes=(*others, replace(root, content=content)))
    return replace(layout, disks=(disk,))


def _filesystem_of(image: Image, expected: str) -> str:
    from ipa_partitions.images.deployers import BlockTarget, deployer_of
    from ipa_partitions.images.deployers.block import MisfitError

    to_look_at = to_fetch(image)
    try:
        deployer = deployer_of(to_look_at)
        if deployer.kind == "block":
            deployer.validate(
                to_look_at, BlockTarget(image.at, sys.maxsize, expected, "")
            )
    except MisfitError as error:
        return error.holds
    except (ImageError, CommandError):
        pass
    return expected


def _with_instance(layout: Layout, servers: Servers) -> ConfigDrive | None:
    if layout.configdrive is None:
        return None
    return replace(
        layout.configdrive,
        instance_uuid=servers.node_uuid or layout.node_uuid,
        # The password of the images' server is not this one's.
        access=replace(servers.access, authorization=None),
    )


def _located(image: Image, layout: Layout) -> Image:
    if url_scheme(image.url) == "catalog":
        return _from_catalog(image, layout)
    if url_scheme(image.url) == "oci":
        return _from_registry(image)
    return image


def _from_registry(image: Image) -> Image:
    """Return the image by its digest, with what its manifest declares."""
    from ipa_partitions.images.oci import Registry  # slow to load

    registry = Registry(image.url, image.access)
    artifact = registry.artifact()
    LOG.info("%s is %s", public_url(image.url), public_url(artifact.url))
    if artifact.is_container:
        if image.is_format_declared and image.disk_format != "tar":
            raise ImageError(
                f"{registry.name}: is a container image, which is tar, not"
                f" {image.disk_format}"
            )
        if image.checksum:
            raise ImageError(
                f"{registry.name}: is a container image, whose layers have"
                " their own checksums: name it by its digest"
            )
        return replace(
            image,
            url=artifact.url,
            disk_format="tar",
            is_format_declared=True,
            compression="none",
        )
    (layer,) = artifact.layers
    return replace(
        image,
        url=artifact.url,
        disk_format=image.disk_format
        if image.is_format_declared
        else format_of(layer.title),
        is_format_declared=True,
        compression=image.compression
        if image.is_compression_declared
        else compression_of(layer.title or layer.media_type),
        checksum=image.checksum or Checksum("sha256", layer.sha256),
        size_bytes=layer.size_bytes,
    )


def _from_catalog(image: Image, layout: Layout) -> Image:
    """Return the image with the URL that the catalog has for it."""
    if not layout.catalog_url:
        raise catalog.CatalogUnreachableError(
            f"{image.url}: there is no image catalog: neither catalog_url nor"
            f" the kernel parameter {catalog.KERNEL_PARAMETER}"
        )
    # Who may have images from one server need not be known to this one.
    access = replace(image.access, authorization=None)
    node_uuid = layout.node_uuid or catalog.machine_uuid()
    found = catalog.Catalog(layout.catalog_url, node_uuid, access).find(
        image.url, image.disk_format if image.is_format_declared else None
    )
    LOG.info(
        "%s is version %s, %s%s",
        image.url,
        found.version,
        public_url(found.item.url),
        "".join(
            f", {item.ftype} {public_url(item.url)}"
            for item in (found.kernel, found.initrd)
            if item
        ),
    )
    return replace(
        image,
        url=found.item.url,
        access=access,
        disk_format=found.disk_format,
        compression=found.compression,
        checksum=_checksum(image, found.item.sha256),
        size_bytes=found.item.size_bytes,
    )


def _checksum(image: Image, sha256: str) -> Checksum:
    """Return what to check the image with that the catalog has.

    Raises ImageError for a checksum of the document that differs, or says
    less than the catalog's, which may be signed.
    """
    known, own = Checksum("sha256", sha256), image.checksum
    if own is None or own == known:
        return known
    if own.digest is None or own.algorithm == "sha256":
        raise ImageError(
            f"{image.url}: its sha256 is {sha256} in the catalog, not"
            f" {own.digest or 'one of a list'}"
        )
    return own
