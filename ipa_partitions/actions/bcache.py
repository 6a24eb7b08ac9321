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

"""Bcache sets: made under ``clean``, only started under ``verify``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.disk import bcache
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import Bcache, ResolvedLayout


@dataclass(frozen=True)
class _OnBcache:
    """What both actions have in common."""

    bcache: Bcache
    phase: ClassVar[Phase] = Phase.ARRAY

    @property
    def devices(self) -> frozenset[str]:
        """The set and its members."""
        spec = self.bcache.spec
        return frozenset((spec.device, spec.backing, *spec.caches))

    def validate(self) -> None:
        """Agree: the disks were looked at before."""


@dataclass(frozen=True)
class MakeBcache(_OnBcache):
    """Make one set."""

    tools: ClassVar[tuple[str, ...]] = ("make-bcache", "wipefs", "blockdev")

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each set that is laid out anew."""
        if resolved.layout.policy == "clean":
            yield from map(cls, resolved.bcaches)

    def __str__(self) -> str:
        """Tell the mode and the members."""
        spec = self.bcache.spec
        return (
            f"make bcache {self.bcache.volume.name}, {spec.mode}, of"
            f" {spec.backing}, cached on {', '.join(spec.caches) or 'nothing'}"
        )

    def validate(self) -> None:
        """Raise CommandError if the kernel has no bcache."""
        bcache.validate()

    def execute(self) -> None:
        """Make it."""
        bcache.create(self.bcache.spec)


@dataclass(frozen=True)
class KeepBcache(_OnBcache):
    """Start a set that is what the document says."""

    tools: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each set that is kept."""
        if resolved.layout.policy == "verify":
            yield from map(cls, resolved.bcaches)

    def __str__(self) -> str:
        """Tell the set."""
        return f"keep bcache {self.bcache.volume.name}"

    def execute(self) -> None:
        """Start it, if it is not."""
        bcache.start(self.bcache.spec)
