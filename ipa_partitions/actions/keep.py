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

"""Policy ``verify``: keep the tables, wipe what is not to be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.actions.clear import refuse_unless_free
from ipa_partitions.disk import partitions
from ipa_partitions.disk.holders import kernel_name, read_stacks
from ipa_partitions.disk.probe import wait_for_device
from ipa_partitions.disk.size import mib_text
from ipa_partitions.disk.table import wipe
from ipa_partitions.errors import MachineError
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import Disk, ResolvedLayout, Volume


@dataclass(frozen=True)
class KeepTable:
    """Leave a disk's table as it is: it is what the document says."""

    disk: Disk
    phase: ClassVar[Phase] = Phase.CLEAR
    tools: ClassVar[tuple[str, ...]] = ("partx",)

    @property
    def devices(self) -> frozenset[str]:
        """The disk."""
        return frozenset({self.disk.device})

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for every disk."""
        if resolved.layout.policy == "verify":
            yield from map(cls, resolved.disks)

    def __str__(self) -> str:
        """Tell what is kept."""
        kept = [v.name for v in self.disk.volumes if not v.is_new]
        return (
            f"keep {self.disk.device} as it is:"
            f" {', '.join(kept) or 'only its table'}"
        )

    def validate(self) -> None:
        """Raise MachineError unless the disk is there, writable and free."""
        refuse_unless_free(
            self.disk.at, self.disk.device, self.disk.size_bytes
        )

    def execute(self) -> None:
        """Write nothing: only see to it that the kernel knows the table."""
        if self.disk.partitions:
            partitions.update(self.disk.device)
        for partition in self.disk.partitions:
            # It may be less than 1 MiB off what was wanted.
            wait_for_device(partition.volume.home, size_bytes=None)


@dataclass(frozen=True)
class WipeVolume:
    """Make one volume forget what was in it."""

    volume: Volume
    phase: ClassVar[Phase] = Phase.WIPE
    tools: ClassVar[tuple[str, ...]] = ("wipefs",)

    @property
    def devices(self) -> frozenset[str]:
        """The volume."""
        return frozenset({self.volume.home})

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each volume whose data is not to be kept."""
        if resolved.layout.policy == "verify":
            yield from (cls(v) for v in resolved.volumes if v.is_new)

    def __str__(self) -> str:
        """Tell what is lost."""
        return (
            f"wipe {self.volume.home}, {self.volume.name},"
            f" {mib_text(self.volume.size_bytes)}"
        )

    def validate(self) -> None:
        """Raise MachineError if something stands on it.

        That is nothing of the document's, and may be on other disks, too.
        KeepTable looked at the rest.
        """
        home = kernel_name(self.volume.home)
        for holder in read_stacks().holders([home]):
            raise MachineError(
                self.volume.at,
                f"{self.volume.home} is to be wiped, but {holder.label}"
                " stands on it",
            )

    def execute(self) -> None:
        """Wipe it."""
        wipe(self.volume.home)
