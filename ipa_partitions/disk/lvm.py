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

"""LVM groups: what they take, and how they are made and activated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ipa_partitions.disk.link import make_link
from ipa_partitions.disk.lvm_report import (
    Group,
    Volume,
    devices_file,
    report,
    run_lvm,
)
from ipa_partitions.disk.probe import wait_for_device
from ipa_partitions.disk.size import MIB
from ipa_partitions.disk.table import wipe
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

__all__ = [
    "EXTENT_BYTES",
    "Group",
    "Volume",
    "Wanted",
    "activate",
    "consumed_extents",
    "create_argv",
    "create_group",
    "create_volume",
    "deactivate",
    "devices_file",
    "extents",
    "report",
]

EXTENT_BYTES = 4 * MIB
_DATA_START_BYTES = MIB

_KIB = 1024

# To make a group LVM refuses a name that an active one has, by this.
_ANY_NAME = 'devices/dir="/dev/none"'

# As LVM has it: 64 bytes for each chunk of a pool, chunks of 64 KiB, and
# larger ones where that would come to more than 128 MiB. lvmthin(7).
_CHUNK_BYTES = 64 * _KIB
_CHUNK_METADATA_BYTES = 64
_MAX_METADATA_BYTES = 128 * MIB

_IMAGE = re.compile(r"([\w.+-]+_rimage_\d+)\(")


@dataclass(frozen=True)
class Wanted:
    """A logical volume to be, of whole extents."""

    group: str
    name: str
    layout: str
    size_bytes: int
    stripes: int | None
    mirrors: int | None
    pool: str | None

    @property
    def device(self) -> str:
        """Where it is once it is active."""
        return f"/dev/{self.group}/{self.name}"


def extents(pv_bytes: int) -> int:
    """Return how many extents a physical volume has."""
    return max(0, pv_bytes - _DATA_START_BYTES) // EXTENT_BYTES


def consumed_extents(wanted: Wanted) -> int:
    """Return how many extents of its group the volume takes.

    A second pool shares the spare metadata of the first, so that fewer are
    taken than this says.
    """
    count = -(-wanted.size_bytes // EXTENT_BYTES)
    if wanted.layout == "thin":
        return 0
    if wanted.layout == "raid1":
        # Each image has an extent of metadata beside it.
        return (_mirrors(wanted) + 1) * (count + 1)
    if wanted.layout == "thin-pool":
        return count + 2 * _metadata_bytes(wanted) // EXTENT_BYTES
    return count


def _mirrors(wanted: Wanted) -> int:
    return wanted.mirrors or 1


def _metadata_bytes(pool: Wanted) -> int:
    """Return the size of the metadata of ``pool``, whole extents."""
    wanted = pool.size_bytes // _CHUNK_BYTES * _CHUNK_METADATA_BYTES
    count = max(1, -(-wanted // EXTENT_BYTES))
    return min(count * EXTENT_BYTES, _MAX_METADATA_BYTES)


def _chunk_bytes(pool: Wanted) -> int:
    chunk = _CHUNK_BYTES
    while pool.size_bytes // chunk * _CHUNK_METADATA_BYTES > (
        _MAX_METADATA_BYTES
    ):
        chunk *= 2
    return chunk


def create_group(name: str, pvs: Sequence[str]) -> None:
    """Make the group ``name`` of ``pvs``, whatever is on them."""
    wipe(*pvs)
    run_lvm(
        pvs,
        "pvcreate", "--yes",
        "--dataalignment", f"{_DATA_START_BYTES // _KIB}k",
        *pvs,
    )  # fmt: skip
    run_lvm(
        pvs,
        "vgcreate", "--yes",
        "--physicalextentsize", f"{EXTENT_BYTES // _KIB}k",
        name, *pvs,
        config=(_ANY_NAME,),
    )  # fmt: skip


def create_volume(wanted: Wanted, pvs: Sequence[str]) -> None:
    """Make the volume in its group, which has ``pvs``, and wipe it.

    The first synchronisation of a raid1 is held back until it is activated
    again, so that it does not compete with what is written to it now.
    Raises CommandError, also if another group has an active one that is
    called the same.
    """
    _refuse_taken(wanted.device)
    run_lvm(pvs, *create_argv(wanted))
    if wanted.layout == "thin-pool":
        return
    wait_for_device(wanted.device, wanted.size_bytes)
    if wanted.layout == "raid1":
        run("dmsetup", "message", wanted.device, "0", "frozen")


def _refuse_taken(device: str) -> None:
    if Path(device).exists():
        raise CommandError(f"{device}: another group has a volume there")


def create_argv(wanted: Wanted) -> tuple[str, ...]:
    """Return the words for lvm(8) that make the volume."""
    words = ["lvcreate", "--yes", "--name", wanted.name]
    words += ["--type", wanted.layout]
    if wanted.layout == "thin":
        size = f"{wanted.size_bytes // _KIB}k"
        words += ["--thinpool", str(wanted.pool), "--virtualsize", size]
        return (*words, wanted.group)
    words += ["--extents", str(wanted.size_bytes // EXTENT_BYTES)]
    if wanted.layout == "thin-pool":
        words += [
            "--chunksize", f"{_chunk_bytes(wanted) // _KIB}k",
            "--poolmetadatasize", f"{_metadata_bytes(wanted) // _KIB}k",
            "--poolmetadataspare", "y",
        ]  # fmt: skip
        return (*words, wanted.group)
    words += ["--wipesignatures", "y", "--zero", "y"]
    if wanted.layout == "striped":
        words += ["--stripes", str(wanted.stripes), "--stripesize", "64k"]
    elif wanted.layout == "raid1":
        words += ["--mirrors", str(_mirrors(wanted))]
    return (*words, wanted.group)


def activate(
    group_name: str, pvs: Sequence[str], read_only: bool = False
) -> None:
    """Activate every volume of the group that has ``pvs``.

    With ``read_only`` nothing is written to any of them, and what we cannot
    make is left out. Raises CommandError once all is tried, and also if
    another group has an active volume that is called the same.
    """
    volumes = [
        volume
        for group in report(pvs)
        if group.name == group_name
        for volume in group.volumes
        if not volume.is_active
    ]
    for volume in volumes:
        _refuse_taken(f"/dev/{group_name}/{volume.name}")
    if not read_only:
        run_lvm(pvs, "vgchange", "--activate", "y", group_name)
        return
    errors = []
    for volume in volumes:
        try:
            _activate_to_look(group_name, volume, pvs)
        except CommandError as error:
            errors.append(str(error))
    if errors:
        raise CommandError("\n".join(errors))


def _activate_to_look(
    group_name: str, volume: Volume, pvs: Sequence[str]
) -> None:
    device = f"/dev/{group_name}/{volume.name}"
    if volume.layout == "raid1":
        _activate_image(device, pvs)
    elif volume.layout == "thin":
        # The pool must be writable, but is not written to unless this is.
        run_lvm(pvs, "lvchange", "--activate", "y", device)
    elif volume.layout in ("linear", "striped"):
        full_name = f"{group_name}/{volume.name}"
        run_lvm(
            pvs,
            "lvchange", "--activate", "y", device,
            config=(f'activation/read_only_volume_list=["{full_name}"]',),
        )  # fmt: skip


def _activate_image(device: str, pvs: Sequence[str]) -> None:
    """Have one image of the raid1 ``device`` stand for it.

    The whole counts its starts in its metadata, even a read-only one.
    """
    shown = run_lvm(pvs, "lvs", "--noheadings", "--options", "devices", device)
    error = CommandError(f"{device}: has no image")
    for name in _IMAGE.findall(shown):
        image = Path(device).with_name(name)
        try:
            # LVM says that it makes it read-only, and asks.
            run_lvm(pvs, "lvchange", "--yes", "--activate", "y", str(image))
        except CommandError as why:
            error = why
            continue
        make_link(device, str(image))
        return
    raise error


def forget_images(group: Group) -> None:
    """Remove the links by which one image stood for a raid1."""
    for volume in group.volumes:
        link = Path("/dev", group.name, volume.name)
        # udev or LVM may take it away at the same time.
        with suppress(OSError):
            if "_rimage_" in link.readlink().name:
                link.unlink()


def deactivate(group_name: str, pvs: Sequence[str]) -> None:
    """Deactivate every volume of the group that has ``pvs``."""
    run_lvm(pvs, "vgchange", "--activate", "n", group_name)
    directory = Path("/dev", group_name)
    for link in directory.glob("*"):
        if not link.exists():
            link.unlink(missing_ok=True)
    with suppress(OSError):
        directory.rmdir()
