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


"""GRUB for BIOS, from the programs and modules of the ramdisk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ipa_partitions.boot.grub_cfg import MODULES, Menu, render_menu
from ipa_partitions.boot.grubenv import render_environment
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import MachineError
from ipa_partitions.run import run

# The program, and the directory that it was built to install into: Debian's
# and Red Hat's.
_INSTALLERS = {"grub-install": "grub", "grub2-install": "grub2"}


@dataclass(frozen=True)
class Grub:
    """Installs GRUB for BIOS on gpt with ``bios_boot``, and on msdos."""

    modules: Path = Path("/usr/lib/grub/i386-pc")

    @property
    def tools(self) -> tuple[str, ...]:
        """The installer that is there, the first one if none is."""
        present = (name for name in _INSTALLERS if shutil.which(name))
        return (next(present, next(iter(_INSTALLERS))),)

    def validate(self) -> None:
        """Raise MachineError if GRUB's modules for BIOS are not there."""
        if not (self.modules / "modinfo.sh").is_file():
            raise MachineError(
                "$.boot.loader",
                f"GRUB for BIOS is not installed here: no {self.modules}",
            )

    def install(
        self, directory: Path, disks: Sequence[str], menu: Menu
    ) -> None:
        """Put GRUB into ``directory``, then on ``disks``: that comes last."""
        (installer,) = self.tools
        own = _INSTALLERS[installer]
        boot = RootFs(directory)
        for name in _INSTALLERS.values():
            boot.remove_tree(name)
        boot.make_directory(own)
        boot.write(f"{own}/grub.cfg", render_menu(menu))
        boot.write(
            f"{own}/grubenv",
            render_environment({"saved_entry": str(menu.default)}),
        )
        for disk in disks:
            run(
                installer,
                "--target=i386-pc",
                f"--directory={self.modules}",
                f"--boot-directory={directory}",
                f"--install-modules={' '.join(MODULES)}",
                "--locales=", "--fonts=", "--themes=no", "--no-floppy",
                disk,
            )  # fmt: skip
            with Path(disk).open("rb") as device:
                os.fsync(device)


GRUB = Grub()
