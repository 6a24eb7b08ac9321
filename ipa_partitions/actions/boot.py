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


"""Make the machine boot the systems, by one loader and one menu."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions import registry
from ipa_partitions.boot.command_line import kernel_words
from ipa_partitions.boot.grub_cfg import Menu, MenuEntry, Serial
from ipa_partitions.boot.image_text import read_title
from ipa_partitions.boot.kernels import find_kernels
from ipa_partitions.boot.loader import BootLoader
from ipa_partitions.boot_info import BootDirectory
from ipa_partitions.disk.mount import READ_ONLY
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.disk.tree import mounted_tree
from ipa_partitions.layout import model
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout, System, Volume
from ipa_partitions.stack import base_of, grub_modules, root_words

# What is read of a system lies on these, if they are volumes of their own.
_READ_MOUNTS = ("/", "/boot", "/usr")
# Those that GRUB can write a saved entry to, on a plain partition.
_WRITABLE_BY_GRUB = ("ext2", "ext3", "ext4")


def boot_directory(resolved: ResolvedLayout) -> BootDirectory:
    """Return where boot-info.json and the loader's files go."""
    if resolved.multiboot:
        return BootDirectory(resolved.multiboot.device, "/")
    boot = resolved.bootable[0].boot
    path = "/boot" if boot.content.mount == "/" else ""
    return BootDirectory(boot.device, _on_device(boot, path) or "/")


def _on_device(volume: Volume, path: str) -> str:
    """Return where ``path`` of ``volume`` is for who mounts all of it."""
    return f"/{volume.subvolume}{path}" if volume.subvolume else path


def boot_name(root: RootFs, system: System) -> str:
    """Return what the menu calls a mounted system."""
    title = read_title(root, system.image.name)
    return f"{title} (on {system.root.device})"


@contextmanager
def mounted_system(system: System) -> Iterator[RootFs]:
    """Mount what has to be read of ``system``, and yield its root."""
    places = [volume.place for volume in _read(system)]
    with mounted_tree(places, READ_ONLY) as where:
        yield RootFs(where)


def _read(system: System) -> tuple[Volume, ...]:
    return tuple(v for v in system.mounts if v.content.mount in _READ_MOUNTS)


def _is_writable_by_grub(resolved: ResolvedLayout, volume: Volume) -> bool:
    base = base_of(resolved, volume)
    return (
        volume.content.file_system in _WRITABLE_BY_GRUB
        and not base.group
        and not base.arrays
    )


@dataclass(frozen=True)
class InstallBootLoader:
    """Install the loader and a menu of all systems.

    They are read first: one without a kernel fails before anything of an
    earlier loader is touched.
    """

    systems: tuple[System, ...]
    root_words: tuple[tuple[str, ...], ...]
    disks: tuple[str, ...]
    directory: BootDirectory
    saves: bool
    default: int
    boot: model.Boot
    kernel_params: str
    modules: tuple[str, ...]
    phase: ClassVar[Phase] = Phase.BOOT

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterable[Self]:
        """Return the action, if there is a system and a loader for it."""
        if not resolved.installs_loader:
            return []
        volume = resolved.multiboot or resolved.bootable[0].boot
        return [
            cls(
                resolved.bootable,
                tuple(
                    tuple(root_words(resolved, system.root))
                    for system in resolved.bootable
                ),
                tuple(disk.device for disk in resolved.boot_disks),
                boot_directory(resolved),
                _is_writable_by_grub(resolved, volume),
                resolved.default_system,
                resolved.layout.boot,
                resolved.layout.kernel_params,
                tuple(grub_modules(resolved)),
            )
        ]

    @property
    def tools(self) -> tuple[str, ...]:
        """The programs of the loader, and those that mount."""
        return ("mount", "umount", *self._loader.tools)

    @property
    def devices(self) -> frozenset[str]:
        """The devices that it works on."""
        volumes = (v.device for s in self.systems for v in s.mounts)
        return frozenset((*volumes, *self.disks, self.directory.device))

    @property
    def _loader(self) -> BootLoader:
        loader: BootLoader = registry.load("bootloaders")[self.boot.loader]
        return loader

    def __str__(self) -> str:
        """Return what it does."""
        names = ", ".join(
            system.image.name + (" (default)" if i == self.default else "")
            for i, system in enumerate(self.systems)
        )
        return (
            f"install {self.boot.loader} on {', '.join(self.disks)},"
            f" its files on {self.directory.device}, to boot {names}"
        )

    def validate(self) -> None:
        """Raise MachineError if the loader cannot be installed."""
        self._loader.validate()

    def execute(self) -> None:
        """Read the systems, then install."""
        serial = self.boot.serial
        menu = Menu(
            tuple(map(self._entry, self.systems, self.root_words)),
            self.default,
            self.boot.timeout_s,
            Serial.parse(serial) if serial else None,
            self.saves,
            self.modules,
        )
        with self.directory.opened(writable=True) as directory:
            self._loader.install(directory, self.disks, menu)

    def _entry(self, system: System, root_words: tuple[str, ...]) -> MenuEntry:
        read = {volume.content.mount: volume for volume in _read(system)}
        with mounted_system(system) as root:
            kernel = find_kernels(root, system.image.name, [*read])[0]
            title = boot_name(root, system)
        return MenuEntry(
            system.image.name,
            title,
            read[kernel.mount].uuid,
            _on_device(read[kernel.mount], kernel.path),
            tuple(_on_device(read[kernel.mount], i) for i in kernel.initrds),
            (
                f"root=UUID={system.root.uuid}",
                "ro",
                *root_words,
                *kernel.words,
                *kernel_words(self.kernel_params),
            ),
        )
