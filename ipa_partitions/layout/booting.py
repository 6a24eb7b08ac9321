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

"""What keeps the systems of a layout from booting, whatever the machine."""

from __future__ import annotations

from collections.abc import Iterator

from ipa_partitions.errors import LackError, LayoutError
from ipa_partitions.layout import model
from ipa_partitions.layout.build import ESP_MOUNT
from ipa_partitions.layout.mounts import contents, holder, is_deployed


def booting_problems(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield all of it; nothing, if no loader of ours is to boot them."""
    if layout.boot.loader != model.NONE:
        yield from _diskless(layout)
        yield from _unbootable(layout)
        yield from _unreadable_by_firmware(layout)
        yield from _unreadable_by_grub(layout)


def _diskless(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield that no disk can have the loader, if one is needed."""
    if layout.systems and not any(disk.may_boot for disk in layout.disks):
        yield LackError(
            "$.partitions", "there is no disk to boot from", "entries"
        )


def _unbootable(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield the systems that cannot boot, as their root stays empty."""
    emptied = {
        name
        for _, content in contents(layout)
        if not content.keep_data and "/" in dict(content.mounts)
        for name in content.images
    }
    for image in layout.systems:
        is_emptied = layout.policy == "clean" or image.name in emptied
        if image.deploy == "never" and is_emptied:
            yield LayoutError(
                f"{image.at}.deploy",
                "'never' leaves nothing to boot where the root is made anew",
            )
    deployed = {i.name for i in layout.systems if is_deployed(layout, i)}
    for at, content in contents(layout):
        names = {i.name for i in layout.systems} & {*content.images}
        is_boot = "/boot" in dict(content.mounts)
        if is_boot and not content.keep_data and names.isdisjoint(deployed):
            yield LayoutError(
                f"{at}.keep_data",
                f"leaves no kernel of {' and '.join(sorted(names))}, which"
                " is not deployed again",
            )


def _unreadable_by_firmware(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield every ESP of a system that is no partition of its own."""
    if layout.boot.firmware == "bios":
        return  # nothing of ours is started from there
    esps = {v.at for d in layout.disks for v in d.volumes if v.role == "esp"}
    systems = {image.name for image in layout.systems}
    for at, content in contents(layout):
        for mount, key in content.mounts:
            is_esp = mount == ESP_MOUNT and systems & {*content.images}
            if is_esp and at not in esps:
                yield LayoutError(
                    f"{at}.{key}", "firmware reads an ESP from a partition"
                )


def _unreadable_by_grub(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield every volume with a kernel in it that GRUB cannot open."""
    if layout.boot.loader != "grub":
        return
    reasons = {
        **{lv.at: "is thin" for lv in _thin(layout)},
        **{bcache.at: "is cached" for bcache in layout.bcaches},
        **{at: "is encrypted" for at, c in contents(layout) if c.encryption},
    }
    for image in layout.systems:
        mounts = {
            mount: at
            for at, content in contents(layout)
            if image.name in content.images
            for mount, _ in content.mounts
        }
        at = mounts.get(holder("/boot", mounts) or "")
        if at in reasons:
            yield LackError(
                at,
                f"{reasons[at]}, so GRUB cannot read the kernel of"
                f" {image.name!r}: give it a volume with the mount /boot",
                "mounts",
            )


def _thin(layout: model.Layout) -> Iterator[model.LogicalVolume]:
    for group in layout.groups:
        yield from (lv for lv in group.volumes if lv.layout == "thin")
