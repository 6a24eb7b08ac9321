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

"""Put the config drive on a partition of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Self

from ipa_partitions.images.configdrive import read_configdrive
from ipa_partitions.layout import Layout
from ipa_partitions.layout.model import CONFIG_DRIVE, CONFIG_DRIVE_SIZE
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout, SpaceRequest


@dataclass(frozen=True)
class WriteConfigDrive:
    """Write the config drive, a filesystem labelled ``config-2``."""

    device: str
    size_bytes: int
    configdrive: str = field(repr=False)
    phase: ClassVar[Phase] = Phase.CONFIGURE
    tools: ClassVar[tuple[str, ...]] = ()

    @property
    def devices(self) -> frozenset[str]:
        """The partition."""
        return frozenset({self.device})

    @classmethod
    def ask(cls, layout: Layout) -> Iterator[SpaceRequest]:
        """Ask for its partition, if there is a config drive."""
        if layout.configdrive:
            yield SpaceRequest(CONFIG_DRIVE, CONFIG_DRIVE_SIZE)

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan it onto the partition of its name."""
        configdrive = resolved.layout.configdrive
        for volume in resolved.volumes:
            if volume.name == CONFIG_DRIVE and isinstance(configdrive, str):
                yield cls(volume.device, volume.size_bytes, configdrive)

    def __str__(self) -> str:
        """Tell where, and nothing of what is in it."""
        return f"write the config drive to {self.device}"

    def validate(self) -> None:
        """Raise ImageError unless it can be had, is whole and fits."""
        read_configdrive(self.configdrive, self.size_bytes)

    def execute(self) -> None:
        """Write it."""
        content = read_configdrive(self.configdrive, self.size_bytes)
        node = os.open(self.device, os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = 0
            while written < len(content):
                written += os.pwrite(node, content[written:], written)
            os.fsync(node)
        finally:
            os.close(node)
