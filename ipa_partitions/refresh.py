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

"""Make the boot menu anew from the systems as they are now."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

from ipa_partitions import boot_info
from ipa_partitions.boot import grubenv, menu_file
from ipa_partitions.boot.entries import Bootable
from ipa_partitions.boot.grub_cfg import render_menu
from ipa_partitions.boot.menu import MenuEntry
from ipa_partitions.disk.look import to_read
from ipa_partitions.disk.mount import UNTRUSTED
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.disk.tree import Mount, mounted_tree
from ipa_partitions.errors import CommandError, ImageError

LOG = logging.getLogger(__name__)


def refresh(directory: Path, devices: Mapping[str, str]) -> tuple[str, ...]:
    """Rewrite the menu in a mounted boot directory, by one rename.

    ``devices`` are those of filesystems, by UUID. The entry of a system
    that cannot be read stays as it is; returns why, a line for each. Raises
    ImageError if the directory has no menu of ours.
    """
    file = menu_file.read(directory)
    problems = []
    entries = []
    for system, entry in zip(file.systems, file.menu.entries, strict=True):
        try:
            entries.append(_read(system, devices))
        except (CommandError, ImageError) as error:
            problems.append(f"{system.name}: the entry stays: {error}")
            entries.append(entry)
    menu = dataclasses.replace(file.menu, entries=tuple(entries))
    menu_file.write(directory, dataclasses.replace(file, menu=menu))
    boot = RootFs(directory)
    boot.write(grubenv.menu_path(boot), render_menu(menu))
    info = boot_info.read(directory)
    titles = [entry.title for entry in (*menu.entries, *menu.foreign)]
    elements = (
        dataclasses.replace(element, boot_name=title)
        for element, title in zip(info.elements, titles, strict=True)
    )
    boot_info.write(
        directory, dataclasses.replace(info, elements=tuple(elements))
    )
    return tuple(problems)


def _read(system: Bootable, devices: Mapping[str, str]) -> MenuEntry:
    mounts = []
    for place in system.places:
        device = devices.get(place.uuid)
        if device is None:
            raise ImageError(
                f"there is no filesystem {place.uuid} for its {place.mount}"
            )
        options = (f"subvol={place.subvolume}",) if place.subvolume else ()
        mounts.append(to_read(Mount(device, place.mount, options)))
    with mounted_tree(mounts, UNTRUSTED) as where:
        return system.entry(RootFs(where))
