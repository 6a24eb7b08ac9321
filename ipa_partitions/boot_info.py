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


"""Which systems a machine can boot, and which it will: boot-info.json.

It lies in the boot directory: the top of the multiboot partition or, with
one system, the ``/boot`` of that. The default is GRUB's to know: it is read
from the environment block beside the menu.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from oslo_serialization import jsonutils
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ipa_partitions.boot.grubenv import read_environment, update_environment
from ipa_partitions.disk.mount import READ_ONLY, UNTRUSTED, mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import CommandError, ImageError, MachineError
from ipa_partitions.run import run

NAME = "boot-info.json"

_LIMIT_BYTES = 256 * 1024
_STRICT = ConfigDict(extra="forbid", strict=True)
_LABEL = "multiboot"
_EXT = ("ext2", "ext3", "ext4")
_OTHERS = (*_EXT, "xfs", "btrfs")
_NO_REPLAY = {"ext3": "noload", "ext4": "noload", "xfs": "norecovery"}


@dataclass(frozen=True)
class Element:
    """One entry of the menu; ``grub_id`` is its index there."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    grub_id: int
    image_name: str
    os_id: str
    image_uuid: str | None
    boot_name: str
    root_uuid: str


@dataclass(frozen=True)
class BootInfo:
    """The menu; ``current_element`` is the ``grub_id`` of the default.

    ``multiboot_partition`` is the UUID of its filesystem, None with one
    system.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    elements: tuple[Element, ...]
    current_element: int
    multiboot_partition: str | None

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return what ``text`` says; raises ImageError if it is not exact."""
        try:
            info = TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise ImageError(f"{NAME}: {at}: {first['msg']}") from error
        grub_ids = [element.grub_id for element in info.elements]
        if grub_ids != [*range(len(grub_ids))]:
            raise ImageError(f"{NAME}: its grub_ids are not 0, 1, 2, ...")
        if info.current_element not in grub_ids:
            raise ImageError(f"{NAME}: its current_element is no grub_id")
        return info

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, named as in SPEC 3.6."""
        plain = dataclasses.asdict(self)
        return {**plain, "elements": list(plain["elements"])}

    def element(self, image: str | int) -> Element:
        """Return the element that ``image`` means.

        An integer is a ``grub_id``. A string is an ``os_id``, else an
        ``image_name`` or ``image_uuid``, else a ``grub_id`` in digits: so an
        image named like a number is found by its name, and the entry with
        that number only by the integer. Raises MachineError, with the
        choices, for what is none of them or means several.
        """
        for wanted in (
            lambda e: e.os_id == image,
            lambda e: image in {e.image_name, e.image_uuid} - {None},
            lambda e: str(e.grub_id) == str(image),
        ):
            found = [e for e in self.elements if wanted(e)]
            if len(found) == 1:
                return found[0]
            if found:
                break
        choices = "; ".join(
            f"{e.grub_id}: {e.os_id} ({e.image_name}, {e.image_uuid})"
            for e in self.elements
        )
        problem = "means more than one" if found else "is none"
        raise MachineError("image", f"{image!r} {problem} of {choices}")


@dataclass(frozen=True)
class BootDirectory:
    """Where boot-info.json is: ``path`` inside the root of ``device``."""

    device: str
    path: str

    @contextmanager
    def opened(self, writable: bool = False) -> Iterator[Path]:
        """Mount the device and yield the directory."""
        with mounted(self.device, _options(self.device, writable)) as root:
            yield RootFs(root).make_directory(self.path)


def read(directory: Path) -> BootInfo:
    """Return what a mounted boot directory says, GRUB's default included.

    Raises ImageError if something is missing or damaged.
    """
    boot = RootFs(directory)
    info = BootInfo.from_json(boot.read_bytes(NAME, _LIMIT_BYTES))
    saved = read_environment(boot).get("saved_entry", "")
    # GRUB takes a number for an index, and else looks for an entry's --id.
    ids = {element.os_id: element.grub_id for element in info.elements}
    ids |= {str(grub_id): grub_id for grub_id in ids.values()}
    current = ids.get(saved, info.current_element)
    return dataclasses.replace(info, current_element=current)


def write(directory: Path, info: BootInfo) -> None:
    """Write boot-info.json into ``directory``, all of it or nothing."""
    text = jsonutils.dumps(info.to_json(), indent=1) + "\n"
    RootFs(directory).write(NAME, text)


def switch(directory: Path, image: str | int, once: bool = False) -> BootInfo:
    """Make ``image`` the default, or only ``once`` what boots next.

    ``image`` is as in BootInfo.element. One atomic write.
    """
    info = read(directory)
    wanted = info.element(image).grub_id
    if once:
        update_environment(RootFs(directory), {"next_entry": str(wanted)})
        return info
    update_environment(
        RootFs(directory), {"saved_entry": str(wanted), "next_entry": None}
    )
    return dataclasses.replace(info, current_element=wanted)


def find(devices: Iterable[str]) -> BootDirectory:
    """Return the boot directory on one of ``devices``.

    Filesystems labelled ``multiboot`` come first, then every other one.
    Raises MachineError if there is none, or there are several.
    """
    tags = {device: _tags(device) for device in devices}
    labelled = [
        device
        for device, tag in tags.items()
        if tag.get("LABEL") == _LABEL and tag.get("TYPE") in _EXT
    ]
    others = [
        device
        for device, tag in tags.items()
        if device not in labelled and tag.get("TYPE") in _OTHERS
    ]
    for candidates in (labelled, others):
        found = [d for device in candidates for d in _look(device)]
        if len(found) == 1:
            return found[0]
        if found:
            raise MachineError(
                "partition",
                f"{NAME} is on {' and '.join(d.device for d in found)}:"
                " name the one that is meant",
            )
    raise MachineError("partition", f"{NAME} is on none of {', '.join(tags)}")


def _look(device: str) -> Iterator[BootDirectory]:
    # What cannot be mounted holds nothing that could be read or switched.
    with suppress(CommandError), mounted(device, _options(device)) as root:
        # Of a root that is a btrfs subvolume it is one step further down.
        inside = (f"/{each.name}/boot" for each in sorted(root.iterdir()))
        for path in ("/", "/boot", *inside):
            if RootFs(root).is_file(f"{path}/{NAME}"):
                yield BootDirectory(device, path)
                return


def _tags(device: str) -> dict[str, str]:
    shown = run(
        "blkid", "--probe", "--usages", "filesystem",
        "--output", "export", device,
        ok_codes=(0, 2, 8),
    )  # fmt: skip
    pairs = (line.partition("=") for line in shown.splitlines())
    return {name: value for name, _, value in pairs}


def _options(device: str, writable: bool = False) -> str:
    if writable:
        return UNTRUSTED
    # The kernel refuses to mount read-only what is mounted read-write.
    shown = run(
        "findmnt", "--noheadings", "--output", "OPTIONS",
        "--source", device,
        ok_codes=(0, 1),
    )  # fmt: skip
    if any(line.split(",")[0] == "rw" for line in shown.splitlines()):
        return UNTRUSTED
    # To look must not write, nor does GRUB see what only the journal holds.
    unwritten = _NO_REPLAY.get(_tags(device).get("TYPE", ""))
    return f"{READ_ONLY},{unwritten}" if unwritten else READ_ONLY
