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

"""Systems that were there before, as os-prober finds them.

It only tells where they are and what they are called. What boots them is
read as it is of our own, or is their own loader. Nothing is written, and
one that cannot be read is left out.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ipa_partitions.boot.entries import Bootable, Place
from ipa_partitions.boot.image_text import printable, read_lines
from ipa_partitions.boot.menu import ChainEntry, MenuEntry
from ipa_partitions.disk.look import devices_by_uuid, filesystem_tags, to_read
from ipa_partitions.disk.mount import UNTRUSTED
from ipa_partitions.disk.probe import filesystem_devices
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.disk.tree import Mount, mounted_tree
from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.run import run

LOG = logging.getLogger(__name__)

TOOLS = ("os-prober",)

# It mounts every partition in turn; a broken one must not hold a node.
_TIMEOUT_S = 600
_SYSTEMS_MAX = 16

_BOOT_LINE = re.compile(r"\s*UUID=(\S+)\s+/boot\s.*")


@dataclass(frozen=True)
class Found:
    """A line of os-prober; ``path`` is that of a loader on an ESP."""

    device: str
    path: str
    title: str
    kind: str


def parse(shown: str) -> tuple[Found, ...]:
    """Return what os-prober has shown."""
    found = []
    for line in shown.splitlines():
        place, _, rest = line.partition(":")
        title, _, rest = rest.partition(":")
        kind = rest.rpartition(":")[2]
        device, _, path = place.partition("@")
        if device.startswith("/dev/") and kind in ("linux", "chain", "efi"):
            found.append(Found(device, path, printable(title), kind))
    return tuple(found)


def find(
    not_foreign: frozenset[str],
) -> tuple[MenuEntry | ChainEntry, ...]:
    """Return an entry for every system not on one of these devices.

    There is none if os-prober fails, as at a broken disk of somebody's.
    """
    try:
        shown = run("os-prober", timeout_s=_TIMEOUT_S)
    except CommandError as error:
        LOG.warning("no foreign system is offered: %s", error)
        return ()
    entries: list[MenuEntry | ChainEntry] = []
    # It has other names for the volumes of groups than we have.
    ours = {os.path.realpath(device) for device in not_foreign}
    for found in parse(shown)[:_SYSTEMS_MAX]:
        if os.path.realpath(found.device) in ours:
            continue
        try:
            entries += _entries(found)
        except (CommandError, ImageError) as error:
            LOG.warning(
                "%s, %s: not offered: %s", found.device, found.title, error
            )
    return tuple(entries)


def _entries(found: Found) -> Iterator[MenuEntry | ChainEntry]:
    uuid = filesystem_tags(found.device).get("UUID")
    if not uuid:
        return
    name = f"foreign-{uuid}"
    if found.kind != "linux":
        title = f"{found.title} (on {found.device})"
        yield ChainEntry(name, title, uuid, found.path)
        return
    places = [Place("/", uuid)]
    mounts = [to_read(Mount(found.device, "/"))]
    with mounted_tree(mounts, UNTRUSTED) as where:
        boot = _boot_place(RootFs(where))
    if boot:
        device, boot_uuid = boot
        places.append(Place("/boot", boot_uuid))
        mounts.append(to_read(Mount(device, "/boot")))
    with mounted_tree(mounts, UNTRUSTED) as where:
        system = Bootable(name, found.device, uuid, tuple(places))
        yield system.entry(RootFs(where))


def _boot_place(root: RootFs) -> tuple[str, str] | None:
    """Return the device and UUID of its /boot, if that is a volume."""
    for line in read_lines(root, "/etc/fstab"):
        match = _BOOT_LINE.fullmatch(line)
        if match:
            device = devices_by_uuid(filesystem_devices()).get(match[1])
            return (device, match[1]) if device else None
    return None
