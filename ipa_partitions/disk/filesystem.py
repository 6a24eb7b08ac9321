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

"""Filesystems, as values: how each is made, named, grown and told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ipa_partitions import registry

# MBR types, by the GUID that stands for them in a Volume: sfdisk --list-types.
MSDOS_TYPES = {
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4": "83",
    "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": "82",
    "E6D6D379-F507-44C2-A23C-238F2A3DF928": "8e",
    "A19D880F-05FC-4D3B-A006-743F0F84911E": "fd",
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B": "ef",
}

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FAT_ID = re.compile(r"[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}")

Argv = tuple[str, ...]


@dataclass(frozen=True)
class Filesystem:
    """How to make, name, renew and grow one kind of filesystem.

    ``mkfs`` ends before the device, ``label_option`` of mkfs before the
    label. In ``uuid_option``, ``check``, ``new_uuid``, ``new_label`` and
    ``grow`` the words ``{device}``, ``{uuid}``, ``{label}`` and ``{root}``
    stand for themselves; they work on a filesystem that is not mounted,
    but ``grow`` on one mounted at ``{root}`` where ``grows_mounted``.
    """

    mkfs: Argv
    label_option: str
    uuid_option: Argv
    label_max_bytes: int
    label_pattern: str = ".*"
    uuid_format: Literal["uuid", "fat"] = "uuid"
    check: Argv = ()
    check_ok_codes: tuple[int, ...] = (0,)
    new_uuid: Argv = ()
    new_label: Argv = ()
    grow: Argv = ()
    grows_mounted: bool = False
    min_bytes: int = 0
    fsck_pass: bool = False

    @property
    def tools(self) -> tuple[str, ...]:
        """The programs that making one needs."""
        return (self.mkfs[0],)

    def make_argv(
        self,
        device: str,
        uuid: str,
        label: str | None = None,
        options: Argv = (),
    ) -> Argv:
        """Return the command that makes one on ``device``."""
        named = (self.label_option, label) if label else ()
        uuid = uuid.replace("-", "") if self.uuid_format == "fat" else uuid
        identified = tuple(word.format(uuid=uuid) for word in self.uuid_option)
        return (*self.mkfs, *named, *identified, *options, device)

    def problems(
        self, label: str | None, uuid: str | None
    ) -> Iterator[tuple[str, str]]:
        """Yield (key, problem) for a label or UUID it cannot have."""
        if label and len(label.encode()) > self.label_max_bytes:
            yield (
                "label",
                f"{label!r} is longer than {self.label_max_bytes} bytes",
            )
        if label and not re.fullmatch(self.label_pattern, label):
            yield "label", f"{label!r} has a character that it cannot have"
        pattern = _FAT_ID if self.uuid_format == "fat" else _UUID
        is_nil = uuid is not None and not uuid.strip("0-")
        if is_nil or (uuid is not None and not pattern.fullmatch(uuid)):
            example = "ABCD-1234" if self.uuid_format == "fat" else "a UUID"
            yield "uuid", f"{uuid!r} is not of the form {example}"

    def uuid_word(self, uuid: str) -> str:
        """Return what the programs take for what ``blkid`` shows."""
        return uuid.replace("-", "") if self.uuid_format == "fat" else uuid

    def uuid_text(self, uuid: str) -> str:
        """Return what ``blkid`` shows for the random UUID ``uuid``."""
        if self.uuid_format == "fat":
            # FAT has 32 bits, not 128.
            digits = uuid.replace("-", "").upper()
            return f"{digits[:4]}-{digits[4:8]}"
        return uuid.lower()


def known() -> Mapping[str, Filesystem]:
    """Return the filesystems of this program and its plug-ins, by name."""
    return registry.load("filesystems")


def _ext(version: str) -> Filesystem:
    return Filesystem(
        # The device was wiped just before: discarding again is slow.
        mkfs=(f"mkfs.{version}", "-q", "-F", "-E", "nodiscard"),
        label_option="-L",
        uuid_option=("-U", "{uuid}"),
        label_max_bytes=16,
        check=("e2fsck", "-f", "-p", "{device}"),
        check_ok_codes=(0, 1),  # 1: all that was wrong is mended
        new_uuid=("tune2fs", "-U", "{uuid}", "{device}"),
        new_label=("tune2fs", "-L", "{label}", "{device}"),
        grow=("resize2fs", "{device}"),
        fsck_pass=True,
    )


EXT2 = _ext("ext2")
EXT3 = _ext("ext3")
EXT4 = _ext("ext4")
XFS = Filesystem(
    mkfs=("mkfs.xfs", "-q", "-f", "-K"),
    label_option="-L",
    uuid_option=("-m", "uuid={uuid}"),
    label_max_bytes=12,
    check=("xfs_repair", "-n", "{device}"),
    new_uuid=("xfs_admin", "-U", "{uuid}", "{device}"),
    new_label=("xfs_admin", "-L", "{label}", "{device}"),
    grow=("xfs_growfs", "{root}"),
    grows_mounted=True,
    min_bytes=300 * 1024**2,  # mkfs.xfs(8), since xfsprogs 5.19
)
BTRFS = Filesystem(
    mkfs=("mkfs.btrfs", "-q", "-f", "-K"),
    label_option="-L",
    uuid_option=("-U", "{uuid}"),
    label_max_bytes=255,
    check=("btrfs", "check", "{device}"),
    new_uuid=("btrfstune", "-f", "-U", "{uuid}", "{device}"),
    new_label=("btrfs", "filesystem", "label", "{device}", "{label}"),
    grow=("btrfs", "filesystem", "resize", "max", "{root}"),
    grows_mounted=True,
    min_bytes=109 * 1024**2,  # mkfs.btrfs(8), metadata dup
)
VFAT = Filesystem(
    # On a whole disk it would write what looks like a partition.
    mkfs=("mkfs.vfat", "--mbr=n"),
    label_option="-n",
    uuid_option=("-i", "{uuid}"),
    label_max_bytes=11,
    label_pattern=r"[A-Za-z0-9_ !#$%&'()@^`{}~-]*",
    uuid_format="fat",
    check=("fsck.vfat", "-a", "{device}"),
    check_ok_codes=(0, 1),  # as e2fsck
    new_uuid=("fatlabel", "-i", "{device}", "{uuid}"),
    new_label=("fatlabel", "{device}", "{label}"),
    fsck_pass=True,
)
SWAP = Filesystem(
    mkfs=("mkswap",),
    label_option="-L",
    uuid_option=("-U", "{uuid}"),
    label_max_bytes=16,
    new_uuid=("swaplabel", "-U", "{uuid}", "{device}"),
    new_label=("swaplabel", "-L", "{label}", "{device}"),
)
