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

"""Tell each system how to find its arrays, groups and encrypted volumes.

Nothing of the system runs: an initrd that has to find the root itself is
the image's to bring, these files are for the booted system and for the
initrds that it makes later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from ipa_partitions.disk import luks, lvm, md
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.disk.tree import mounted_tree
from ipa_partitions.plan import Phase
from ipa_partitions.resolved import (
    Array,
    Group,
    ResolvedLayout,
    System,
    Volume,
)
from ipa_partitions.stack import base_of, key_path

# Debian's and Red Hat's.
_MDADM_CONF = ("/etc/mdadm/mdadm.conf", "/etc/mdadm.conf")
_CRYPTTAB = "/etc/crypttab"
_LVM_DEVICES = "/etc/lvm/devices/system.devices"


@dataclass(frozen=True)
class WriteStorage:
    """Write mdadm.conf, crypttab with its keys, and LVM's devices file."""

    system: System
    arrays: tuple[Array, ...]
    groups: tuple[Group, ...]
    encrypted: tuple[Volume, ...]
    phase: ClassVar[Phase] = Phase.CONFIGURE
    tools: ClassVar[tuple[str, ...]] = ("mount", "umount")

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterator[Self]:
        """Plan one for each deployed system that has any of it."""
        for system in resolved.bootable:
            made = cls._of(resolved, system)
            if system.deploys and (
                made.arrays or made.groups or made.encrypted
            ):
                yield made

    @classmethod
    def _of(cls, resolved: ResolvedLayout, system: System) -> Self:
        volumes = {v.device: v for v in (*system.mounts, *system.swaps)}
        bases = [base_of(resolved, volume) for volume in volumes.values()]
        arrays = {a.at: a for base in bases for a in base.arrays}
        groups = {b.group.at: b.group for b in bases if b.group}
        encrypted = (v for v in volumes.values() if v.luks)
        return cls(
            system,
            tuple(arrays.values()),
            tuple(groups.values()),
            tuple(encrypted),
        )

    @property
    def devices(self) -> frozenset[str]:
        """The volumes of the system."""
        return frozenset(volume.device for volume in self.system.mounts)

    def __str__(self) -> str:
        """Tell what it names."""
        names = (
            *(f"array {array.spec.name}" for array in self.arrays),
            *(f"group {group.name}" for group in self.groups),
            *(f"encrypted {volume.name}" for volume in self.encrypted),
        )
        return f"tell {self.system.image.name} of {', '.join(names)}"

    def validate(self) -> None:
        """Agree: what it writes was decided by the layout."""

    def execute(self) -> None:
        """Write the files, each by a rename."""
        places = [volume.place for volume in self.system.mounts]
        with mounted_tree(places) as where:
            root = RootFs(where)
            root.make_directory("/etc")
            if self.arrays:
                _write_mdadm_conf(root, self.arrays)
            if self.groups:
                _write_lvm_devices(root, self.groups)
            if self.encrypted:
                _write_crypttab(root, self.encrypted)


def _write_mdadm_conf(root: RootFs, arrays: tuple[Array, ...]) -> None:
    path = next((p for p in _MDADM_CONF if root.is_file(p)), _MDADM_CONF[-1])
    own = root.read_text(path).splitlines() if root.is_file(path) else []
    # Its arrays are those of where the image was made.
    lines = [line for line in own if line.split()[:1] != ["ARRAY"]]
    lines += (md.conf_line(array.spec) for array in arrays)
    root.write(path, "\n".join((*lines, "")))


def _write_lvm_devices(root: RootFs, groups: tuple[Group, ...]) -> None:
    # As installers do: with it, LVM sees these and no others, whatever
    # other disks carry a group of the same name.
    root.make_directory(str(Path(_LVM_DEVICES).parent))
    pvs = [pv for group in groups for pv in group.pvs]
    root.write(_LVM_DEVICES, lvm.devices_file(pvs))


def _write_crypttab(root: RootFs, encrypted: tuple[Volume, ...]) -> None:
    lines = []
    for volume in encrypted:
        assert volume.luks
        line = luks.crypttab_line(volume.luks, key_path(volume))
        if volume.content.mount == "/":
            # systemd must not close it while it stops everything else.
            line += ",x-initrd.attach"
        lines.append(line)
        if volume.luks.key_file:
            key = Path(volume.luks.key_file).read_bytes()
            root.make_directory(str(Path(key_path(volume)).parent))
            root.write(key_path(volume), key, mode=0o400)
    root.write(_CRYPTTAB, "\n".join((*lines, "")))
