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

"""What the menu was made of, kept beside it: boot-menu.json.

From it ``boot refresh`` makes the menu anew, inside any of the systems.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from oslo_serialization import jsonutils
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ipa_partitions.boot.entries import Bootable
from ipa_partitions.boot.menu import Menu
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError

NAME = "boot-menu.json"

_LIMIT_BYTES = 1024**2


@dataclass(frozen=True)
class MenuFile:
    """A menu and the systems that its entries were read from.

    With ``fallback`` a system that was switched to is tried once.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True
    )

    systems: tuple[Bootable, ...]
    menu: Menu
    fallback: bool


def write(directory: Path, file: MenuFile) -> None:
    """Write it into a mounted boot directory, all of it or nothing."""
    text = jsonutils.dumps(dataclasses.asdict(file), indent=1) + "\n"
    RootFs(directory).write(NAME, text)


def read(directory: Path) -> MenuFile:
    """Return that of a mounted boot directory.

    Raises ImageError if there is none, or it is damaged.
    """
    text = RootFs(directory).read_bytes(NAME, _LIMIT_BYTES)
    try:
        return TypeAdapter(MenuFile).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        raise ImageError(f"{NAME}: {at}: {first['msg']}") from error
