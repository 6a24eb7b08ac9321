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

"""The kernel and initrd that the image catalog has beside an image.

For a follow-up boot of a node whose ``instance_info`` names none. The
catalog is asked here: what an agent says is nothing for a conductor to
fetch.
"""

from __future__ import annotations

from typing import Any, Final

from ironic.common.exception import (
    InstanceDeployFailure,
    MissingParameterValue,
)

from ipa_partitions.conductor.target import LOCAL, target
from ipa_partitions.errors import ImageError
from ipa_partitions.images.catalog import Catalog, Found, arch_of
from ipa_partitions.layout import Layout
from ipa_partitions.layout.model import Image
from ipa_partitions.layout.mounts import may_deploy
from ipa_partitions.urls import url_scheme

KEY: Final = "partitions_catalog_boot"

FILES: Final = ("kernel", "ramdisk")


def of_node(node: Any) -> dict[str, str]:
    """Return ``kernel`` and ``ramdisk`` if ``instance_info`` has them not.

    It is empty where ``keep`` has found none.
    """
    if not _missing(node):
        return {}
    known = node.driver_internal_info.get(KEY) or {}
    return {key: known[key] for key in FILES if key in known}


def image_of(node: Any, layout: Layout | None) -> Image | None:
    """Return the image whose kernel has to be asked for, if any has.

    It is that of the system that boots by default. Raises
    MissingParameterValue if nobody says what is to be booted.
    """
    missing = _missing(node)
    if not missing:
        return None
    if layout and layout.systems:
        image = layout.systems[layout.default_system]
        if url_scheme(image.url) == "catalog" and layout.catalog_url:
            return image
    raise MissingParameterValue(
        f"instance_info has no {' and no '.join(missing)} of the image that"
        " partitions_boot_target needs, and the document no catalog_url and"
        " image of that catalog"
    )


def forget(node: Any) -> None:
    """Remove what ``keep`` has kept; the caller saves."""
    node.del_driver_internal_info(KEY)


def keep(node: Any, layout: Layout | None, reason: str = "") -> None:
    """Ask the catalog, and keep with the node what it has; see of_node.

    A system that is not deployed again keeps its kernel. For one ``reason``
    the catalog is asked once. The caller saves. Raises
    MissingParameterValue, and InstanceDeployFailure if the catalog has
    nothing to boot.
    """
    image = None if target(node) == LOCAL else image_of(node, layout)
    if layout is None or image is None:
        forget(node)
        return
    known = node.driver_internal_info.get(KEY) or {}
    if reason and known.get("reason") == reason:
        return
    if known.get("image") == image.name and not may_deploy(layout, image):
        return
    machine = node.properties.get("cpu_arch")
    if not machine:
        raise MissingParameterValue(
            f"{image.url}: for its kernel the node's properties['cpu_arch']"
            " has to be set"
        )
    try:
        catalog = Catalog(str(layout.catalog_url), node.uuid, is_secure=True)
        found = catalog.find(
            image.url,
            image.disk_format if image.is_format_declared else None,
            arch_of(machine),
        )
    except ImageError as error:
        raise InstanceDeployFailure(str(error)) from error
    kept = {**_files(image, found), "image": image.name, "reason": reason}
    node.set_driver_internal_info(KEY, kept)


def _missing(node: Any) -> list[str]:
    return [each for each in FILES if not node.instance_info.get(each)]


def _files(image: Image, found: Found) -> dict[str, str]:
    if not found.kernel or not found.initrd:
        raise InstanceDeployFailure(
            f"{image.url}: version {found.version} has no boot-kernel and"
            " boot-initrd"
        )
    return {"kernel": found.kernel.url, "ramdisk": found.initrd.url}
