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

"""LVM groups and their volumes: made, or only activated: SPEC 2.3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from ipa_partitions.disk import lvm
from ipa_partitions.disk.size import mib_text
from ipa_partitions.errors import MachineError
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import Group, LogicalVolume, ResolvedLayout


@dataclass(frozen=True)
class _OnGroup:
    """What the actions have in common."""

    group: Group
    phase: ClassVar[Phase] = Phase.GROUP
    tools: ClassVar[tuple[str, ...]] = ("lvm", "wipefs")

    @property
    def devices(self) -> frozenset[str]:
        """The group and its physical volumes."""
        return frozenset((f"/dev/{self.group.name}", *self.group.pvs))

    def validate(self) -> None:
        """Agree: the disks were looked at before."""


@dataclass(frozen=True)
class MakeGroup(_OnGroup):
    """Make one group."""

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each group that is laid out anew."""
        if resolved.layout.policy == "clean":
            yield from map(cls, resolved.groups)

    def __str__(self) -> str:
        """Tell the size and the physical volumes."""
        return (
            f"make volume group {self.group.name},"
            f" {mib_text(self.group.size_bytes)}, of"
            f" {', '.join(self.group.pvs)}"
        )

    def validate(self) -> None:
        """Raise MachineError if something else has the path of the group."""
        path = Path("/dev", self.group.name)
        # Of a group it is a directory of links.
        if os.path.lexists(path) and not (
            path.is_dir() and all(each.is_symlink() for each in path.iterdir())
        ):
            raise MachineError(f"{self.group.at}.id", f"{path} is no group's")

    def execute(self) -> None:
        """Make it."""
        lvm.create_group(self.group.name, self.group.pvs)


@dataclass(frozen=True)
class KeepGroup(_OnGroup):
    """Activate a group that is what the document says."""

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each group that is kept."""
        if resolved.layout.policy == "verify":
            yield from map(cls, resolved.groups)

    def __str__(self) -> str:
        """Tell the group."""
        return f"keep volume group {self.group.name}"

    def execute(self) -> None:
        """Activate its volumes."""
        lvm.activate(self.group.name, self.group.pvs)


@dataclass(frozen=True)
class MakeLogicalVolume:
    """Make one volume of a group."""

    group: Group
    lv: LogicalVolume
    phase: ClassVar[Phase] = Phase.VOLUME

    @property
    def tools(self) -> tuple[str, ...]:
        """Return the programs: one holds back that copies are made alike."""
        more = ("dmsetup",) if self.lv.spec.layout == "raid1" else ()
        return ("lvm", "wipefs", *more)

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each volume of a new group."""
        if resolved.layout.policy == "clean":
            for group in resolved.groups:
                for lv in sorted(group.volumes, key=_comes_late):
                    yield cls(group, lv)

    @property
    def devices(self) -> frozenset[str]:
        """The volume, and the group that has but one at a time made."""
        return frozenset((f"/dev/{self.group.name}", self.lv.spec.device))

    def __str__(self) -> str:
        """Tell the layout and the size."""
        spec = self.lv.spec
        how = {
            "striped": f"striped over {spec.stripes}",
            "raid1": f"raid1 with {spec.mirrors} mirrors",
            "thin": f"thin in {spec.pool}",
        }.get(spec.layout, spec.layout)
        return (
            f"make volume {spec.group}/{spec.name}, {how},"
            f" {mib_text(spec.size_bytes)}"
        )

    def validate(self) -> None:
        """Agree: every extent was allotted before."""

    def execute(self) -> None:
        """Make it."""
        lvm.create_volume(self.lv.spec, self.group.pvs)


def _comes_late(lv: LogicalVolume) -> int:
    """Order volumes: first those whose parts have to be apart."""
    return {"raid1": 0, "striped": 0, "thin": 2}.get(lv.spec.layout, 1)
