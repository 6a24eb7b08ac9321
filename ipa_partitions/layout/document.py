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
        frozen=True,
        extra="forbid",
        strict=True,
        arbitrary_types_allowed=True,
        # The docstrings below the fields are the schema's descriptions.
        use_attribute_docstrings=True,
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
    """The format."""
    key_file: Path | None = None
    """The path of the key file in the ramdisk."""
    tpm2: bool = False
    """``true`` binds the key to the machine's TPM 2."""

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if bool(self.key_file) == self.tpm2:
            raise ValueError("needs one of key_file and tpm2: true")
        return self


class Content(Object):
    """What a volume holds and where it is mounted."""

    mount: Mount = "none"
    """An absolute path, ``swap`` or ``none``; on a partition also
    ``multiboot`` or ``/boot/efi``, which make it that service partition.
    """
    file_system: Name | None = None
    """A filesystem, or ``none``. Without it ``ext4`` with a mount, ``swap``
    for swap, ``vfat`` for ``/boot/efi``, else ``none``.
    """
    label: Text | None = None
    """The label of the filesystem; its length depends on the kind."""
    uuid: Text | None = None
    """The UUID of the filesystem; without it a fresh one."""
    mkfs_options: Words = ()
    """More words for the mkfs program."""
    fstab_options: FstabOptions = "defaults"
    """The mount options in fstab."""
    fstab_enabled: bool = True
    """``false`` writes the line of fstab commented out."""
    keep_data: bool = True
    """What policy ``verify`` does: ``true`` leaves it as it is, ``false``
    makes it anew.
    """
    images: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The names of the images that mount it; without it the first image,
    if there is a mount.
    """
    encryption: Encryption | None = None
    """How it is encrypted; without it, not at all."""


class Named(Object):
    """What messages and plans call a volume; its name on the disk."""

    id: Name | None = None
    """Another word for ``name``."""
    name: Name | None = None
    """What messages and plans call it, and its name on the disk; without it
    made from its mount or type.
    """

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
    """How large it is."""
    partition_guid: TypeGuid | None = None
    """The GPT type: a GUID or an alias of one; without it from what the
    partition is for.
    """


class PhysicalVolume(Named):
    """A partition that is a member of a volume group."""

    type: Literal["pv"]
    size: Wanted
    """How large it is."""
    vg: Name
    """The id of the volume group."""
    keep_data: bool = True
    """As of a partition."""


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


class BcacheMember(Named):
    """A partition that is the backing device or the cache of a set."""

    type: Literal["bcache_backing", "bcache_cache"]
    size: Wanted
    """How large it is."""
    bcache: Name
    """The id of the set."""


class ServicePartition(Named):
    """A partition that is otherwise implicit, placed or sized."""

    type: Literal["esp", "bios_boot", "multiboot"]
    size: Wanted | None = None
    """How large it is; without it 512 MiB for ``esp``, 1 MiB for
    ``bios_boot``, 100 MiB for ``multiboot``.
    """
    label: Text | None = None
    """The label of its filesystem."""
    keep_data: bool = True
    """As of a partition."""


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
Hints = Annotated[dict[str, Hint], Field(min_length=1, max_length=32)]


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
    _by_type("name", "path", "scsi", "hints", "os_install"),
]


class Disk(Object):
    """A disk and the volumes on it, in their order."""

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


class LogicalVolume(Named, Content):
    """A volume of a group."""

    type: Literal["lv"]
    size: Wanted
    """How large it is."""
    layout: Literal["linear", "striped", "raid1", "thin", "thin-pool"] = (
        "linear"
    )
    """How it is spread over the physical volumes."""
    stripes: Annotated[int, Field(ge=2, le=128)] | None = None
    """How many stripes, for ``striped``."""
    mirrors: Annotated[int, Field(ge=1, le=9)] | None = None
    """How many further copies, for ``raid1``."""
    pool: Name | None = None
    """The name of the thin pool, for ``thin``."""

    @model_validator(mode="after")
    def _has_name(self) -> Self:
        if not (self.name or self.id) and self.mount == "none":
            raise ValueError("needs a name")
        return self


class VolumeGroup(Object):
    """An LVM volume group."""

    type: Literal["vg"]
    id: Name
    """Its name, which ``vg`` of its members refers to."""
    volumes: Annotated[
        tuple[LogicalVolume, ...], Field(max_length=MAX_VOLUMES)
    ] = ()
    """Its logical volumes."""


class Array(Content):
    """An MD array, with a filesystem or as a member of a group."""

    type: Literal["raid"]
    id: Name
    """Its name, which ``raid`` of its members refers to."""
    name: Name | None = None
    """What messages and plans call it."""
    level: Literal[0, 1, 4, 5, 6, 10]
    """The RAID level."""
    spares: Annotated[int, Field(ge=0, le=64)] = 0
    """How many of the members are spares."""
    metadata: Literal["0.90", "1.0", "1.1", "1.2"] = "1.2"
    """The version of the superblock."""
    vg: Name | None = None
    """The id of the volume group that it is a member of."""


class Bcache(Content):
    """A bcache set."""

    type: Literal["bcache"]
    id: Name
    """Its name, which ``bcache`` of its members refers to."""
    name: Name | None = None
    """What messages and plans call it."""
    mode: Literal["writethrough", "writeback", "writearound", "none"] = (
        "writethrough"
    )
    """The cache mode."""


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
    """Unique; what ``images`` of volumes refer to, ``os_id`` in boot-info."""
    boot: bool = False
    """``true`` makes it the default to boot; without any, the first one."""
    image_name: Text | None = None
    """``image_name`` in boot-info; without it ``name``."""
    image_uuid: Text | None = None
    """``image_uuid`` in boot-info."""
    image_pull_url: str
    """Where it comes from: ``http(s)://``, ``file:///``,
    ``rsync://host/module/path``, ``host::module/path``,
    ``user@host:path``, ``oci://`` or ``catalog:os/release[/label]``.
    """
    target: Path = "/"
    """The directory of the operating system's tree that it goes to."""
    disk_format: Name | None = None
    """``raw``, ``qcow2``, ``tar``, ``squashfs``, ``dir``, or a plug-in's.
    Without it from the URL: ``.qcow2``, ``.tar``, ``.tar.*``,
    ``.squashfs``; ``dir`` for rsync and ssh; else ``raw``.
    """
    compression: Literal["none", "gzip", "xz", "zstd"] | None = None
    """What its bytes are compressed with; without it from the suffix of
    the URL.
    """
    os_hash_algo: Literal["sha256", "sha512"] | None = None
    """The algorithm of ``os_hash_value``."""
    os_hash_value: str | None = None
    """The digest of the bytes downloaded, in hex. It or ``checksum`` is
    required over plain ``http://``.
    """
    checksum: str | None = None
    """In its place: a sha256 or sha512 digest, or the URL of a file of
    sums that lists the image by its file name.
    """
    deploy: Literal["auto", "always", "never"] = "auto"
    """When policy ``verify`` deploys it: if its volume was just made
    (``auto``), ``always``, or ``never``.
    """
    image_type: Literal["os", "data"] = "os"
    """``os``, or ``data``: nothing to boot in it, and it gets no fstab."""

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
    """More flags for rsync, of those that only steer the transfer."""


class DeployData(Object):
    """What is added to every image."""

    kernel_params: Annotated[
        str, AfterValidator(values.parse_kernel_params)
    ] = ""
    """Words for the kernel command line of every image."""


SecureBoot = Annotated[
    Any,
    BeforeValidator(values.parse_secure_boot),
    WithJsonSchema({"enum": ["auto", True, False]}),
]


class Boot(Object):
    """How the machine boots what was deployed."""

    loader: Name = "grub"
    """The boot loader; ``none`` installs none."""
    firmware: Literal["auto", "bios", "uefi", "both"] = "auto"
    """What the machine boots by; ``auto``: as the ramdisk was booted."""
    timeout_s: Annotated[int, Field(ge=0, le=3600)] = 5
    """How many seconds the menu waits."""
    secure_boot: SecureBoot = "auto"
    """Whether the signed boot loader is used."""
    fallback: bool = False
    """``true``: a system that was switched to and does not come up is
    left for the one before.
    """
    foreign: bool = False
    """``true``: also offer systems that were not deployed here."""
    serial: Serial | None = "ttyS0,115200"
    """The serial port that shows the menu too; ``null`` for none."""


ConfigDrive = Annotated[
    Any,
    BeforeValidator(values.parse_configdrive),
    WithJsonSchema({"type": ["string", "object", "null"]}),
]


class Document(Object):
    """The layout form of ``image_info``."""

    partitions_policy: Literal["verify", "clean"] = "verify"
    """``clean`` clears the disks and lays them out anew; ``verify`` checks
    that they are as the document says and keeps what is on them.
    """
    partitions: Annotated[
        tuple[Entry, ...], Field(min_length=1, max_length=MAX_DISKS)
    ]
    """Disks, volume groups, arrays and bcache sets, in any order."""
    images: Annotated[tuple[Image, ...], Field(max_length=MAX_IMAGES)] = ()
    """What is deployed, in the order of the menu; none: only partition."""
    image_deploy_flags: DeployFlags = DeployFlags()
    """How images are deployed."""
    deploy_data: DeployData = DeployData()
    """What is added to every image."""
    boot: Boot = Boot()
    """The boot loader and the firmware."""
    configdrive: ConfigDrive = Field(default=None, repr=False)
    """The config drive: a URL, a path, base64 of a gzipped ISO, or an
    object with ``meta_data``, ``user_data``, ``network_data`` and
    ``vendor_data``.
    """
    catalog_url: str | None = None
    """The image catalog that ``catalog:`` URLs are looked up in."""
    version: Literal[1] = 1
    """The version of this format."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the layout form, for editors and docs."""
    schema = Document.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://docs.openstack.org/ipa-partitions/image_info.json",
    } | schema
