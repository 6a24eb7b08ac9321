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

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ipa_partitions.boot.grub_cfg import Menu


class BootLoader(Protocol):
    """Installs itself; ``tools`` are the programs that it starts."""

    @property
    def tools(self) -> tuple[str, ...]: ...

    def validate(self) -> None:
        """Raise MachineError if this machine cannot install it."""

    def install(
        self, directory: Path, disks: Sequence[str], menu: Menu
    ) -> None:
        """Put its files and ``menu`` into ``directory``, then on ``disks``.

        ``directory`` is free of links. What an earlier loader had in its
        place is removed.
        """


@dataclass(frozen=True)
class NoLoader:
    """The machine boots by other means."""

    tools: tuple[str, ...] = ()

    def validate(self) -> None:
        """Agree."""

    def install(
        self, directory: Path, disks: Sequence[str], menu: Menu
    ) -> None:
        """Leave everything as it is."""


NONE = NoLoader()
