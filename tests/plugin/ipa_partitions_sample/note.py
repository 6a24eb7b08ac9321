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

"""An action that wants a partition of its own and writes a note there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions_sample.volume import TYPE

from ipa_partitions.disk.mount import mounted
from ipa_partitions.disk.size import Size
from ipa_partitions.layout import Layout
from ipa_partitions.plan import Phase, SpaceRequest
from ipa_partitions.resolved import ResolvedLayout

NAME = "sample-note"
# The text of the note; without one nothing is asked for.
VARIABLE = "IPA_PARTITIONS_SAMPLE_NOTE"


@dataclass(frozen=True)
class WriteNote:
    """Write the note to the partition that was asked for."""

    device: str
    text: str
    phase: ClassVar[Phase] = Phase.CONFIGURE
    tools: ClassVar[tuple[str, ...]] = ("mount", "umount")

    @classmethod
    def ask(cls, layout: Layout) -> Iterable[SpaceRequest]:
        """Return the partition that the note needs."""
        if VARIABLE not in os.environ:
            return []
        return [SpaceRequest(NAME, Size.mib(16), "sample_ext4", "note")]

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterable[Self]:
        """Return an action for each note: the one asked for, and others."""
        texts = {
            volume.at: volume.own["text"]
            for disk in resolved.layout.disks
            for volume in disk.volumes
            if volume.role == TYPE
        }
        for disk in resolved.disks:
            for partition in disk.partitions:
                volume = partition.volume
                if partition.role == TYPE:
                    yield cls(volume.device, texts[volume.at])
                elif volume.name == NAME and VARIABLE in os.environ:
                    yield cls(volume.device, os.environ[VARIABLE])

    @property
    def devices(self) -> frozenset[str]:
        """The devices that it works on."""
        return frozenset({self.device})

    def __str__(self) -> str:
        """Return what it does."""
        return f"write a note of {len(self.text)} letters to {self.device}"

    def validate(self) -> None:
        """Agree: there is nothing to look at."""

    def execute(self) -> None:
        """Write the note."""
        with mounted(self.device) as root:
            (root / "note.txt").write_text(self.text)
