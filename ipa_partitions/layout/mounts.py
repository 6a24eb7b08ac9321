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

"""Which image mounts which volume, and what is wrong with that."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from ipa_partitions.errors import LackError, LayoutError
from ipa_partitions.layout import model
from ipa_partitions.layout.images import is_block, is_format_known


def contents(layout: model.Layout) -> Iterator[tuple[str, model.Content]]:
    """Yield everything that may hold a filesystem, with its path."""
    for disk in layout.disks:
        for volume in disk.volumes:
            # What the short form says there is the array's.
            if volume.role != "raid":
                yield volume.at, volume.content
    for group in layout.groups:
        for lv in group.volumes:
            yield lv.at, lv.content
    for array in layout.arrays:
        yield array.at, array.content
    for bcache in layout.bcaches:
        yield bcache.at, bcache.content


def mount_problems(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield what is wrong between the volumes and the images."""
    mounts: dict[str, dict[str, str]] = {i.name: {} for i in layout.images}
    for at, content in contents(layout):
        for n, name in enumerate(content.images):
            if name not in mounts:
                yield LackError(
                    f"{at}.images[{n}]",
                    f"there is no image {name!r};"
                    f" there is {', '.join(mounts) or 'none'}",
                    "images",
                )
                continue
            for mount, key in content.mounts:
                here = f"{at}.{key}"
                other = mounts[name].setdefault(mount, here)
                doubled = other != here or name in content.images[:n]
                if doubled and mount.startswith("/"):
                    yield LayoutError(
                        here,
                        f"{other.rpartition('.')[0]} is {mount} of image"
                        f" {name!r} already",
                    )
    for image in layout.images:
        found = [*_image_volumes(image, mounts[image.name])]
        yield from found or block_problems(layout, image)
    yield from doubled_blocks(layout)
    yield from _shared_roots(layout)


def _image_volumes(
    image: model.Image, mounts: Iterable[str]
) -> Iterator[LayoutError]:
    if not mounts:
        yield LackError(
            f"{image.at}.name",
            f"no volume names the image {image.name!r}",
            "names",
        )
    elif image.type == "os" and "/" not in mounts:
        yield LackError(
            f"{image.at}.name",
            f"the image {image.name!r} has no volume with the mount /",
            "mounts",
        )
    elif holder(image.target, mounts) is None:
        yield LackError(
            f"{image.at}.target",
            f"no volume of the image {image.name!r} holds {image.target}",
            "mounts",
        )


def block_volumes(
    layout: model.Layout, image: model.Image
) -> list[tuple[str, model.Content]]:
    """Return what ``image`` is written onto if it is a block image."""
    if not is_block(image.disk_format):
        return []
    return [
        (at, content)
        for at, content in contents(layout)
        if image.name in content.images
        and content.mount == image.target
        and not content.subvolumes
    ]


def block_problems(
    layout: model.Layout, image: model.Image
) -> Iterator[LayoutError]:
    """Yield why ``image``, if it is a block image, cannot be written."""
    if not is_format_known(image):
        return
    onto = block_volumes(layout, image)
    if not onto and is_block(image.disk_format):
        yield LackError(
            f"{image.at}.target",
            f"a {image.disk_format} image needs a volume with the"
            f" mount {image.target} and no subvolumes",
            "mounts",
        )
    for at, content in onto:
        is_kept = layout.policy == "verify" and content.keep_data
        if is_kept and deploys(layout.policy, image, content):
            yield LayoutError(
                f"{image.at}.deploy",
                f"a {image.disk_format} image would replace all of {at},"
                " whose data is to be kept",
            )


def doubled_blocks(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield every block image that would replace all of another one."""
    first: dict[str, model.Image] = {}
    for image in filter(is_format_known, layout.images):
        for at, content in block_volumes(layout, image):
            if not deploys(layout.policy, image, content):
                continue
            other = first.setdefault(at, image)
            if other.name != image.name:
                yield LayoutError(
                    f"{image.at}.target",
                    f"the image {other.name!r} is all of {at} already",
                )


def deploys(policy: str, image: model.Image, onto: model.Content) -> bool:
    """Tell whether the image is deployed: SPEC 3.3."""
    if image.deploy == "auto":
        return policy == "clean" or not onto.keep_data
    return image.deploy == "always"


def is_deployed(layout: model.Layout, image: model.Image) -> bool:
    """Tell whether the image is deployed, by what its target is on."""
    own = {
        mount: content
        for _, content in contents(layout)
        if image.name in content.images
        for mount, _ in content.mounts
    }
    onto = own.get(holder(image.target, own) or "")
    return onto is not None and deploys(layout.policy, image, onto)


def may_deploy(layout: model.Layout, image: model.Image) -> bool:
    """Tell whether the image may be deployed, before its volume is known."""
    if image.deploy == "auto" and layout.policy == "verify":
        return any(
            not content.keep_data
            for _, content in contents(layout)
            if image.name in content.images
        )
    return image.deploy != "never"


def holder(path: str, mounts: Iterable[str]) -> str | None:
    """Return the mount point of the volume on which ``path`` lies."""
    within = [
        mount
        for mount in mounts
        if mount.startswith("/")
        and posixpath.commonpath((mount, path)) == mount
    ]
    return max(within, key=len, default=None)


def _shared_roots(layout: model.Layout) -> Iterator[LayoutError]:
    systems = {image.name for image in layout.systems}
    for at, content in contents(layout):
        sharers = [name for name in content.images if name in systems]
        mounts = [mount for mount, _ in content.mounts]
        if "/" in mounts and len(set(sharers)) > 1:
            yield LayoutError(
                f"{at}.images",
                f"{' and '.join(sharers)} cannot share one root",
            )
