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

"""The entries of ``partitions``: disks, groups, arrays and sets: SPEC 2.3."""

from __future__ import annotations

import functools
from operator import or_
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from ipa_partitions import registry
from ipa_partitions.disk.match import check_hints
from ipa_partitions.errors import PluginError
from ipa_partitions.layout import values
from ipa_partitions.layout.objects import (
    Budget,
    Content,
    Name,
    Named,
    Object,
    Text,
    Titled,
    TypeGuid,
    Wanted,
    Whole,
    by_type,
)

# A bound against documents made to be slow; no disk has more.
MAX_VOLUMES = 1024


class Partition(Titled, Content):
    """A partition with a filesystem, or with nothing in it."""

    type: Literal["partition"]
    size: Wanted
    """How large it is."""
    partition_guid: TypeGuid | None = None
    """The GPT type: a GUID or an alias of one; without it from what the
    partition is for.
    """


class PhysicalVolume(Titled):
    """A partition that is a member of a volume group."""

    type: Literal["pv"]
    size: Wanted
    """How large it is."""
    vg: Name
    """The id of the volume group."""
    keep_data: bool = True
    """Always ``true``: what is to be kept is told by the logical volumes."""

    @model_validator(mode="after")
    def _keeps_data(self) -> Self:
        if not self.keep_data:
            raise ValueError(
                "keep_data: a pv holds none of its own; say it of the volumes"
                f" of {self.vg!r}"
            )
        return self


class RaidMember(Named, Content):
    """A partition that is a member of an array.

    Without ``raid``, the members with the same ``mount`` are one raid1
    array, with the filesystem that they all describe.
    """

    type: Literal["raid"]
    size: Wanted
    """How large it is."""
    raid: Name | None = None
    """The id of the array."""

    @model_validator(mode="after")
    def _has_array(self) -> Self:
        if not self.raid and self.mount == "none":
            raise ValueError("needs raid, the id of an array, or a mount")
        return self


class BcacheMember(Titled):
    """A partition that is the backing device or the cache of a set."""

    type: Literal["bcache_backing", "bcache_cache"]
    size: Wanted
    """How large it is."""
    bcache: Name
    """The id of the set."""


class ServicePartition(Titled):
    """A partition that is otherwise implicit, placed or sized."""

    type: Literal["esp", "bios_boot", "multiboot"]
    size: Wanted | None = None
    """How large it is; without it 512 MiB for ``esp``, 1 MiB for
    ``bios_boot``, 100 MiB for ``multiboot``.
    """
    label: Text | None = None
    """The label of its filesystem."""
    uuid: Text | None = None
    """The UUID of its filesystem; without it a fresh one."""
    keep_data: bool = True
    """As of a partition."""


_OwnKind = (
    Partition | PhysicalVolume | RaidMember | BcacheMember | ServicePartition
)


class _Registered:
    """Take every type of volume that is registered, ours among them."""

    def __get_pydantic_core_schema__(
        self, _source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        kinds = registry.load("volumes")
        for name, kind in kinds.items():
            is_kind = isinstance(kind, type) and issubclass(kind, Partition)
            if not is_kind and kind not in get_args(_OwnKind):
                raise PluginError(
                    f"plug-in ipa_partitions.volumes: {name!r} is no subclass"
                    " of Partition"
                )
        tagged = [Annotated[kinds[name], Tag(f"<{name}>")] for name in kinds]
        return handler.generate_schema(
            Annotated[functools.reduce(or_, tagged), by_type(*kinds)]
        )


DiskVolume = Annotated[_OwnKind, _Registered()]


class IdByName(Object):
    """A disk by its kernel name."""

    type: Literal["name"]
    value: Annotated[str, AfterValidator(values.parse_device_name)]
    """The name, with or without ``/dev/``: ``vda``."""


class IdByPath(Object):
    """A disk by a udev link."""

    type: Literal["path"]
    value: Annotated[str, AfterValidator(values.parse_device_path)]
    """The link, with or without ``/dev/``: ``disk/by-id/ata-...``."""


class IdByScsi(Object):
    """A disk by its SCSI address."""

    type: Literal["scsi"]
    value: Annotated[str, AfterValidator(values.parse_scsi)]
    """Host, channel, target and unit: ``0:0:0:0``."""


Hint = Annotated[
    Any,
    BeforeValidator(values.parse_hint),
    WithJsonSchema({"type": ["string", "integer", "boolean"]}),
]
Hints = Annotated[
    dict[str, Hint],
    Field(min_length=1, max_length=32),
    AfterValidator(check_hints),
]


class IdByHints(Object):
    """A disk by Ironic's root device hints."""

    type: Literal["hints"]
    value: Hints
    """The hints, with their operators: ``{"size": ">= 100"}``."""


class IdOfOsInstall(Object):
    """The disk that Ironic would take."""

    type: Literal["os_install"]


DiskId = Annotated[
    Annotated[IdByName, Tag("<name>")]
    | Annotated[IdByPath, Tag("<path>")]
    | Annotated[IdByScsi, Tag("<scsi>")]
    | Annotated[IdByHints, Tag("<hints>")]
    | Annotated[IdOfOsInstall, Tag("<os_install>")],
    by_type("name", "path", "scsi", "hints", "os_install"),
]


class Disk(Object):
    """A disk and the volumes on it, in their order."""

    # Only then the plug-ins are looked for, and can be told of.
    model_config = ConfigDict(defer_build=True)

    type: Literal["disk"]
    id: DiskId
    """Which disk it is. Exactly one of the machine must match."""
    size: Budget | None = None
    """Lay the disk out as if it were this large; an exact size, at most
    the disk's own. Without it the disk's own.
    """
    table: Literal["gpt", "msdos", "none"] = "gpt"
    """The partition table: ``gpt``; ``msdos``, with four partitions at
    most; ``none``, with one volume that takes the whole device.
    """
    boot: bool | None = None
    """``true`` puts the boot loader on this disk, ``false`` does not.
    Without any ``true`` it goes on the first disk that can have it.
    """
    volumes: Annotated[tuple[DiskVolume, ...], Field(max_length=MAX_VOLUMES)]
    """What is on the disk, in this order."""


Layout = Literal["linear", "striped", "raid1", "thin", "thin-pool"]


class LogicalVolume(Named, Content):
    """A volume of a group."""

    type: Literal["lv"]
    size: Wanted
    """How large it is."""
    layout: Layout = "linear"
    """How it is spread over the physical volumes."""
    stripes: Annotated[int, Field(ge=2, le=128)] | None = None
    """How many stripes, for ``striped``."""
    mirrors: Annotated[int, Field(ge=1, le=9)] | None = None
    """How many further copies, for ``raid1``."""
    pool: Name | None = None
    """The name of the thin pool, for ``thin``."""


class VolumeGroup(Object):
    """An LVM volume group."""

    type: Literal["vg"]
    id: Name
    """Its name, which ``vg`` of its members refers to."""
    volumes: Annotated[
        tuple[LogicalVolume, ...], Field(max_length=MAX_VOLUMES)
    ] = ()
    """Its logical volumes."""


class Array(Named, Content):
    """An MD array, with a filesystem or as a member of a group."""

    type: Literal["raid"]
    id: Name
    """Its name, which ``raid`` of its members refers to."""
    name: Name | None = None
    """The same as ``id``, if it is given."""
    level: Annotated[Literal[0, 1, 4, 5, 6, 10], Whole]
    """The RAID level."""
    spares: Annotated[int, Field(ge=0, le=64)] = 0
    """How many of the members are spares."""
    metadata: Literal["0.90", "1.0", "1.1", "1.2"] = "1.2"
    """The version of the superblock."""
    vg: Name | None = None
    """The id of the volume group that it is a member of."""


class Bcache(Named, Content):
    """A bcache set."""

    type: Literal["bcache"]
    id: Name
    """Its name, which ``bcache`` of its members refers to."""
    name: Name | None = None
    """The same as ``id``, if it is given."""
    mode: Literal["writethrough", "writeback", "writearound", "none"] = (
        "writethrough"
    )
    """The cache mode."""


Entry = Annotated[
    Annotated[Disk, Tag("<disk>")]
    | Annotated[VolumeGroup, Tag("<vg>")]
    | Annotated[Array, Tag("<raid>")]
    | Annotated[Bcache, Tag("<bcache>")],
    by_type("disk", "vg", "raid", "bcache"),
]
