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


"""Tell each system of its volumes, in its /etc/fstab."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from ipa_partitions.boot.relabel import mark_for_relabel
from ipa_partitions.disk import filesystem
from ipa_partitions.disk.mount import UNTRUSTED, mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import (
    ResolvedLayout,
    System,
    Volume,
    mount_order,
)

# What fstab(5) lets stand in no field as it is.
_SPECIAL = re.compile(r"[\s\\]")


@dataclass(frozen=True)
class FstabLine:
    """A line of fstab, commented out if it is not ``enabled``."""

    uuid: str
    mount: str
    file_system: str
    options: str
    fsck_pass: int
    enabled: bool = True


def fstab_quoted(text: str) -> str:
    """Return ``text`` as one field of an fstab."""
    return _SPECIAL.sub(
        lambda m: "".join(f"\\{byte:03o}" for byte in m[0].encode()), text
    )


def render_fstab(lines: Iterable[FstabLine]) -> str:
    """Return the text of an fstab."""
    return "".join(
        ("" if line.enabled else "# ")
        + " ".join(
            fstab_quoted(field)
            for field in (
                f"UUID={line.uuid}",
                line.mount,
                line.file_system,
                line.options,
                "0",
                str(line.fsck_pass),
            )
        )
        + "\n"
        for line in lines
    )


def fstab_lines(system: System) -> Iterator[FstabLine]:
    """Yield a line for each volume of ``system``, parents first."""
    for volume in _in_tree(system):
        yield _line(volume, volume.content.mount)
    for volume in system.swaps:
        yield _line(volume, "none")


def _in_tree(system: System) -> list[Volume]:
    return sorted((*system.mounts, *system.esps), key=mount_order)


def _line(volume: Volume, mount: str) -> FstabLine:
    content = volume.content
    kind = filesystem.known()[content.file_system]
    return FstabLine(
        volume.uuid,
        mount,
        content.file_system,
        ",".join((content.fstab_options, *volume.mount_options)),
        (1 if mount == "/" else 2) if kind.fsck_pass else 0,
        content.fstab_enabled,
    )


@dataclass(frozen=True)
class WriteFstab:
    """Replace the /etc/fstab of a system that was just deployed.

    The directories that it mounts on are made where the image lacks them.
    """

    system: System
    phase: ClassVar[Phase] = Phase.CONFIGURE
    tools: ClassVar[tuple[str, ...]] = ("mount", "umount")

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterable[Self]:
        """Return one action for each operating system that is deployed."""
        return [cls(s) for s in resolved.bootable if s.deploys]

    @property
    def devices(self) -> frozenset[str]:
        """The devices that it works on."""
        return frozenset(volume.device for volume in self.system.mounts)

    def __str__(self) -> str:
        """Return what it does."""
        count = len(_in_tree(self.system)) + len(self.system.swaps)
        return (
            f"write /etc/fstab of {self.system.image.name}, {count} volumes,"
            f" to {self.system.root.device}"
        )

    def validate(self) -> None:
        """Agree: what it writes was decided by the layout."""

    def execute(self) -> None:
        """Write it, by a rename inside the root filesystem."""
        text = render_fstab(fstab_lines(self.system))
        for volume in self.system.mounts:
            directories = _mounted_on(volume, _in_tree(self.system))
            is_root = volume.content.mount == "/"
            if not (directories or is_root):
                continue
            options = ",".join((UNTRUSTED, *volume.mount_options))
            with mounted(volume.device, options) as where:
                root = RootFs(where)
                for directory in directories:
                    root.make_directory(directory)
                if is_root:
                    root.make_directory("/etc")
                    root.write("/etc/fstab", text)
                    mark_for_relabel(root, "/etc/fstab")


def _mounted_on(volume: Volume, mounts: Iterable[Volume]) -> tuple[str, ...]:
    """Return the mount points on ``volume`` itself, by their paths there."""
    prefix = volume.content.mount.rstrip("/") + "/"
    below = [
        v.content.mount.removeprefix(prefix)
        for v in mounts
        if v is not volume and v.content.mount.startswith(prefix)
    ]
    return tuple(
        path
        for path in below
        if not any(path.startswith(f"{other}/") for other in below)
    )
