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

"""GRUB, from the programs and modules of the ramdisk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from ipa_partitions.boot import esp, grub_bios, grub_efi
from ipa_partitions.boot.efi import architecture, choose_signed
from ipa_partitions.boot.grub_cfg import render_menu
from ipa_partitions.boot.grubenv import render_environment
from ipa_partitions.boot.loader import Target
from ipa_partitions.boot.menu import Menu
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import MachineError

# What the programs of Debian and of Red Hat are called, which is also the
# directory that they were built to install into.
_NAMES = ("grub", "grub2")


@dataclass(frozen=True)
class Grub:
    """Installs GRUB for BIOS on gpt with ``bios_boot``, and on msdos.

    For UEFI it goes to ESPs: signed, behind shim, where the ramdisk has
    both, else made of modules.
    """

    bios_modules: Path = Path("/usr/lib/grub/i386-pc")

    @property
    def name(self) -> str:
        """What it is called here, the first name if it is not there."""
        there = (n for n in _NAMES if shutil.which(f"{n}-mkimage"))
        return next(there, _NAMES[0])

    def tools(self, target: Target) -> tuple[str, ...]:
        """Return the programs that it starts."""
        return tuple(self._tools(target))

    def _tools(self, target: Target) -> Iterator[str]:
        if target.bios_disks:
            yield f"{self.name}-install"
        if target.esps:
            yield from (*esp.TOOLS, f"{self.name}-mkimage")

    def validate(self, target: Target) -> None:
        """Raise MachineError if what it needs is not there."""
        if target.bios_disks:
            _refuse_without("BIOS", self.bios_modules)
        if target.esps and not choose_signed(target.secure_boot):
            _refuse_without("UEFI", architecture().modules)

    def install(self, directory: Path, target: Target, menu: Menu) -> None:
        """Put GRUB into ``directory``, then on disks: that comes last."""
        boot, own = RootFs(directory), self.name
        boot.remove_tree(own)
        # The environment that is found first has to be ours.
        for other in takewhile(lambda name: name != own, _NAMES):
            boot.remove_tree(f"{other}/grubenv")
        boot.make_directory(own)
        text = render_menu(menu)
        boot.write(f"{own}/grub.cfg", text)
        boot.write(
            f"{own}/grubenv",
            render_environment({"saved_entry": str(menu.default)}),
        )
        if target.esps:
            path = f"{target.path.rstrip('/')}/{own}"
            grub_efi.install(directory / own, path, own, target, text)
        for disk in target.bios_disks:
            grub_bios.install(directory, disk, own, self.bios_modules)

    def efi_path(self, target: Target) -> str:
        """Return what UEFI is to start, a path of each ESP."""
        return grub_efi.path(choose_signed(target.secure_boot))


def _refuse_without(firmware: str, modules: Path) -> None:
    if not (modules / "modinfo.sh").is_file():
        raise MachineError(
            "$.boot.loader",
            f"GRUB for {firmware} is not installed here: no {modules}",
        )


GRUB = Grub()
