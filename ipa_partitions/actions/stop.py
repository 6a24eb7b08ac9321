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

"""Stop what stands on the disks of the document: SPEC 3.3, ``clean``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.disk.holders import kernel_name, read_stacks
from ipa_partitions.disk.spans import spans
from ipa_partitions.disk.stop import missing_programs, stop_all
from ipa_partitions.errors import MachineError
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout


@dataclass(frozen=True)
class StopHolders:
    """Stop arrays, groups, mappings and bcache sets, in whatever order."""

    disks: tuple[str, ...]
    makes: tuple[str, ...]
    phase: ClassVar[Phase] = Phase.STOP
    tools: ClassVar[tuple[str, ...]] = ("blkid",)

    @property
    def devices(self) -> frozenset[str]:
        """All the disks."""
        return frozenset(self.disks)

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for all disks that are laid out anew."""
        if resolved.layout.policy == "clean":
            yield cls(
                tuple(disk.device for disk in resolved.disks),
                (
                    *(array.spec.device for array in resolved.arrays),
                    *(bcache.spec.device for bcache in resolved.bcaches),
                    *(
                        lv.spec.device
                        for group in resolved.groups
                        for lv in group.volumes
                    ),
                ),
            )

    def __str__(self) -> str:
        """Tell what is stopped."""
        return (
            "stop every array, group, mapping and bcache set on"
            f" {', '.join(self.disks)}"
        )

    def validate(self) -> None:
        """Raise MachineError for one that is on other disks as well.

        Or that is on no disk of these and has the path of one to be made.
        """
        stacks = read_stacks()
        disks = {kernel_name(disk) for disk in self.disks}
        for path in filter(os.path.exists, self.makes):
            own = stacks.disks(kernel_name(path))
            # On none is the node of an array that was stopped.
            if own and own.isdisjoint(disks):
                raise MachineError(
                    "$.partitions",
                    f"{path} is there already, on {', '.join(sorted(own))},"
                    " which the document does not mention",
                )
        if found := spans(self.disks, stacks):
            raise MachineError("$.partitions", "; ".join(found))
        # Which programs it takes is known only here.
        for program in missing_programs(stacks.holders(disks)):
            raise MachineError("$", f"the program {program} is not there")

    def execute(self) -> None:
        """Stop them."""
        stop_all(self.disks)
