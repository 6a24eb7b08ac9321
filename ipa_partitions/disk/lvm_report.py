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

"""What groups of LVM there are, and the one way to run LVM.

LVM sees only the devices that it is told of: a foreign group of the same
name is neither seen nor touched.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_serialization import jsonutils

from ipa_partitions.run import run

# A directory without lvm.conf and list of devices: nothing depends on what
# the ramdisk has in /etc/lvm. lvm(8), lvm.conf(5).
_DIRECTORY = "LVM_SYSTEM_DIR=/run/lvm"
_CONFIG = (
    "backup/backup=0",
    "backup/archive=0",
    # udev may not run, or not know a device yet.
    "devices/obtain_device_list_from_udev=0",
    'devices/hints="none"',
    # The data starts at the same place on every device.
    "devices/data_alignment_detection=0",
    # No daemon stays behind.
    "activation/monitoring=0",
)

_FIELDS = {
    "vg": "vg_name,vg_uuid,vg_extent_size",
    "pv": "pv_name",
    "lv": "lv_name,lv_uuid,lv_size,lv_active,pool_lv",
    "seg": "lv_uuid,segtype,stripes,data_copies",
    "pvseg": "pv_name",
}


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


def run_lvm(
    devices: Sequence[str],
    command: str,
    *argv: str,
    config: Sequence[str] = (),
) -> str:
    """Run a command of LVM that sees only ``devices``, or all if none."""
    return run(
        "env", _DIRECTORY, *_without_udev(),
        "lvm", command,
        "--config", " ".join((*_CONFIG, *config)),
        *(word for device in devices for word in ("--devices", device)),
        *argv,
    )  # fmt: skip


def _without_udev() -> tuple[str, ...]:
    # Where no udevd runs, LVM makes the nodes itself, but only if told so.
    return () if Path("/run/udev/control").exists() else ("DM_DISABLE_UDEV=1",)


def report(devices: Sequence[str] = ()) -> tuple[Group, ...]:
    """Return the groups on ``devices``, or all that there are.

    A device is called as it is there. Nothing is written.
    """
    wanted = (
        ("--configreport", section, "--options", fields)
        for section, fields in _FIELDS.items()
    )
    shown = run_lvm(
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
        if "vg" in each
    )


def _group(each: dict[str, Any], names: Mapping[str, str]) -> Group:
    (group,) = each["vg"]
    # One for each segment, of which a volume may have several.
    segments = {row["lv_uuid"]: row for row in reversed(each.get("seg", ()))}
    return Group(
        name=group["vg_name"],
        uuid=group["vg_uuid"],
        extent_bytes=int(group["vg_extent_size"]),
        pvs=tuple(_pvs(each["pv"], names)),
        volumes=tuple(
            _volume(row, segments[row["lv_uuid"]])
            for row in each.get("lv", ())
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
