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

"""MD arrays: made under ``clean``, only started under ``verify``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.disk import md
from ipa_partitions.disk.size import mib_text
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import Array, ResolvedLayout


@dataclass(frozen=True)
class _OnArray:
    """What both actions have in common."""

    array: Array
    phase: ClassVar[Phase] = Phase.ARRAY
    tools: ClassVar[tuple[str, ...]] = ("mdadm", "wipefs")

    @property
    def devices(self) -> frozenset[str]:
        """The array and its members."""
        spec = self.array.spec
        return frozenset((spec.device, *spec.members, *spec.spares))

    def validate(self) -> None:
        """Agree: the disks were looked at before."""


@dataclass(frozen=True)
class MakeArray(_OnArray):
    """Make one array."""

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each array that is laid out anew."""
        if resolved.layout.policy == "clean":
            yield from map(cls, resolved.arrays)

    def __str__(self) -> str:
        """Tell the level, the members and the size."""
        spec = self.array.spec
        spares = f", spare {', '.join(spec.spares)}" if spec.spares else ""
        return (
            f"make array {spec.name}, level {spec.level},"
            f" {mib_text(self.array.size_bytes)}, of"
            f" {', '.join(spec.members)}{spares}, UUID {spec.uuid}"
        )

    def execute(self) -> None:
        """Make it."""
        md.create(self.array.spec)


@dataclass(frozen=True)
class KeepArray(_OnArray):
    """Start an array that is what the document says."""

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each array that is kept."""
        if resolved.layout.policy == "verify":
            yield from map(cls, resolved.arrays)

    def __str__(self) -> str:
        """Tell the array."""
        return f"keep array {self.array.spec.name}"

    def execute(self) -> None:
        """Start it, if it is not."""
        spec = self.array.spec
        md.assemble(
            spec.device,
            spec.uuid,
            (*spec.members, *spec.spares),
            read_only=False,
        )
