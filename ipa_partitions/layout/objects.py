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

"""What the objects of a document are made of."""

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
    WithJsonSchema,
    model_validator,
)

from ipa_partitions.disk.size import Size, exact_bytes, parse_size
from ipa_partitions.layout import values


def _size_schema(words: str, *examples: str) -> dict[str, Any]:
    return {
        "anyOf": [
            {"type": "integer", "minimum": 1, "description": "MiB"},
            {
                "type": "string",
                "pattern": rf"^ *({words}) *$",
                "examples": [*examples],
            },
        ]
    }


_NUMBER = r"[0-9]+(\.[0-9]+)? ?"
_UNIT = r"[KMGTPEZY]i?B|B"

Wanted = Annotated[
    Size,
    BeforeValidator(parse_size),
    WithJsonSchema(
        _size_schema(
            rf"remaining|{_NUMBER}(%|{_UNIT})?",
            "100 MiB", "40%", "remaining",
        )
    ),
]  # fmt: skip
Budget = Annotated[
    int,
    BeforeValidator(exact_bytes),
    WithJsonSchema(_size_schema(rf"{_NUMBER}({_UNIT})?", "100 GiB")),
]
Name = Annotated[str, AfterValidator(values.parse_name)]
Text = Annotated[str, Field(max_length=255), AfterValidator(values.parse_text)]
Mount = Annotated[str, AfterValidator(values.parse_mount)]
Path = Annotated[str, AfterValidator(values.parse_path)]
SubvolumeName = Annotated[str, AfterValidator(values.parse_subvolume)]
TypeGuid = Annotated[str, AfterValidator(values.parse_type_guid)]
Words = Annotated[tuple[str, ...], AfterValidator(values.parse_mkfs_options)]
Serial = Annotated[str, AfterValidator(values.parse_serial)]
Whole = BeforeValidator(values.parse_whole)
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


def by_type(*kinds: str) -> Discriminator:
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


class Subvolume(Object):
    """A subvolume of a btrfs filesystem."""

    name: SubvolumeName
    """Its path below the top of the filesystem: ``@home``."""
    mount: Mount = "none"
    """An absolute path, or ``none``."""


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
    subvolumes: Annotated[tuple[Subvolume, ...], Field(max_length=1024)] = ()
    """The subvolumes of a btrfs filesystem, each with a mount of its own."""


class Titled(Object):
    """What messages and plans call a partition; its name in a GPT."""

    id: Text | None = None
    """Another word for ``name``."""
    name: Text | None = None
    """What messages and plans call it, and its name in a GPT, of at most 36
    characters; without it made from its mount or type.
    """

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.id and self.name and self.id != self.name:
            raise ValueError(
                f"the name {self.name!r} is not the id, {self.id!r}"
            )
        return self


class Named(Titled):
    """What messages and plans call a volume; its name on the disk."""

    id: Name | None = None
    """Another word for ``name``."""
    name: Name | None = None
    """What messages and plans call it, and its name on the disk; without it
    made from its mount or type.
    """
