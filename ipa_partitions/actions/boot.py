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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Self

from ipa_partitions import registry
from ipa_partitions.boot import foreign, menu_file
from ipa_partitions.boot.command_line import kernel_words
from ipa_partitions.boot.efi import choose_signed
from ipa_partitions.boot.entries import Bootable, Place
from ipa_partitions.boot.esp import Esp
from ipa_partitions.boot.loader import BootLoader, Target
from ipa_partitions.boot.menu import Menu, MenuEntry, Serial
from ipa_partitions.boot.signature import is_enforced, refusal, trusted
from ipa_partitions.boot_info import BootDirectory
from ipa_partitions.disk.look import to_read
from ipa_partitions.disk.mount import READ_ONLY
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.disk.tree import mounted_tree
from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.layout import model
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout, System, Volume
from ipa_partitions.stack import (
    base_of,
    grub_modules,
    storage_words,
    subvolume_words,
)

# What is read of a system lies on these, if they are volumes of their own.
_READ_MOUNTS = ("/", "/boot", "/usr")
# Those that GRUB can write a saved entry to, on a plain partition.
_WRITABLE_BY_GRUB = ("ext2", "ext3", "ext4")
# A system on trial that panics gives way to the one before.
_PANIC_WORD = "panic=30"


def boot_directory(resolved: ResolvedLayout) -> BootDirectory:
    """Return where boot-info.json and the loader's files go."""
    volume, path = _directory(resolved)
    return BootDirectory(volume.device, _place(volume).path(path) or "/")


def _directory(resolved: ResolvedLayout) -> tuple[Volume, str]:
    """Return the volume of the boot directory, and its path there."""
    if resolved.multiboot:
        return resolved.multiboot, ""
    boot = resolved.bootable[0].boot
    return boot, "/boot" if boot.content.mount == "/" else ""


def _place(volume: Volume) -> Place:
    return Place(volume.content.mount, volume.uuid, volume.subvolume)


def target(resolved: ResolvedLayout) -> Target:
    """Return what the loader is installed on."""
    volume, path = _directory(resolved)
    is_bios = resolved.firmware != "uefi"
    return Target(
        tuple(disk.device for disk in resolved.boot_disks if is_bios),
        tuple(
            Esp(partition.volume.device, disk.device, partition.number)
            for disk, partition in resolved.esps
        ),
        volume.uuid,
        _place(volume).path(path),
        resolved.layout.boot.secure_boot,
    )


@contextmanager
def mounted_system(system: System) -> Iterator[RootFs]:
    """Mount what has to be read of ``system``, and yield its root."""
    places = [volume.place for volume in _read(system)]
    with mounted_tree(places, READ_ONLY) as where:
        yield RootFs(where)


@contextmanager
def _looked_at(system: System) -> Iterator[RootFs]:
    """Mount it as ``mounted_system`` does, and write no journal's rest."""
    places = [to_read(volume.place) for volume in _read(system)]
    with mounted_tree(places) as where:
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


def _bootable(resolved: ResolvedLayout, system: System) -> Bootable:
    further = kernel_words(resolved.layout.kernel_params)
    if resolved.falls_back:
        further = (_PANIC_WORD, *further)
    return Bootable(
        system.image.name,
        system.root.device,
        system.root.uuid,
        tuple(map(_place, _read(system))),
        tuple(_storage_words(resolved, system)),
        further,
        system.is_block and not system.root.subvolume,
    )


def _storage_words(resolved: ResolvedLayout, system: System) -> Iterable[str]:
    """Return what tells an initrd where the tree is that it mounts."""
    # It mounts /usr as well, before the system's own files say where it is.
    found = (
        storage_words(resolved, volume)
        for volume in system.mounts
        if volume.content.mount in ("/", "/usr")
    )
    words = (*subvolume_words(system.root), *chain.from_iterable(found))
    return dict.fromkeys(words)


@dataclass(frozen=True)
class InstallBootLoader:
    """Install the loader and a menu of all systems.

    They are read first: one without a kernel fails before anything of an
    earlier loader is touched.
    """

    systems: tuple[System, ...]
    bootables: tuple[Bootable, ...]
    target: Target
    directory: BootDirectory
    saves: bool
    default: int
    boot: model.Boot
    falls_back: bool
    modules: tuple[str, ...]
    not_foreign: frozenset[str]
    phase: ClassVar[Phase] = Phase.BOOT

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterable[Self]:
        """Return the action, if there is a system and a loader for it."""
        if not resolved.installs_loader:
            return []
        volume, _ = _directory(resolved)
        return [
            cls(
                resolved.bootable,
                tuple(_bootable(resolved, s) for s in resolved.bootable),
                target(resolved),
                boot_directory(resolved),
                _is_writable_by_grub(resolved, volume),
                resolved.default_system,
                resolved.layout.boot,
                resolved.falls_back,
                tuple(grub_modules(resolved)),
                frozenset(
                    v.device
                    for v in resolved.volumes
                    if v.is_new
                    or any(
                        v.device == s.root.device for s in resolved.bootable
                    )
                ),
            )
        ]

    @property
    def tools(self) -> tuple[str, ...]:
        """The programs of the loader, and those that mount."""
        further = foreign.TOOLS if self.boot.foreign else ()
        return ("mount", "umount", *self._loader.tools(self.target), *further)

    @property
    def devices(self) -> frozenset[str]:
        """The devices that it works on."""
        volumes = (v.device for s in self.systems for v in s.mounts)
        return frozenset(
            (
                *volumes,
                *self.target.bios_disks,
                *(esp.device for esp in self.target.esps),
                self.directory.device,
            )
        )

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
        where = (
            *self.target.bios_disks,
            *(f"the ESP {esp.device}" for esp in self.target.esps),
        )
        return (
            f"install {self.boot.loader} on {', '.join(where)},"
            f" its files on {self.directory.device}, to boot {names}"
            + (" and what else is found" if self.boot.foreign else "")
        )

    def validate(self) -> None:
        """Raise MachineError if the loader cannot be installed.

        A system that stays and that shim refuses is an ImageError.
        """
        self._loader.validate(self.target)
        if refusals := [*self.refusals()]:
            raise ImageError("; ".join(refusals))

    @property
    def may_be_refused(self) -> bool:
        """Tell whether a system stays that Secure Boot has to start."""
        stays = any(not system.deploys for system in self.systems)
        return stays and self._needs_signatures()

    def refusals(self) -> Iterator[str]:
        """Yield what shim will not start of the systems that stay."""
        if not self.may_be_refused:
            return
        for system, bootable in zip(self.systems, self.bootables, strict=True):
            if system.deploys:
                continue
            # One that is encrypted, say, is read when it has been opened.
            with suppress(CommandError), _looked_at(system) as root:
                yield from self._refusals(bootable, root)

    def _needs_signatures(self) -> bool:
        wanted = self.boot.secure_boot
        return bool(self.target.esps) and (
            wanted is True or (wanted == "auto" and is_enforced())
        )

    def _refusals(self, bootable: Bootable, root: RootFs) -> Iterator[str]:
        signed = choose_signed(self.boot.secure_boot)
        if signed is None:
            return
        trust = trusted(signed.shim.read_bytes())
        if why := refusal(bootable.kernel(root), trust):
            yield (
                f"image {bootable.name!r}: Secure Boot does not start its"
                f" kernel, which {why}"
            )

    def execute(self) -> None:
        """Read the systems, then install."""
        serial = self.boot.serial
        menu = Menu(
            tuple(map(self._entry, self.systems, self.bootables)),
            self.default,
            self.boot.timeout_s,
            Serial.parse(serial) if serial else None,
            self.saves,
            self.modules,
            foreign.find(self.not_foreign) if self.boot.foreign else (),
        )
        with self.directory.opened(writable=True) as directory:
            self._loader.install(directory, self.target, menu)
            file = menu_file.MenuFile(self.bootables, menu, self.falls_back)
            menu_file.write(directory, file)

    def _entry(self, system: System, bootable: Bootable) -> MenuEntry:
        with mounted_system(system) as root:
            if self._needs_signatures():
                for refused in self._refusals(bootable, root):
                    raise ImageError(refused)
            return bootable.entry(root)
