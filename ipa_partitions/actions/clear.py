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

"""Clear the disks of the document: SPEC 3.3, policy ``clean``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.disk import partitions
from ipa_partitions.disk.clear import clear
from ipa_partitions.disk.holders import uses
from ipa_partitions.disk.probe import is_read_only, is_there
from ipa_partitions.disk.size import mib_text
from ipa_partitions.errors import MachineError
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout


@dataclass(frozen=True)
class ClearDisk:
    """Remove everything from one disk."""

    at: str
    device: str
    size_bytes: int
    phase: ClassVar[Phase] = Phase.CLEAR
    tools: ClassVar[tuple[str, ...]] = ("wipefs", "partx", "blkdiscard")

    @property
    def devices(self) -> frozenset[str]:
        """The disk."""
        return frozenset({self.device})

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for every disk."""
        if resolved.layout.policy == "clean":
            for disk in resolved.disks:
                yield cls(disk.at, disk.device, disk.size_bytes)

    def __str__(self) -> str:
        """Tell what is lost."""
        return f"clear {self.device}, all {mib_text(self.size_bytes)} of it"

    def validate(self) -> None:
        """Raise MachineError unless the disk is there, writable and free."""
        refuse_unless_free(self.at, self.device, self.size_bytes)

    def execute(self) -> None:
        """Clear it."""
        clear(self.device)


def refuse_unless_free(at: str, device: str, size_bytes: int) -> None:
    """Raise MachineError unless nothing uses the disk and it is writable."""
    if not is_there(device, size_bytes):
        raise MachineError(at, f"{device} is not as it was")
    if missing := partitions.missing_program(device):
        raise MachineError("$", f"the program {missing} is not there")
    if is_read_only(device):
        raise MachineError(at, f"{device} is read-only")
    if found := uses(device):
        raise MachineError(at, "; ".join(found))
