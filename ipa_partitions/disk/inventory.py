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

"""All that is on some disks: tables, arrays, groups, and what is in them.

Nothing is written. What is not up is started read-only to look inside, and
stopped afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from ipa_partitions.disk import bcache, luks, lvm, md, partitions
from ipa_partitions.disk.contents import (
    Contents,
    Filesystem,
    read_contents,
    read_filesystem,
)
from ipa_partitions.disk.mount import mounted
from ipa_partitions.disk.probe import wait_for_device
from ipa_partitions.disk.started import array_up, data_of, group_up, opened
from ipa_partitions.disk.stop import stopped_afterwards
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

_STACKED = ("linux_raid_member", "LVM2_member", "bcache", "crypto_LUKS")
# To look must not write: no journal or log is replayed.
_LOOK = "ro,nodev,nosuid,noexec,rescue=nologreplay"


@dataclass(frozen=True)
class Array:
    """An array with members on the disks; ``device`` is where it is up.

    ``members`` has the device of each, and its role, None for a spare.
    """

    device: str
    uuid: str
    name: str
    level: int
    raid_devices: int
    metadata: str
    members: Mapping[str, int | None]


@dataclass(frozen=True)
class Encrypted:
    """An encrypted device; no ``mapping`` if the key does not open it."""

    device: str
    header: luks.Header
    mapping: str


@dataclass(frozen=True)
class Inventory:
    """What is on some disks.

    ``found`` has what is in each partition, array, logical volume and open
    encrypted device, by its device; what is cached, by the backing one.
    """

    disks: Mapping[str, Contents]
    arrays: tuple[Array, ...] = ()
    groups: tuple[lvm.Group, ...] = ()
    bcaches: tuple[bcache.Superblock, ...] = ()
    encrypted: Mapping[str, Encrypted] = field(default_factory=dict)
    found: Mapping[str, Filesystem] = field(default_factory=dict)
    subvolumes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def filesystem(self, device: str) -> Filesystem:
        """Return what ``device`` holds, inside of its encryption."""
        encrypted = self.encrypted.get(device)
        where = encrypted.mapping if encrypted else device
        return self.found.get(where, Filesystem())


def read_inventory(
    disks: Mapping[str, int],
    arrays: Mapping[str, str] = MappingProxyType({}),
    keys: Mapping[str, luks.Luks] = MappingProxyType({}),
) -> Inventory:
    """Return what is on ``disks``, which are given with their sector size.

    ``arrays`` says by which path the array of a member shall be known;
    ``keys`` are tried on the encrypted devices that they are given for, on
    others what their own headers name.
    """
    with inventory_up(disks, arrays, keys) as found:
        return found


@contextmanager
def inventory_up(
    disks: Mapping[str, int],
    arrays: Mapping[str, str] = MappingProxyType({}),
    keys: Mapping[str, luks.Luks] = MappingProxyType({}),
    read_only: bool = True,
) -> Iterator[Inventory]:
    """Yield what is on ``disks``, all that can be started being up."""
    contents = {
        device: read_contents(device, sector_bytes)
        for device, sector_bytes in disks.items()
    }
    with stopped_afterwards([*disks], keeps=True), ExitStack() as stack:
        found = dict(_filesystems(contents.values()))
        look = _Look(stack, found, arrays, read_only)
        if any(found.kind in _STACKED for found in look.found.values()):
            _know_partitions(contents.values())
        found_arrays = look.into_arrays()
        groups = look.into_groups()
        bcaches = look.into_bcaches()
        encrypted = look.into_encrypted(keys)
        subvolumes = {
            device: _subvolumes(look.node(device))
            for device in look.of_kind("btrfs")
        }
        yield Inventory(
            contents,
            found_arrays,
            groups,
            bcaches,
            encrypted,
            look.found,
            subvolumes,
        )


def _filesystems(
    contents: Iterable[Contents],
) -> Iterator[tuple[str, Filesystem]]:
    for disk in contents:
        if disk.table == "none":
            yield disk.device, disk.whole
        for partition in disk.partitions:
            yield partition.device, partition.filesystem


def _know_partitions(contents: Iterable[Contents]) -> None:
    """Let the kernel know every partition, which writes nothing."""
    for disk in contents:
        missing = [p for p in disk.partitions if not Path(p.device).exists()]
        if missing:
            partitions.update(disk.device)
        for partition in missing:
            wait_for_device(partition.device, None)


@dataclass
class _Look:
    """What was found so far, by device, and what is up to look into it."""

    stack: ExitStack
    found: dict[str, Filesystem]
    arrays: Mapping[str, str]
    read_only: bool
    nodes: dict[str, str] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[str]:
        """Return the devices that hold ``kind``."""
        return [d for d, found in self.found.items() if found.kind == kind]

    def _into(self, device: str) -> None:
        self.found[device] = read_filesystem(device)

    def node(self, device: str) -> str:
        """Return what to open to see what is on ``device``."""
        return self.nodes.get(device, device)

    def into_arrays(self) -> tuple[Array, ...]:
        """Look into every array with members among what was found."""
        members = self.of_kind("linux_raid_member")
        blocks = [found for m in members if (found := md.examine(m))]
        arrays = []
        for identity in dict.fromkeys(block.uuid for block in blocks):
            own = [block for block in blocks if block.uuid == identity]
            names = [self.arrays.get(block.device) for block in own]
            name = next(filter(None, names), f"/dev/md/{own[0].name}")
            device = self.stack.enter_context(
                array_up(own, name, self.read_only)
            )
            if device:
                self._into(device)
            arrays.append(
                Array(
                    device=device,
                    uuid=identity,
                    name=own[0].name,
                    level=own[0].level,
                    raid_devices=own[0].raid_devices,
                    metadata=own[0].metadata,
                    members={block.device: block.role for block in own},
                )
            )
        return tuple(arrays)

    def into_groups(self) -> tuple[lvm.Group, ...]:
        """Look into every group with physical volumes among those found."""
        pvs = self.of_kind("LVM2_member")
        groups = lvm.report(pvs) if pvs else ()
        for group in groups:
            self.stack.enter_context(group_up(group, self.read_only))
            for lv in group.volumes:
                device = f"/dev/{group.name}/{lv.name}"
                if lv.layout != "thin-pool" and Path(device).exists():
                    self._into(device)
        return groups

    def into_bcaches(self) -> tuple[bcache.Superblock, ...]:
        """Look into every cached set, without starting it."""
        devices = self.of_kind("bcache")
        blocks = [found for d in devices if (found := bcache.examine(d))]
        for block in blocks:
            if block.kind == "backing":
                self._into_backing(block)
        return tuple(blocks)

    def _into_backing(self, block: bcache.Superblock) -> None:
        if block.is_dirty and not bcache.running(block.device):
            # What is in the cache only is not seen, and may be all.
            self.found[block.device] = Filesystem(
                "unknown until the set is started"
            )
            return
        node = self.stack.enter_context(data_of(block))
        self.nodes[block.device] = node
        self.found[block.device] = read_filesystem(node)

    def into_encrypted(
        self, keys: Mapping[str, luks.Luks]
    ) -> dict[str, Encrypted]:
        """Look into every encrypted device that there is a key for."""
        encrypted = {}
        for device in self.of_kind("crypto_LUKS"):
            header = luks.examine(self.node(device))
            mapping = self.stack.enter_context(
                opened(self.node(device), header, keys.get(device))
            )
            if mapping:
                self._into(mapping)
            encrypted[device] = Encrypted(device, header, mapping)
        return encrypted


def _subvolumes(device: str) -> tuple[str, ...]:
    """Return the paths of a btrfs filesystem's subvolumes."""
    try:
        with mounted(device, _LOOK) as where:
            listed = run("btrfs", "subvolume", "list", str(where))
    except CommandError:
        return ()
    return tuple(line.split(" path ", 1)[1] for line in listed.splitlines())
