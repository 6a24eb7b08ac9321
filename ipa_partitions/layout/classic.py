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

"""The classic form of ``image_info``, as Ironic's direct deploy sends it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from ipa_partitions.disk.size import REMAINING, Size
from ipa_partitions.errors import ProblemError
from ipa_partitions.images.access import Access, basic
from ipa_partitions.layout import document as doc
from ipa_partitions.layout import model, objects
from ipa_partitions.layout.build import build_configdrive
from ipa_partitions.layout.images import build_checksum, build_image
from ipa_partitions.layout.values import (
    TYPE_GUIDS,
    parse_text,
    parse_words,
)

_NAME_LENGTH = 255

_Problem = TypeVar("_Problem", bound=ProblemError)


def _count(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)  # the API keeps instance_info as it was typed
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a whole number, 0 or more")
    return value


def _flag(value: object) -> bool:
    flags = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in flags:
        return flags[value.lower()]
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")
    return value


Count = Annotated[int, BeforeValidator(_count)]


def _name(value: str | None) -> str | None:
    """Return what a person may be told of the image, if it is a name.

    Ironic has the end of its URL there, which may have a secret.
    """
    name = (value or "").partition("?")[0]
    try:
        return parse_text(name) if len(name) <= _NAME_LENGTH else None
    except ValueError:
        return None


Flag = Annotated[bool, BeforeValidator(_flag)]


def _decoded(value: object) -> object:
    """Return the header's value; Ironic sends base64 of it."""
    if not isinstance(value, str):
        return value
    try:
        text = base64.b64decode(value, validate=True).decode("ascii")
    except ValueError:
        text = ""
    if not text or not text.isprintable():
        raise ValueError("is not base64 of an authorization")
    return text


Authorization = Annotated[
    str | None, BeforeValidator(_decoded), Field(repr=False)
]


class Classic(BaseModel):
    """What Ironic sends; keys that it may add later are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    id: Annotated[str | None, AfterValidator(_name)] = None
    urls: Annotated[tuple[str, ...], Field(min_length=1)]
    checksum: str | None = None
    os_hash_algo: Literal["sha256", "sha512"] | None = None
    os_hash_value: str | None = None
    disk_format: objects.Name | None = None
    image_type: Literal["partition", "whole-disk"] = "partition"
    root_mb: Count = 0
    root_gb: Count = 0
    swap_mb: Count = 0
    ephemeral_mb: Count = 0
    ephemeral_format: objects.Name | None = None
    preserve_ephemeral: Flag = False
    disk_label: Literal["gpt", "msdos"] | None = None
    deploy_boot_mode: Literal["bios", "uefi"] | None = None
    configdrive: doc.ConfigDrive = Field(default=None, repr=False)
    image_server_auth_strategy: Literal["http_basic", "noauth"] = "noauth"
    image_server_user: str | None = Field(default=None, repr=False)
    image_server_password: str | None = Field(default=None, repr=False)
    image_request_authorization: Authorization = None
    proxies: dict[str, str] = Field(default_factory=dict, repr=False)
    no_proxy: str | None = None
    node_uuid: str | None = None

    @model_validator(mode="after")
    def _has_root(self) -> Self:
        if self.image_type == "partition" and not self.root_size_mb:
            raise ValueError("root_mb or root_gb is required")
        return self

    @model_validator(mode="after")
    def _is_somebody(self) -> Self:
        if self.image_server_auth_strategy == "http_basic" and not (
            self.image_server_user and self.image_server_password
        ):
            raise ValueError(
                "image_server_user and image_server_password are required"
                " for http_basic"
            )
        return self

    @property
    def access(self) -> Access:
        """How the image's server is spoken to."""
        authorization = self.image_request_authorization
        if not authorization and self.image_server_auth_strategy != "noauth":
            authorization = basic(
                self.image_server_user or "", self.image_server_password or ""
            )
        proxies = tuple(self.proxies.items())
        return Access(authorization, proxies, self.no_proxy)

    @property
    def root_size_mb(self) -> int:
        """The size of the root partition, in MiB."""
        return self.root_mb or self.root_gb * 1024


def build_classic(classic: Classic) -> model.Layout:
    """Return the layout: ephemeral, swap, config drive, root: SPEC 2.1.

    Policy ``clean``; with ``preserve_ephemeral`` ``verify``, where all but
    the ephemeral partition is made anew.
    """
    whole = classic.image_type == "whole-disk"
    boot = doc.Boot(
        firmware=classic.deploy_boot_mode or "auto",
        loader="none" if whole else "grub",
    )
    image = _image(classic)
    volumes = (
        (_volume(classic, image.name, "root", REMAINING, mount="/"),)
        if whole
        else tuple(_volumes(classic, image.name))
    )
    disk = model.Disk(
        at="$",
        id=model.DiskId("os_install"),
        budget_bytes=None,
        table="none" if whole else classic.disk_label or "gpt",
        boot=None,
        volumes=volumes,
    )
    return model.Layout(
        form="classic",
        policy="verify" if classic.preserve_ephemeral else "clean",
        disks=(disk,),
        groups=(),
        arrays=(),
        bcaches=(),
        images=(image,),
        rsync_flags=parse_words(doc.DeployFlags().rsync_flags),
        kernel_params="",
        boot=model.Boot(**boot.model_dump()),
        configdrive=build_configdrive(classic.configdrive),
        catalog_url=None,
        node_uuid=classic.node_uuid,
    )


def as_written(
    form: Literal["layout", "classic"], errors: Iterable[_Problem]
) -> Iterator[_Problem]:
    """Yield ``errors`` with the keys that a document of ``form`` has."""
    for error in errors:
        at = error.at
        for ours, theirs in _PATHS.items() if form == "classic" else ():
            at = at.replace(ours, theirs)
        yield type(error)(at, error.problem)


_PATHS = {
    "$.image_pull_url": "$.urls[0]",
    "$.table": "$.disk_label",
    "$.volumes": "$.disk_label",
    "$.ephemeral_mb.file_system": "$.ephemeral_format",
}


def _image(classic: Classic) -> model.Image:
    url = classic.urls[0]
    declared = doc.Image(
        name="image",
        image_name=classic.id,
        image_uuid=classic.id,
        image_pull_url=url,
        disk_format=classic.disk_format,
    )
    image = build_image("$", declared)
    checksum = build_checksum(
        classic.os_hash_algo,
        # Ironic may have either empty where there is none.
        classic.os_hash_value or None,
        None if classic.os_hash_value else classic.checksum or None,
    )
    kind: Literal["os", "whole-disk"] = (
        "whole-disk" if classic.image_type == "whole-disk" else "os"
    )
    return replace(image, checksum=checksum, type=kind, access=classic.access)


def _volumes(classic: Classic, image: str) -> Iterator[model.Volume]:
    """Yield the partitions in the order of SPEC 2.1."""
    kept = classic.preserve_ephemeral
    if classic.ephemeral_mb:
        yield _volume(
            classic, image, "ephemeral0", Size.mib(classic.ephemeral_mb),
            file_system=classic.ephemeral_format or "ext4", keep_data=kept,
        )  # fmt: skip
    if classic.swap_mb:
        yield _volume(
            classic, image, "swap1", Size.mib(classic.swap_mb),
            mount="swap", file_system="swap",
        )  # fmt: skip
    drive = build_configdrive(classic.configdrive)
    if drive and drive.into == "partition":
        yield _volume(
            classic, image, model.CONFIG_DRIVE, model.CONFIG_DRIVE_SIZE
        )
    yield _volume(
        classic, image, "root", Size.mib(classic.root_size_mb), mount="/",
        file_system="ext4",
    )  # fmt: skip


_PLACES = {
    "ephemeral0": "$.ephemeral_mb",
    "swap1": "$.swap_mb",
    model.CONFIG_DRIVE: "$.configdrive",
    "root": "$.root_mb",
}


def _volume(
    classic: Classic,
    image: str,
    name: str,
    size: Size,
    *,
    mount: str = model.NONE,
    file_system: str = model.NONE,
    keep_data: bool = False,
) -> model.Volume:
    return model.Volume(
        at=_PLACES[name],
        name=name,
        role="partition",
        size=size,
        type_guid=TYPE_GUIDS["swap" if mount == "swap" else "linux"],
        content=model.Content(
            file_system=file_system,
            mount=mount,
            # What stock Ironic labels them, and cloud-init looks for.
            label=name
            if file_system != model.NONE and name != "root"
            else None,
            keep_data=keep_data,
            images=() if mount == model.NONE else (image,),
        ),
    )
