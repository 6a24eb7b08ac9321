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

"""Encrypted volumes: made, or opened: SPEC 2.3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.disk import luks
from ipa_partitions.errors import CommandError, MachineError
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout, Volume


@dataclass(frozen=True)
class _OnEncrypted:
    """What both actions have in common."""

    volume: Volume
    luks: luks.Luks
    phase: ClassVar[Phase] = Phase.ENCRYPT

    @property
    def tools(self) -> tuple[str, ...]:
        """The programs that format, bind and open it."""
        return luks.tools(self.luks)

    @property
    def devices(self) -> frozenset[str]:
        """The volume, closed and open."""
        return frozenset((self.luks.device, self.luks.mapping))

    @property
    def _key(self) -> str:
        return "the TPM 2" if self.luks.tpm2 else str(self.luks.key_file)

    def validate(self) -> None:
        """Raise MachineError if the key is not to be had."""
        try:
            luks.validate(self.luks)
        except CommandError as error:
            raise MachineError(
                f"{self.volume.at}.encryption", str(error)
            ) from error


@dataclass(frozen=True)
class Encrypt(_OnEncrypted):
    """Encrypt one volume, and open it."""

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each volume that is new."""
        for volume in resolved.volumes:
            if volume.luks and volume.is_new:
                yield cls(volume, volume.luks)

    def __str__(self) -> str:
        """Tell the volume and its key."""
        return (
            f"encrypt {self.luks.device}, {self.volume.name}, for"
            f" {self._key}, UUID {self.luks.uuid}"
        )

    def execute(self) -> None:
        """Encrypt and open it."""
        luks.create(self.luks)
        luks.open_(self.luks)


@dataclass(frozen=True)
class OpenEncrypted(_OnEncrypted):
    """Open an encrypted volume that is kept."""

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each volume that is kept."""
        for volume in resolved.volumes:
            if volume.luks and not volume.is_new:
                yield cls(volume, volume.luks)

    def __str__(self) -> str:
        """Tell the volume and its key."""
        return f"open {self.luks.device}, {self.volume.name}, with {self._key}"

    def execute(self) -> None:
        """Open it."""
        luks.open_(self.luks)
