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

"""Which image mounts what, and which is deployed onto what."""

from __future__ import annotations

from collections.abc import Sequence

from ipa_partitions.errors import raise_all
from ipa_partitions.layout import model
from ipa_partitions.layout.build import ESP_MOUNT
from ipa_partitions.layout.mounts import (
    block_problems,
    block_volumes,
    deploys,
    doubled_blocks,
    holder,
)
from ipa_partitions.resolved import Disk, System, Volume, mount_order


def block_targets(layout: model.Layout) -> frozenset[str]:
    """Return the paths of the volumes that block images are written onto.

    Raises LayoutErrors where the target of one is not a volume: what a
    server says that an image is, no document has told.
    """
    raise_all(
        (
            *doubled_blocks(layout),
            *(
                error
                for image in layout.images
                for error in block_problems(layout, image)
            ),
        )
    )
    return frozenset(
        at
        for image in layout.images
        for at, content in block_volumes(layout, image)
        if deploys(layout.policy, image, content)
    )


def resolve_systems(
    layout: model.Layout, volumes: Sequence[Volume]
) -> tuple[System, ...]:
    """Return every image with the volumes that it mounts."""
    return tuple(_system(layout, image, volumes) for image in layout.images)


def _system(
    layout: model.Layout, image: model.Image, volumes: Sequence[Volume]
) -> System:
    own = [
        view
        for volume in volumes
        if image.name in volume.content.images
        for view in volume.views()
    ]
    placed = [volume for volume in own if volume.content.is_mounted]
    esps = [
        volume
        for volume in placed
        if image.type == "os" and volume.content.mount == ESP_MOUNT
    ]
    mounts = sorted(
        (volume for volume in placed if volume not in esps), key=mount_order
    )
    target = holder(image.target, [v.content.mount for v in mounts])
    onto = next(v for v in mounts if v.content.mount == target)
    return System(
        image=image,
        mounts=tuple(mounts),
        swaps=tuple(v for v in own if v.content.mount == "swap"),
        deploys=deploys(layout.policy, image, onto.content),
        esps=tuple(esps),
    )


def find_multiboot(disks: Sequence[Disk]) -> Volume | None:
    return next(
        (
            partition.volume
            for disk in disks
            for partition in disk.partitions
            if partition.role == "multiboot"
        ),
        None,
    )
