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

"""Make UEFI start the loader on our ESPs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions import registry
from ipa_partitions.actions.boot import target
from ipa_partitions.boot import nvram
from ipa_partitions.boot.loader import BootLoader, Target
from ipa_partitions.errors import CommandError
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegisterWithFirmware:
    """Put our ESPs first among the boot entries; the others stay.

    Those of earlier deployments are removed. Firmware that refuses is no
    failure: it starts the loader by its removable path.
    """

    loader: str
    target: Target
    phase: ClassVar[Phase] = Phase.REPORT
    tools: ClassVar[tuple[str, ...]] = nvram.TOOLS

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterable[Self]:
        """Return the action, where UEFI runs and is to start a loader."""
        if not resolved.installs_loader or not resolved.tells_firmware:
            return []
        return [cls(resolved.layout.boot.loader, target(resolved))]

    @property
    def devices(self) -> frozenset[str]:
        """The ESPs."""
        return frozenset(esp.device for esp in self.target.esps)

    def __str__(self) -> str:
        """Return what it does."""
        devices = ", ".join(esp.device for esp in self.target.esps)
        return f"make UEFI boot {devices} first, as {nvram.LABEL!r}"

    def validate(self) -> None:
        """Agree: what the firmware does cannot be known before."""

    def execute(self) -> None:
        """Make the entries."""
        loader: BootLoader = registry.load("bootloaders")[self.loader]
        try:
            nvram.register(self.target.esps, loader.efi_path(self.target))
        except CommandError as error:
            LOG.warning("The firmware has no boot entry of ours: %s", error)
