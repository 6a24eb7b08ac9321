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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from oslo_serialization import jsonutils
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ipa_partitions.boot.grubenv import read_environment, update_environment
from ipa_partitions.disk.look import filesystem_tags, read_options
from ipa_partitions.disk.mount import UNTRUSTED, mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import CommandError, ImageError, MachineError

NAME = "boot-info.json"
# Where the agent collects it among its logs: SPEC 3.6.
RAMDISK = Path("/tmp")  # noqa: S108

_LIMIT_BYTES = 256 * 1024
_STRICT = ConfigDict(extra="forbid", strict=True)
_LABEL = "multiboot"
# Beside saved_entry and next_entry; GRUB itself does not look at it.
_TRIAL = "trial_entry"
_EXT = ("ext2", "ext3", "ext4")
_OTHERS = (*_EXT, "xfs", "btrfs")


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
    system. ``trial_element`` is the ``grub_id`` of a system that was chosen
    and has not yet been confirmed, None mostly; it is not in the JSON then.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    elements: tuple[Element, ...]
    current_element: int
    multiboot_partition: str | None
    trial_element: int | None = None

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
        if self.trial_element is None:
            del plain["trial_element"]
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
        options = UNTRUSTED if writable else read_options(self.device)
        with mounted(self.device, options) as root:
            yield RootFs(root).make_directory(self.path)


def read(directory: Path) -> BootInfo:
    """Return what a mounted boot directory says, GRUB's default included.

    Raises ImageError if something is missing or damaged.
    """
    boot = RootFs(directory)
    info = BootInfo.from_json(boot.read_bytes(NAME, _LIMIT_BYTES))
    saved = read_environment(boot)
    # GRUB takes a number for an index, and else looks for an entry's --id.
    ids = {element.os_id: element.grub_id for element in info.elements}
    ids |= {str(grub_id): grub_id for grub_id in ids.values()}
    return dataclasses.replace(
        info,
        current_element=ids.get(
            saved.get("saved_entry", ""), info.current_element
        ),
        trial_element=ids.get(saved.get(_TRIAL, "")),
    )


def write(directory: Path, info: BootInfo) -> None:
    """Write boot-info.json into ``directory``, all of it or nothing."""
    text = jsonutils.dumps(info.to_json(), indent=1) + "\n"
    RootFs(directory).write(NAME, text)


def switch(
    directory: Path, image: str | int, once: bool = False, trial: bool = False
) -> BootInfo:
    """Make ``image`` the default, or only ``once`` what boots next.

    With ``trial`` it boots next, and is the default when ``confirm`` says
    so. ``image`` is as in BootInfo.element. One atomic write.
    """
    info = read(directory)
    wanted = info.element(image).grub_id
    if once:
        change: dict[str, str | None] = {"next_entry": str(wanted)}
    elif trial and wanted != info.current_element:
        change = {"next_entry": str(wanted), _TRIAL: str(wanted)}
    else:
        change = {"saved_entry": str(wanted), "next_entry": None, _TRIAL: None}
    return _changed(directory, change)


def confirm(directory: Path, root_uuid: str) -> BootInfo:
    """Make the system on trial the default, if it is the one that runs.

    If another one runs the trial has failed, and is over. ``root_uuid`` is
    that of the running system's root. Raises MachineError if that is none
    of the menu's.
    """
    info = read(directory)
    running = [e.grub_id for e in info.elements if e.root_uuid == root_uuid]
    if not running:
        raise MachineError(
            "image", f"the root of this system, {root_uuid}, is in no entry"
        )
    if info.trial_element is None:
        return info
    change: dict[str, str | None] = {_TRIAL: None}
    if info.trial_element in running:
        change["saved_entry"] = str(info.trial_element)
    else:
        # If it has not even been tried, it is not any more.
        change["next_entry"] = None
    return _changed(directory, change)


def _changed(directory: Path, change: Mapping[str, str | None]) -> BootInfo:
    """Change GRUB's environment, at once, and have the file say so too."""
    update_environment(RootFs(directory), change)
    info = read(directory)
    # Of a trial GRUB's environment alone knows when it is over.
    write(directory, dataclasses.replace(info, trial_element=None))
    return info


def find(devices: Iterable[str]) -> BootDirectory:
    """Return the boot directory on one of ``devices``.

    Filesystems labelled ``multiboot`` come first, then every other one.
    Raises MachineError if there is none, or there are several.
    """
    tags = {device: filesystem_tags(device) for device in devices}
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
    with (
        suppress(CommandError, OSError),
        mounted(device, read_options(device)) as root,
    ):
        # Of a root that is a btrfs subvolume it is one step further down.
        inside = (f"/{each.name}/boot" for each in sorted(root.iterdir()))
        for path in ("/", "/boot", *inside):
            if RootFs(root).is_file(f"{path}/{NAME}"):
                yield BootDirectory(device, path)
                return
