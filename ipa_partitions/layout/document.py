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
defaults that depend on others are filled in, by ``check`` and ``build``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from ipa_partitions.layout import values
from ipa_partitions.layout.objects import (
    Name,
    Object,
    Path,
    Serial,
    Text,
    Whole,
)
from ipa_partitions.layout.partitions import Entry

# Bounds against documents made to be slow; no machine has more.
MAX_DISKS = 4096
MAX_IMAGES = 64


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
        if (self.os_hash_algo is None) != (self.os_hash_value is None):
            raise ValueError("os_hash_algo and os_hash_value go together")
        if None not in (self.checksum, self.os_hash_value):
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


class ConfigDriveParts(Object):
    """A config drive that is rendered, or is not to be a partition.

    Ironic's API has null for what was not given.
    """

    into: Literal["partition", "image"] = "partition"
    """Where it goes."""
    content: (
        Annotated[str, AfterValidator(values.parse_configdrive)] | None
    ) = None
    """The drive as one of the strings."""
    meta_data: dict[str, Any] | None = None
    """Its ``meta_data.json``."""
    network_data: dict[str, Any] | None = None
    """Its ``network_data.json``."""
    vendor_data: dict[str, Any] | None = None
    """Its ``vendor_data.json``."""
    user_data: Annotated[Any, AfterValidator(values.parse_user_data)] = None
    """Its ``user_data``."""

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if self.content and self.data:
            raise ValueError("content takes no data beside it")
        return self

    @property
    def data(self) -> dict[str, Any]:
        """What is to be rendered."""
        keys = ("meta_data", "user_data", "network_data", "vendor_data")
        given = {key: getattr(self, key) for key in keys}
        return {key: each for key, each in given.items() if each is not None}


def _configdrive(
    value: object, parse: Callable[[object], ConfigDriveParts]
) -> ConfigDriveParts:
    """Return the config drive; it is never part of a message."""
    if isinstance(value, str):
        return ConfigDriveParts(content=values.parse_configdrive(value))
    if not isinstance(value, dict):
        raise ValueError("is neither a string nor an object")
    return parse(value)


ConfigDrive = Annotated[
    Annotated[ConfigDriveParts, WrapValidator(_configdrive)] | None,
    WithJsonSchema({"type": ["string", "object", "null"]}),
]


WebUrl = Annotated[str, AfterValidator(values.parse_web_url)]


class Document(Object):
    """The layout form of ``image_info``."""

    model_config = ConfigDict(defer_build=True)

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
    ``vendor_data``. An object may say ``"into": "image"``, and have one of
    the strings as ``content``.
    """
    catalog_url: WebUrl | None = None
    """The image catalog that ``catalog:`` URLs are looked up in."""
    version: Annotated[Literal[1], Whole] = 1
    """The version of this format."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the layout form, for editors and docs."""
    schema = Document.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://docs.openstack.org/ipa-partitions/image_info.json",
    } | schema
