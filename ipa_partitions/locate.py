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

from dataclasses import dataclass, replace

from ipa_partitions.images.access import ANYBODY, Access
from ipa_partitions.images.configdrive import ConfigDrive
from ipa_partitions.layout.model import Image, Layout


@dataclass(frozen=True)
class Servers:
    """What the doors know of the servers of images.

    ``access`` is how they are spoken to where the document does not say,
    ``node_uuid`` which node this is.
    """

    access: Access = ANYBODY
    node_uuid: str | None = None


def located(layout: Layout, servers: Servers) -> Layout:
    """Return ``layout`` with its images as their servers have them."""
    images = tuple(_located(image, servers) for image in layout.images)
    return replace(
        layout,
        images=images,
        configdrive=_with_instance(layout, servers),
    )


def _with_instance(layout: Layout, servers: Servers) -> ConfigDrive | None:
    if layout.configdrive is None:
        return None
    return replace(
        layout.configdrive,
        instance_uuid=servers.node_uuid or layout.node_uuid,
        # The password of the images' server is not this one's.
        access=replace(servers.access, authorization=None),
    )


def _located(image: Image, servers: Servers) -> Image:
    return replace(image, access=image.access.or_else(servers.access))
