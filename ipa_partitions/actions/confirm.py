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

"""Let a system say that it came up, so that it stays the default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.boot.confirmation import (
    SCRIPT_PATH,
    UNIT_PATH,
    WANTS_PATH,
    render_script,
    render_unit,
)
from ipa_partitions.disk.mount import READ_ONLY, UNTRUSTED, mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import ResolvedLayout, Volume


@dataclass(frozen=True)
class WriteConfirmation:
    """Write a unit of systemd that confirms the system once it is up.

    A system that stays as it is gets it, too, unless it has the same.
    """

    name: str
    root: Volume
    grub_id: int
    multiboot_uuid: str
    phase: ClassVar[Phase] = Phase.CONFIGURE
    tools: ClassVar[tuple[str, ...]] = ("mount", "umount")

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Return one action for each system, if there is a fallback."""
        multiboot = resolved.multiboot
        if not resolved.falls_back or multiboot is None:
            return
        for grub_id, system in enumerate(resolved.bootable):
            yield cls(system.image.name, system.root, grub_id, multiboot.uuid)

    @property
    def devices(self) -> frozenset[str]:
        """The device that it works on."""
        return frozenset({self.root.device})

    def __str__(self) -> str:
        """Return what it does."""
        return (
            f"have {self.name} confirm that it is up, by a unit on"
            f" {self.root.device}"
        )

    def validate(self) -> None:
        """Agree: what it writes was decided by the layout."""

    def execute(self) -> None:
        """Write the script and the unit, unless they are there."""
        script = render_script(self.multiboot_uuid, self.grub_id)
        files = {SCRIPT_PATH: script, UNIT_PATH: render_unit()}
        options = self.root.mount_options
        with mounted(
            self.root.device, ",".join((READ_ONLY, *options))
        ) as where:
            if all(_holds(RootFs(where), p, t) for p, t in files.items()):
                return
        with mounted(
            self.root.device, ",".join((UNTRUSTED, *options))
        ) as where:
            root = RootFs(where)
            for path, text in files.items():
                root.make_directory(path.rpartition("/")[0])
                root.write(path, text)
            root.make_directory(WANTS_PATH.rpartition("/")[0])
            root.link(WANTS_PATH, UNIT_PATH)


def _holds(root: RootFs, path: str, text: str) -> bool:
    try:
        return root.read_text(path) == text
    except ImageError:
        return False
