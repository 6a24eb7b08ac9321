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

"""The layout form of ``image_info``, as pydantic models: SPEC 2.2 to 2.7.

These models say what a document may hold, one object at a time; the JSON
Schema is made from them. What spans several objects is checked, and
defaults that depend on others are filled in, by ``build``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from ipa_partitions.disk.size import Size, exact_bytes, parse_size
from ipa_partitions.layout import values

# Bounds against documents made to be slow; no machine has more.
MAX_DISKS = 4096
MAX_VOLUMES = 1024
MAX_IMAGES = 64

_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "description": "MiB"},
        {
            "type": "string",
            "pattern": r"^ *(remaining|[0-9]+(\.[0-9]+)?"
            r" ?(%|[KMGTPEZY]i?B|B)?) *$",
            "examples": ["100 MiB", "40%", "remaining"],
        },
    ]
}

Wanted = Annotated[
    Size, BeforeValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)
]
Budget = Annotated[
    int, BeforeValidator(exact_bytes), WithJsonSchema(_SIZE_SCHEMA)
]
Name = Annotated[str, AfterValidator(values.parse_name)]
Text = Annotated[str, AfterValidator(values.parse_text)]
Mount = Annotated[str, AfterValidator(values.parse_mount)]
Path = Annotated[str, AfterValidator(values.parse_path)]
TypeGuid = Annotated[str, AfterValidator(values.parse_type_guid)]
Words = Annotated[tuple[str, ...], AfterValidator(values.parse_mkfs_options)]
Serial = Annotated[str, AfterValidator(values.parse_serial)]
FstabOptions = Annotated[str, AfterValidator(values.parse_fstab_options)]


class Object(BaseModel):
    """An object of the document: frozen, and no key that is not named."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True
    )


def _by_type(*kinds: str) -> Discriminator:
    """Choose a model by the object's ``type``.

    The tags are in angle brackets, so that ``parse`` can tell them from
    keys in the location of an error.
    """

    def tag(value: object) -> str | None:
        kind = value.get("type") if isinstance(value, Mapping) else None
        return f"<{kind}>" if kind in kinds else None

    return Discriminator(
        tag,
        custom_error_type="type",
        custom_error_message=f"is not one of {', '.join(kinds)}",
    )


class Encryption(Object):
    """How a volume is encrypted."""

    type: Literal["luks2"]
    key_file: Path | None = None
    tpm2: bool = False

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if bool(self.key_file) == self.tpm2:
            raise ValueError("needs one of key_file and tpm2: true")
        return self


class Content(Object):
    """What a volume holds and where it is mounted."""

    mount: Mount = "none"
    file_system: Name | None = None
    label: Text | None = None
    uuid: Text | None = None
    mkfs_options: Words = ()
    fstab_options: FstabOptions = "defaults"
    fstab_enabled: bool = True
    keep_data: bool = True
    images: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    encryption: Encryption | None = None


class Named(Object):
    """What messages and plans call a volume; its name on the disk."""

    id: Name | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.id and self.name and self.id != self.name:
            raise ValueError(
                f"the name {self.name!r} is not the id, {self.id!r}"
            )
        return self


class Partition(Named, Content):
    """A partition with a filesystem, or with nothing in it."""

    type: Literal["partition"]
    size: Wanted
    partition_guid: TypeGuid | None = None


class PhysicalVolume(Named):
    """A partition that is a member of a volume group."""

    type: Literal["pv"]
    size: Wanted
    vg: Name
    keep_data: bool = True


class RaidMember(Named, Content):
    """A partition that is a member of an array.

    Without ``raid``, the members with the same ``mount`` are one raid1
    array, with the filesystem that they all describe.
    """

    type: Literal["raid"]
    size: Wanted
    raid: Name | None = None

    @model_validator(mode="after")
    def _has_array(self) -> Self:
        if not self.raid and self.mount == "none":
            raise ValueError("needs raid, the id of an array, or a mount")
        return self


class BcacheMember(Named):
    """A partition that is the backing device or the cache of a set."""

    type: Literal["bcache_backing", "bcache_cache"]
    size: Wanted
    bcache: Name


class ServicePartition(Named):
    """A partition that is otherwise implicit, placed or sized."""

    type: Literal["esp", "bios_boot", "multiboot"]
    size: Wanted | None = None
    label: Text | None = None
    keep_data: bool = True


DiskVolume = Annotated[
    Annotated[Partition, Tag("<partition>")]
    | Annotated[PhysicalVolume, Tag("<pv>")]
    | Annotated[RaidMember, Tag("<raid>")]
    | Annotated[BcacheMember, Tag("<bcache_backing>")]
    | Annotated[BcacheMember, Tag("<bcache_cache>")]
    | Annotated[ServicePartition, Tag("<esp>")]
    | Annotated[ServicePartition, Tag("<bios_boot>")]
    | Annotated[ServicePartition, Tag("<multiboot>")],
    _by_type(
        "partition",
        "pv",
        "raid",
        "bcache_backing",
        "bcache_cache",
        "esp",
        "bios_boot",
        "multiboot",
    ),
]


class IdByName(Object):
    """A disk by its kernel name."""

    type: Literal["name"]
    value: Annotated[str, AfterValidator(values.parse_device_name)]


class IdByPath(Object):
    """A disk by a udev link."""

    type: Literal["path"]
    value: Annotated[str, AfterValidator(values.parse_device_path)]


class IdByScsi(Object):
    """A disk by its SCSI address."""

    type: Literal["scsi"]
    value: Annotated[str, AfterValidator(values.parse_scsi)]


Hint = Annotated[
    Any,
    BeforeValidator(values.parse_hint),
    WithJsonSchema({"type": ["string", "integer", "boolean"]}),
]
Hints = Annotated[dict[str, Hint], Field(min_length=1, max_length=32)]


class IdByHints(Object):
    """A disk by Ironic's root device hints."""

    type: Literal["hints"]
    value: Hints


class IdOfOsInstall(Object):
    """The disk that Ironic would take."""

    type: Literal["os_install"]


DiskId = Annotated[
    Annotated[IdByName, Tag("<name>")]
    | Annotated[IdByPath, Tag("<path>")]
    | Annotated[IdByScsi, Tag("<scsi>")]
    | Annotated[IdByHints, Tag("<hints>")]
    | Annotated[IdOfOsInstall, Tag("<os_install>")],
    _by_type("name", "path", "scsi", "hints", "os_install"),
]


class Disk(Object):
    """A disk and the volumes on it, in their order."""

    type: Literal["disk"]
    id: DiskId
    size: Budget | None = None
    table: Literal["gpt", "msdos", "none"] = "gpt"
    boot: bool | None = None
    volumes: Annotated[tuple[DiskVolume, ...], Field(max_length=MAX_VOLUMES)]


class LogicalVolume(Named, Content):
    """A volume of a group."""

    type: Literal["lv"]
    size: Wanted
    layout: Literal["linear", "striped", "raid1", "thin", "thin-pool"] = (
        "linear"
    )
    stripes: Annotated[int, Field(ge=2, le=128)] | None = None
    mirrors: Annotated[int, Field(ge=1, le=9)] | None = None
    pool: Name | None = None

    @model_validator(mode="after")
    def _has_name(self) -> Self:
        if not (self.name or self.id) and self.mount == "none":
            raise ValueError("needs a name")
        return self


class VolumeGroup(Object):
    """An LVM volume group."""

    type: Literal["vg"]
    id: Name
    volumes: Annotated[
        tuple[LogicalVolume, ...], Field(max_length=MAX_VOLUMES)
    ] = ()


class Array(Content):
    """An MD array, with a filesystem or as a member of a group."""

    type: Literal["raid"]
    id: Name
    name: Name | None = None
    level: Literal[0, 1, 4, 5, 6, 10]
    spares: Annotated[int, Field(ge=0, le=64)] = 0
    metadata: Literal["0.90", "1.0", "1.1", "1.2"] = "1.2"
    vg: Name | None = None


class Bcache(Content):
    """A bcache set."""

    type: Literal["bcache"]
    id: Name
    name: Name | None = None
    mode: Literal["writethrough", "writeback", "writearound", "none"] = (
        "writethrough"
    )


Entry = Annotated[
    Annotated[Disk, Tag("<disk>")]
    | Annotated[VolumeGroup, Tag("<vg>")]
    | Annotated[Array, Tag("<raid>")]
    | Annotated[Bcache, Tag("<bcache>")],
    _by_type("disk", "vg", "raid", "bcache"),
]


class Image(Object):
    """An operating system, or data, to deploy."""

    name: Text
    boot: bool = False
    image_name: Text | None = None
    image_uuid: Text | None = None
    image_pull_url: str
    target: Path = "/"
    disk_format: Name | None = None
    compression: Literal["none", "gzip", "xz", "zstd"] | None = None
    os_hash_algo: Literal["sha256", "sha512"] | None = None
    os_hash_value: str | None = None
    checksum: str | None = None
    deploy: Literal["auto", "always", "never"] = "auto"
    image_type: Literal["os", "data"] = "os"

    @model_validator(mode="after")
    def _one_checksum(self) -> Self:
        if bool(self.os_hash_algo) != bool(self.os_hash_value):
            raise ValueError("os_hash_algo and os_hash_value go together")
        if self.checksum and self.os_hash_value:
            raise ValueError("takes os_hash_value or checksum, not both")
        return self


class DeployFlags(Object):
    """How images are deployed."""

    rsync_flags: Annotated[str, AfterValidator(values.check_rsync_flags)] = (
        "-a -A -X"
    )


class DeployData(Object):
    """What is added to every image."""

    kernel_params: Annotated[
        str, AfterValidator(values.parse_kernel_params)
    ] = ""


SecureBoot = Annotated[
    Any,
    BeforeValidator(values.parse_secure_boot),
    WithJsonSchema({"enum": ["auto", True, False]}),
]


class Boot(Object):
    """How the machine boots what was deployed."""

    loader: Name = "grub"
    firmware: Literal["auto", "bios", "uefi", "both"] = "auto"
    timeout_s: Annotated[int, Field(ge=0, le=3600)] = 5
    secure_boot: SecureBoot = "auto"
    fallback: bool = False
    foreign: bool = False
    serial: Serial | None = "ttyS0,115200"


ConfigDrive = Annotated[
    Any,
    BeforeValidator(values.parse_configdrive),
    WithJsonSchema({"type": ["string", "object", "null"]}),
]


class Document(Object):
    """The layout form of ``image_info``."""

    partitions_policy: Literal["verify", "clean"] = "verify"
    partitions: Annotated[
        tuple[Entry, ...], Field(min_length=1, max_length=MAX_DISKS)
    ]
    images: Annotated[tuple[Image, ...], Field(max_length=MAX_IMAGES)] = ()
    image_deploy_flags: DeployFlags = DeployFlags()
    deploy_data: DeployData = DeployData()
    boot: Boot = Boot()
    configdrive: ConfigDrive = Field(default=None, repr=False)
    catalog_url: str | None = None
    version: Literal[1] = 1


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the layout form, for editors and docs."""
    schema = Document.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://docs.openstack.org/ipa-partitions/image_info.json",
    } | schema
