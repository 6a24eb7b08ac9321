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


"""Say what was deployed, in boot-info.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ipa_partitions import boot_info
from ipa_partitions.actions.boot import boot_directory
from ipa_partitions.boot import menu_file
from ipa_partitions.boot.menu import ChainEntry, MenuEntry
from ipa_partitions.disk.mount import UNTRUSTED, mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.plan import Phase
from ipa_partitions.resolve.systems import find_multiboot
from ipa_partitions.resolved import ResolvedLayout, System, Volume


@dataclass(frozen=True)
class WriteBootInfo:
    """Write boot-info.json to the boot directory and to the ramdisk.

    Where one system is left of several, that of their menu goes away: it
    would be found first.
    """

    systems: tuple[System, ...]
    directory: boot_info.BootDirectory
    default: int
    multiboot_uuid: str | None
    stale: Volume | None = None
    phase: ClassVar[Phase] = Phase.REPORT
    tools: ClassVar[tuple[str, ...]] = ("mount", "umount")

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterable[Self]:
        """Return the action, if there is a menu to write about."""
        if not resolved.installs_loader:
            return []
        multiboot = resolved.multiboot
        return [
            cls(
                resolved.bootable,
                boot_directory(resolved),
                resolved.default_system,
                multiboot.uuid if multiboot else None,
                None if multiboot else _kept_multiboot(resolved),
            )
        ]

    @property
    def devices(self) -> frozenset[str]:
        """The devices that it works on."""
        volumes = (v.device for s in self.systems for v in s.mounts)
        stale = [self.stale.device] if self.stale else []
        return frozenset((*volumes, self.directory.device, *stale))

    def __str__(self) -> str:
        """Return what it does."""
        places = f"{self.directory.device} and {boot_info.RAMDISK}"
        return f"write {boot_info.NAME} to {places}"

    def validate(self) -> None:
        """Agree: it writes to what was made before."""

    def execute(self) -> None:
        """Write both files, with what the menu shows."""
        with self.directory.opened(writable=True) as directory:
            menu = menu_file.read(directory).menu
            own = map(self._element, self.systems, menu.entries)
            elements = (*own, *map(_foreign, menu.foreign))
            info = boot_info.BootInfo(
                tuple(
                    replace(element, grub_id=grub_id)
                    for grub_id, element in enumerate(elements)
                ),
                self.default,
                self.multiboot_uuid,
            )
            boot_info.write(directory, info)
        if self.stale:
            with mounted(self.stale.device, UNTRUSTED) as root:
                RootFs(root).remove_tree(f"/{boot_info.NAME}")
        boot_info.write(boot_info.RAMDISK, info)

    def _element(self, system: System, entry: MenuEntry) -> boot_info.Element:
        image = system.image
        return boot_info.Element(
            0,
            image.image_name,
            image.name,
            image.image_uuid,
            entry.title,
            system.root.uuid,
        )


def _kept_multiboot(resolved: ResolvedLayout) -> Volume | None:
    found = find_multiboot(resolved.disks)
    return found if found and not found.is_new else None


def _foreign(entry: MenuEntry | ChainEntry) -> boot_info.Element:
    return boot_info.Element(
        0, entry.title, entry.name, None, entry.title, entry.root_uuid
    )
