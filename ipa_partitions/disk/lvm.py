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

"""LVM groups: what they take, and how they are made, read and activated.

LVM sees only the physical volumes that it is told of: a foreign group of
the same name is not touched.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_serialization import jsonutils

from ipa_partitions.disk.probe import wait_for_device
from ipa_partitions.disk.size import MIB
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

EXTENT_BYTES = 4 * MIB
_DATA_START_BYTES = MIB

_KIB = 1024

# Without a directory of its own LVM has no lvm.conf, no list of devices, and
# keeps no copies of the metadata: nothing depends on the ramdisk. lvm(8).
_LVM = ("env", "LVM_SYSTEM_DIR=", "lvm")
_CONFIG = (
    # udev may not run, or not know a device yet.
    "devices/obtain_device_list_from_udev=0",
    'devices/hints="none"',
    # The start of the data is the same on every device.
    "devices/data_alignment_detection=0",
    # No daemon stays behind.
    "activation/monitoring=0",
)

# As LVM has it: 64 bytes for each chunk of a pool, chunks of 64 KiB, and
# larger ones where that would come to more than 128 MiB. lvmthin(7).
_CHUNK_BYTES = 64 * _KIB
_CHUNK_METADATA_BYTES = 64
_MAX_METADATA_BYTES = 128 * MIB


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


@dataclass(frozen=True)
class Volume:
    """A logical volume that is there.

    ``layout`` is LVM's word where it is none that we can make.
    """

    name: str
    uuid: str
    size_bytes: int
    layout: str
    stripes: int | None
    mirrors: int | None
    pool: str | None
    is_active: bool


@dataclass(frozen=True)
class Group:
    """A group that is there; a physical volume that is not is "unknown"."""

    name: str
    uuid: str
    extent_bytes: int
    pvs: tuple[str, ...]
    volumes: tuple[Volume, ...]


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
    _lvm(
        pvs,
        "pvcreate", "--yes",
        "--dataalignment", f"{_DATA_START_BYTES // _KIB}k",
        *pvs,
    )  # fmt: skip
    _lvm(
        pvs,
        "vgcreate", "--yes",
        "--physicalextentsize", f"{EXTENT_BYTES // _KIB}k",
        name, *pvs,
    )  # fmt: skip


def create_volume(wanted: Wanted, pvs: Sequence[str]) -> None:
    """Make the volume in its group, which has ``pvs``, and wipe it.

    The first synchronisation of a raid1 is held back until it is activated
    again, so that it does not compete with what is written to it now.
    Raises CommandError, also if another group has an active one that is
    called the same.
    """
    _refuse_taken(wanted.device)
    _lvm(pvs, *create_argv(wanted))
    if wanted.layout == "thin-pool":
        return
    wait_for_device(wanted.device, wanted.size_bytes)
    if wanted.layout == "raid1":
        run("dmsetup", "message", wanted.device, "0", "frozen")


def _refuse_taken(device: str) -> None:
    if os.path.lexists(device):
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

    Raises CommandError, also if another group has an active one that is
    called the same.
    """
    for group in report(pvs):
        for volume in group.volumes:
            if group.name == group_name and not volume.is_active:
                _refuse_taken(f"/dev/{group_name}/{volume.name}")
    config = (f'activation/read_only_volume_list=["{group_name}"]',)
    _lvm(
        pvs,
        "vgchange", "--activate", "y", group_name,
        config=config if read_only else (),
    )  # fmt: skip


def deactivate(group_name: str, pvs: Sequence[str]) -> None:
    """Deactivate every volume of the group that has ``pvs``."""
    _lvm(pvs, "vgchange", "--activate", "n", group_name)


_FIELDS = {
    "vg": "vg_name,vg_uuid,vg_extent_size",
    "pv": "pv_name",
    "lv": "lv_name,lv_uuid,lv_size,lv_active,pool_lv",
    "seg": "lv_uuid,segtype,stripes,data_copies",
    "pvseg": "pv_name",
}


def report(devices: Sequence[str] = ()) -> tuple[Group, ...]:
    """Return the groups on ``devices``, or all that there are.

    A device is called as it is there. Nothing is written.
    """
    wanted = (
        ("--configreport", section, "--options", fields)
        for section, fields in _FIELDS.items()
    )
    shown = _lvm(
        devices,
        "fullreport",
        "--reportformat", "json", "--units", "b", "--nosuffix",
        *(word for words in wanted for word in words),
    )  # fmt: skip
    names = {os.path.realpath(device): device for device in devices}
    return parse_report(shown, names)


def parse_report(shown: str, names: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the groups of a full report.

    ``names`` says how a device, by its real path, shall be called.
    """
    return tuple(
        _group(each, names)
        for each in jsonutils.loads(shown)["report"]
        # Without a group: the physical volumes that are in none.
        if each["vg"]
    )


def _group(each: dict[str, Any], names: Mapping[str, str]) -> Group:
    (group,) = each["vg"]
    # One for each segment, of which a volume may have several.
    segments = {row["lv_uuid"]: row for row in reversed(each["seg"])}
    return Group(
        name=group["vg_name"],
        uuid=group["vg_uuid"],
        extent_bytes=int(group["vg_extent_size"]),
        pvs=tuple(_pvs(each["pv"], names)),
        volumes=tuple(
            _volume(row, segments[row["lv_uuid"]]) for row in each["lv"]
        ),
    )


def _pvs(
    rows: Sequence[dict[str, str]], names: Mapping[str, str]
) -> Iterator[str]:
    for row in rows:
        name = row["pv_name"]
        if name.startswith("/"):
            yield names.get(os.path.realpath(name), name)
        else:
            yield "unknown"


def _volume(row: dict[str, str], segment: dict[str, str]) -> Volume:
    layout = segment["segtype"]
    return Volume(
        name=row["lv_name"],
        uuid=row["lv_uuid"],
        size_bytes=int(row["lv_size"]),
        layout=layout,
        stripes=int(segment["stripes"]) if layout == "striped" else None,
        mirrors=int(segment["data_copies"]) - 1 if layout == "raid1" else None,
        pool=row["pool_lv"] or None if layout == "thin" else None,
        is_active=row["lv_active"] == "active",
    )


def devices_file(pvs: Sequence[str]) -> str:
    """Return a system.devices of lvmdevices(8) that lists ``pvs``.

    LVM itself knows best by what it will find each again.
    """
    with tempfile.TemporaryDirectory(prefix="ipa-partitions-") as directory:
        file = Path(directory, "devices", "system.devices")
        file.parent.mkdir()
        for pv in pvs:
            run(
                "env", f"LVM_SYSTEM_DIR={directory}",
                "lvm", "lvmdevices",
                "--config", " ".join((*_CONFIG, "devices/use_devicesfile=1")),
                "--yes", "--adddev", pv,
            )  # fmt: skip
        return file.read_text()


def _lvm(
    devices: Sequence[str],
    command: str,
    *argv: str,
    config: Sequence[str] = (),
) -> str:
    """Run a command of LVM that sees only ``devices``, or all if none."""
    return run(
        *_LVM,
        command,
        "--config", " ".join((*_CONFIG, *config)),
        *(word for device in devices for word in ("--devices", device)),
        *argv,
    )  # fmt: skip
