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

"""What a boot loader plug-in is, and the one that installs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ipa_partitions.boot.esp import Esp
from ipa_partitions.boot.menu import Menu


@dataclass(frozen=True)
class Target:
    """What a loader is installed on.

    ``bios_disks`` are those that BIOS is to start, ``esps`` the partitions
    that UEFI is. ``uuid`` is that of the filesystem with the loader's
    directory, which a loader that reads this filesystem alone sees at
    ``path``. ``secure_boot`` is as in the document.
    """

    bios_disks: tuple[str, ...]
    esps: tuple[Esp, ...]
    uuid: str
    path: str
    secure_boot: str | bool = "auto"


class BootLoader(Protocol):
    """Installs itself."""

    def tools(self, target: Target) -> tuple[str, ...]:
        """Return the programs that it starts."""

    def validate(self, target: Target) -> None:
        """Raise MachineError if this machine cannot install it."""

    def install(self, directory: Path, target: Target, menu: Menu) -> None:
        """Put its files and ``menu`` into ``directory``, then on ``target``.

        ``directory`` is free of links. What an earlier loader had in its
        place is removed.
        """

    def efi_path(self, target: Target) -> str:
        """Return what UEFI is to start, a path of each ESP."""


@dataclass(frozen=True)
class NoLoader:
    """The machine boots by other means."""

    def tools(self, target: Target) -> tuple[str, ...]:
        """Return none."""
        return ()

    def validate(self, target: Target) -> None:
        """Agree."""

    def install(self, directory: Path, target: Target, menu: Menu) -> None:
        """Leave everything as it is."""

    def efi_path(self, target: Target) -> str:
        """Return nothing to start."""
        return ""


NONE = NoLoader()
