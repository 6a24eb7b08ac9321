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

"""Describe the disks of this machine as a document.

What is described is laid out again by the same document: the sizes are
exact, filesystems keep their labels and UUIDs. What a document cannot say
is a problem, not something to leave out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from ipa_partitions.disk import bcache, lvm
from ipa_partitions.disk.contents import Contents, Partition
from ipa_partitions.disk.filesystem import MSDOS_TYPES, known
from ipa_partitions.disk.inventory import Array, Inventory
from ipa_partitions.disk.size import MIB, ceil_mib, floor_mib, mib_text
from ipa_partitions.errors import (
    LayoutErrors,
    MachineError,
    MachineErrors,
    raise_all,
)
from ipa_partitions.layout import parse
from ipa_partitions.layout.partitions import Layout
from ipa_partitions.layout.values import ALIASES, TYPE_GUIDS, parse_text

Json = dict[str, Any]

_GUIDS = {code.upper(): guid for guid, code in MSDOS_TYPES.items()}
_SERVICES = {
    TYPE_GUIDS["bios_boot"]: "bios_boot",
    TYPE_GUIDS["esp"]: "esp",
}
_TYPES = {"pv": TYPE_GUIDS["lvm"], "raid": TYPE_GUIDS["raid"]}


def capture(found: Inventory, sizes: Mapping[str, int]) -> Json:
    """Return a document, to be verified, that describes what was found.

    ``sizes`` are those of the disks, in bytes.
    Raises MachineErrors for what a document cannot say.
    """
    work = _Capture(found, sizes)
    entries = [
        *(work.disk(contents) for contents in found.disks.values()),
        *map(work.array, found.arrays),
        *map(work.bcache, work.backings.values()),
        *map(work.group, found.groups),
    ]
    document = {
        "version": 1,
        "partitions_policy": "verify",
        "partitions": [entry for entry in entries if entry],
    }
    raise_all(work.problems)
    try:
        parse(document)
    except LayoutErrors as error:
        raise MachineErrors(
            MachineError("$", f"{each}, which no document says")
            for each in error.errors
        ) from None
    return document


@dataclass
class _Capture:
    """A capture under way, and what it could not say."""

    found: Inventory
    sizes: Mapping[str, int]
    problems: list[MachineError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = dict(_array_names(self.found.arrays))
        self.backings = {
            block.device: block
            for block in self.found.bcaches
            if block.kind == "backing"
        }
        self.sets = {
            block.set_uuid or device: f"bcache{n}"
            for n, (device, block) in enumerate(self.backings.items())
        }

    def _problem(self, device: str, problem: str) -> None:
        self.problems.append(
            MachineError("$", f"{device}: {problem}, which no document says")
        )

    def disk(self, contents: Contents) -> Json:
        """Return the disk's entry."""
        volumes = [*self._partitions(contents)]
        if contents.table == "none":
            whole = self._volume(contents.device, "partition")
            volumes = [whole | {"size": "100%"}]
        return {
            "type": "disk",
            "id": {
                "type": "name",
                "value": contents.device.removeprefix("/dev/"),
            },
            "table": contents.table,
            "volumes": volumes,
        }

    def _partitions(self, contents: Contents) -> Iterator[Json]:
        start_bytes = MIB
        for count, partition in enumerate(contents.partitions, start=1):
            self._place(partition, count, start_bytes)
            size_bytes = _size_bytes(partition, start_bytes)
            if count == len(contents.partitions):
                # Others' may reach into what ours leaves free at the end.
                room = self._end_bytes(contents) - start_bytes
                size_bytes = max(MIB, min(size_bytes, room))
            yield self._partition(partition, contents.table) | {
                "size": mib_text(size_bytes)
            }
            start_bytes += size_bytes

    def _end_bytes(self, contents: Contents) -> int:
        """Return where the last partition of a document can end."""
        size_bytes = floor_mib(self.sizes[contents.device])
        return size_bytes - MIB if contents.table == "gpt" else size_bytes

    def _place(self, partition: Partition, count: int, start: int) -> None:
        if partition.number != count:
            self._problem(partition.device, f"is no. {count} on the disk")
        if abs(partition.start_bytes - start) >= MIB:
            self._problem(
                partition.device,
                f"starts at {mib_text(partition.start_bytes)}, not at"
                f" {mib_text(start)}",
            )

    def _partition(self, partition: Partition, table: str) -> Json:
        code = partition.type_code
        guid = _GUIDS.get(code, "") if table == "msdos" else code
        if not guid:
            self._problem(partition.device, f"has the type {code}")
        volume = self._volume(partition.device, "partition")
        kind = volume["type"]
        if kind != "raid":
            volume |= _name(partition.name)
        if kind == "partition" and _is_service(guid, volume):
            volume["type"] = _SERVICES[guid]
            volume.pop("file_system", None)
        elif kind == "partition":
            volume["partition_guid"] = ALIASES.get(guid, guid)
        elif guid != _TYPES.get(kind, TYPE_GUIDS["linux"]):
            self._problem(
                partition.device,
                f"is a {kind} of the type {ALIASES.get(guid, guid)}",
            )
        return volume

    def _volume(self, device: str, kind: str) -> Json:
        """Return what is on ``device``: a filesystem, or a member."""
        for array in self.found.arrays:
            if device in array.members:
                return {"type": "raid", "raid": self.names[array.uuid]}
        for group in self.found.groups:
            if device in group.pvs:
                return {"type": "pv", "vg": group.name}
        for block in self.found.bcaches:
            if block.device == device:
                name = self.sets.get(block.set_uuid or device, "")
                return {"type": f"bcache_{block.kind}", "bcache": name}
        return {"type": kind, **self._content(device)}

    def _content(self, device: str) -> Json:
        content: Json = {}
        encrypted = self.found.encrypted.get(device)
        if encrypted:
            header = encrypted.header
            key = (
                {"tpm2": True}
                if header.tpm2
                else {"key_file": header.key_file}
            )
            content["encryption"] = {"type": "luks2", **key}
            if not encrypted.mapping or None in key.values():
                self._problem(device, "is encrypted with a key unknown here")
        filesystem = self.found.filesystem(device)
        # What we cannot make is no more than the bytes of the volume.
        if filesystem.kind in known():
            content["file_system"] = filesystem.kind
            if filesystem.label:
                content["label"] = filesystem.label
            if filesystem.uuid:
                content["uuid"] = filesystem.uuid
        names = self.found.subvolumes.get(
            encrypted.mapping if encrypted else device, ()
        )
        if names:
            content["subvolumes"] = [{"name": name} for name in names]
        return content

    def array(self, array: Array) -> Json:
        """Return the array's entry."""
        name = self.names[array.uuid]
        if array.level < 0:
            self._problem(array.device or name, "is of a level that is")
        owner = [g.name for g in self.found.groups if array.device in g.pvs]
        spares = len(array.members) - array.raid_devices
        if spares < 0:
            self._problem(array.device or name, "lacks members")
        return {
            "type": "raid",
            "id": name,
            "level": array.level,
            "spares": max(0, spares),
            "metadata": array.metadata,
            **({"vg": owner[0]} if owner else self._content(array.device)),
        }

    def bcache(self, block: bcache.Superblock) -> Json:
        """Return the entry of the set with this backing device."""
        return {
            "type": "bcache",
            "id": self.sets[block.set_uuid or block.device],
            "mode": block.mode or "none",
            **self._content(block.device),
        }

    def group(self, group: lvm.Group) -> Json:
        """Return the group's entry."""
        if group.extent_bytes != lvm.EXTENT_BYTES:
            self._problem(
                f"group {group.name}",
                f"has extents of {mib_text(group.extent_bytes)}",
            )
        volumes = [self._lv(group, lv) for lv in group.volumes]
        return {"type": "vg", "id": group.name, "volumes": volumes}

    def _lv(self, group: lvm.Group, lv: lvm.Volume) -> Json:
        device = f"/dev/{group.name}/{lv.name}"
        if lv.layout not in get_args(Layout):
            self._problem(device, f"is of the type {lv.layout}")
        how = {
            key: value
            for key in ("stripes", "mirrors", "pool")
            if (value := getattr(lv, key)) is not None
        }
        return {
            "type": "lv",
            "name": lv.name,
            "size": mib_text(lv.size_bytes),
            "layout": lv.layout,
            **how,
            **({} if lv.layout == "thin-pool" else self._content(device)),
        }


def _size_bytes(partition: Partition, start_bytes: int) -> int:
    """Return a size in whole MiB, less than one from the partition's own.

    Of the two that are, that which ends nearer to where it ends.
    """
    end = partition.start_bytes + partition.size_bytes
    near = floor_mib(partition.size_bytes), ceil_mib(partition.size_bytes)
    return max(MIB, min(near, key=lambda size: abs(start_bytes + size - end)))


def _is_service(guid: str, volume: Json) -> bool:
    """Tell whether ``volume`` is what a service partition of ours is."""
    wanted = "vfat" if guid == TYPE_GUIDS["esp"] else None
    return guid in _SERVICES and volume.get("file_system") == wanted


def _name(name: str) -> Mapping[str, str]:
    try:
        return {"name": parse_text(name)}
    except ValueError:
        return {}


def _array_names(arrays: Iterable[Array]) -> Iterator[tuple[str, str]]:
    """Yield the UUID of each array and the name it gets in a document."""
    taken: set[str] = set()
    for n, array in enumerate(arrays):
        name = array.name if re.fullmatch(r"\w[\w.+-]*", array.name) else ""
        if not name or name in taken:
            name = f"array{n}"
        taken.add(name)
        yield array.uuid, name
