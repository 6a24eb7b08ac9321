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

"""Look at filesystems, also at those in use, without writing to them."""

from __future__ import annotations

from collections.abc import Iterable

from ipa_partitions.disk.mount import READ_ONLY, UNTRUSTED
from ipa_partitions.disk.tree import Mount
from ipa_partitions.run import run

_NO_REPLAY = {
    "btrfs": "rescue=nologreplay",
    "ext3": "noload",
    "ext4": "noload",
    "xfs": "norecovery",
}


def filesystem_tags(device: str) -> dict[str, str]:
    """Return what ``blkid`` says of the filesystem: TYPE, UUID, LABEL."""
    return tags(device, "--usages", "filesystem")


def tags(device: str, *options: str) -> dict[str, str]:
    """Return all that ``blkid`` says of ``device``."""
    shown = run(
        "blkid", "--probe", *options, "--output", "export", device,
        ok_codes=(0, 2, 8),  # nothing was found, or too much
    )  # fmt: skip
    pairs = (line.partition("=") for line in shown.splitlines())
    return {name: value.replace("\\ ", " ") for name, _, value in pairs}


def devices_by_uuid(devices: Iterable[str]) -> dict[str, str]:
    """Return the device of each filesystem on ``devices``, the first one."""
    found: dict[str, str] = {}
    for device in devices:
        if uuid := filesystem_tags(device).get("UUID"):
            found.setdefault(uuid, device)
    return found


def read_options(device: str) -> str:
    """Return the options that it takes to mount ``device`` and to read it."""
    # The kernel refuses to mount read-only what is mounted read-write.
    shown = run(
        "findmnt", "--noheadings", "--output", "OPTIONS",
        "--source", device,
        ok_codes=(0, 1),
    )  # fmt: skip
    if any(line.split(",")[0] == "rw" for line in shown.splitlines()):
        return UNTRUSTED
    # To look must not write, nor does GRUB see what only the journal holds.
    unwritten = _NO_REPLAY.get(filesystem_tags(device).get("TYPE", ""))
    return f"{READ_ONLY},{unwritten}" if unwritten else READ_ONLY


def to_read(mount: Mount) -> Mount:
    """Return ``mount`` with what it takes to read it, see above."""
    options = (*mount.options, read_options(mount.device))
    return mount._replace(options=options)
