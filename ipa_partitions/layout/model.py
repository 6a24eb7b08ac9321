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

"""The layout, as both forms of ``image_info`` are parsed into.

Everything that can be known without a machine is filled in: names,
filesystems, type GUIDs, and which image mounts what. ``at`` is always the
JSON path that a message about the value names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ipa_partitions.disk.size import Size
from ipa_partitions.images.access import ANYBODY, Access
from ipa_partitions.images.configdrive import ConfigDrive

CONFIG_DRIVE = "config-2"
# Ironic makes it as large at the most: ironic_python_agent.partition_utils.
CONFIG_DRIVE_SIZE = Size.mib(64)
NONE = "none"
# As lvcreate(8) has them.
DEFAULT_STRIPES = 2
DEFAULT_MIRRORS = 1


@dataclass(frozen=True)
class Encryption:
    """LUKS2, opened by a key file of the ramdisk or by a TPM 2."""

    key_file: str | None
    tpm2: bool


@dataclass(frozen=True)
class Subvolume:
    """A btrfs subvolume; ``mount`` is an absolute path or ``none``."""

    name: str
    mount: str


@dataclass(frozen=True)
class Content:
    """What a volume holds: a filesystem, or nothing for ``none``.

    ``mount`` is an absolute path, ``swap`` or ``none``, or ``multiboot``
    where that is refused; ``images`` are the
    names of those that mount it, and the ``subvolumes`` of it.
    """

    file_system: str = NONE
    mount: str = NONE
    label: str | None = None
    uuid: str | None = None
    mkfs_options: tuple[str, ...] = ()
    fstab_options: str = "defaults"
    fstab_enabled: bool = True
    keep_data: bool = True
    images: tuple[str, ...] = ()
    encryption: Encryption | None = None
    subvolumes: tuple[Subvolume, ...] = ()

    @property
    def is_mounted(self) -> bool:
        """Tell whether it has a place in the tree of an image."""
        return self.mount.startswith("/")

    @property
    def mounts(self) -> tuple[tuple[str, str], ...]:
        """Every mount of it, with the path in the document below its own."""
        return (
            (self.mount, "mount"),
            *(
                (each.mount, f"subvolumes[{n}].mount")
                for n, each in enumerate(self.subvolumes)
            ),
        )


@dataclass(frozen=True)
class Volume:
    """A volume of a disk; ``member_of`` names a group, array or set.

    The content of a member of an array is what Bareon's short form says of
    the array, and nothing otherwise. ``name_key`` is what its name is from,
    ``is_requested`` says that an action asked for it, not the document,
    ``own`` has the keys that only the type of a plug-in has.
    """

    at: str
    name: str
    role: str
    size: Size
    type_guid: str
    content: Content = Content()
    member_of: str | None = None
    name_key: str = "name"
    is_requested: bool = False
    own: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class DiskId:
    """How a disk is found: ``type`` as in the document."""

    type: Literal["name", "path", "scsi", "hints", "os_install"]
    value: str = ""
    hints: Mapping[str, str | int | bool] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return what a message calls the disk."""
        return (
            self.value
            or ", ".join(f"{key} {value}" for key, value in self.hints.items())
            or self.type
        )


@dataclass(frozen=True)
class Disk:
    """A disk; ``budget_bytes`` is how large it is taken to be, if given.

    ``boot`` is None where the document leaves the default.
    """

    at: str
    id: DiskId
    budget_bytes: int | None
    table: Literal["gpt", "msdos", "none"]
    boot: bool | None
    volumes: tuple[Volume, ...]

    @property
    def may_boot(self) -> bool:
        """Tell whether the boot loader may go there."""
        return self.boot is not False and self.table != NONE


@dataclass(frozen=True)
class LogicalVolume:
    """A volume of a group; ``name_key`` is what its name is from."""

    at: str
    name: str
    size: Size
    layout: str
    stripes: int | None
    mirrors: int | None
    pool: str | None
    content: Content
    name_key: str = "name"

    @property
    def areas(self) -> int:
        """How many physical volumes it needs at the same time."""
        if self.layout == "striped":
            return self.stripes or DEFAULT_STRIPES
        if self.layout == "raid1":
            return (self.mirrors or DEFAULT_MIRRORS) + 1
        return 1


@dataclass(frozen=True)
class Group:
    """An LVM volume group."""

    at: str
    id: str
    volumes: tuple[LogicalVolume, ...]


@dataclass(frozen=True)
class Array:
    """An MD array; with ``vg`` it is a physical volume of that group.

    One of Bareon's short form is where its first member is, and has its
    name.
    """

    at: str
    id: str
    level: int
    spares: int
    metadata: str
    vg: str | None
    content: Content
    name_key: str = "id"


@dataclass(frozen=True)
class Bcache:
    """A bcache set."""

    at: str
    id: str
    mode: str
    content: Content


@dataclass(frozen=True)
class Checksum:
    """What the bytes downloaded must hash to.

    ``sums_url`` is set instead of ``digest`` where a file of sums holds it.
    ``key`` is what the document calls it.
    """

    algorithm: str | None
    digest: str | None
    sums_url: str | None = None
    key: str = field(default="checksum", compare=False)


@dataclass(frozen=True)
class Image:
    """An operating system (``os``), or ``data``, to deploy.

    ``url`` may hold secrets: print ``urls.public_url(url)``. Where
    ``is_format_declared`` or ``is_compression_declared`` are False its
    server may know better;
    ``size_bytes`` is what has to come, if that is known.
    """

    at: str
    name: str
    boot: bool
    image_name: str
    image_uuid: str | None
    url: str
    target: str
    disk_format: str
    compression: str
    checksum: Checksum | None
    deploy: Literal["auto", "always", "never"]
    type: Literal["os", "data", "whole-disk"]
    access: Access = ANYBODY
    is_format_declared: bool = True
    is_compression_declared: bool = True
    size_bytes: int | None = None


@dataclass(frozen=True)
class Boot:
    """How the machine boots what was deployed."""

    loader: str
    firmware: Literal["auto", "bios", "uefi", "both"]
    timeout_s: int
    secure_boot: str | bool
    fallback: bool
    foreign: bool
    serial: str | None


@dataclass(frozen=True)
class Layout:
    """All of a document."""

    form: Literal["layout", "classic"]
    policy: Literal["verify", "clean"]
    disks: tuple[Disk, ...]
    groups: tuple[Group, ...]
    arrays: tuple[Array, ...]
    bcaches: tuple[Bcache, ...]
    images: tuple[Image, ...]
    rsync_flags: tuple[str, ...]
    kernel_params: str
    boot: Boot
    configdrive: ConfigDrive | None
    catalog_url: str | None
    node_uuid: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_whole_disk(self) -> bool:
        """Tell whether an image brings the disk with all that is on it."""
        return any(image.type == "whole-disk" for image in self.images)

    def members(self, role: str, owner: str) -> tuple[Volume, ...]:
        """Return the volumes of disks that are members of ``owner``."""
        return tuple(
            volume
            for disk in self.disks
            for volume in disk.volumes
            if (volume.role, volume.member_of) == (role, owner)
        )

    @property
    def systems(self) -> tuple[Image, ...]:
        """The images that can be booted, in their order."""
        return tuple(image for image in self.images if image.type == "os")

    @property
    def default_system(self) -> int:
        """Which of the systems is the default: SPEC 2.6."""
        chosen = [n for n, image in enumerate(self.systems) if image.boot]
        return chosen[0] if chosen else 0
