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

from ipa_partitions import registry
from ipa_partitions.errors import LayoutError, raise_all
from ipa_partitions.layout import model
from ipa_partitions.layout.build import ESP_MOUNT
from ipa_partitions.layout.mounts import contents, holder
from ipa_partitions.resolved import Disk, System, Volume, mount_order
from ipa_partitions.urls import url_scheme


def block_targets(layout: model.Layout) -> frozenset[str]:
    """Return the paths of the volumes that block images are written onto.

    Raises LayoutErrors where the target of one is not a volume.
    """
    deployers = registry.load("deployers")
    targets, errors = set(), []
    for image in layout.images:
        if deployers[image.disk_format].kind != "block":
            continue
        holding = [
            (at, content)
            for at, content in contents(layout)
            if image.name in content.images
            and content.mount == image.target
            and not content.subvolumes
        ]
        if not holding and _is_format_known(image):
            errors.append(
                LayoutError(
                    f"{image.at}.target",
                    f"a {image.disk_format} image needs a volume with the"
                    f" mount {image.target} and no subvolumes",
                )
            )
        onto = [
            (at, content)
            for at, content in holding
            if _deploys(layout.policy, image, content)
        ]
        targets |= {at for at, _ in onto}
        errors += [
            LayoutError(
                f"{image.at}.deploy",
                f"a {image.disk_format} image would replace all of {at},"
                " whose data is to be kept",
            )
            for at, content in onto
            if layout.policy == "verify" and content.keep_data
        ]
    raise_all(errors)
    return frozenset(targets)


def _is_format_known(image: model.Image) -> bool:
    """Tell whether it is not only a registry, not asked yet, that knows."""
    return image.is_format_declared or url_scheme(image.url) != "oci"


def _deploys(policy: str, image: model.Image, onto: model.Content) -> bool:
    """Tell whether the image is deployed: SPEC 3.3."""
    if image.deploy == "auto":
        return policy == "clean" or not onto.keep_data
    return image.deploy == "always"


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
        deploys=_deploys(layout.policy, image, onto.content),
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


def default_system(layout: model.Layout) -> int:
    """Return which of the systems is the default: SPEC 2.6."""
    chosen = [n for n, image in enumerate(layout.systems) if image.boot]
    return chosen[0] if chosen else 0
