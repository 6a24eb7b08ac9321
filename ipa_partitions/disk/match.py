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

"""Find the one disk that a document means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ipa_partitions.disk.machine import Disk, Machine

# What Ironic takes when there are no hints: at least this, the smallest.
MIN_OS_INSTALL_BYTES = 4 * 1024**3


class NoSingleDiskError(Exception):
    """None or several disks match; the message lists those present."""


def by_name(machine: Machine, path: str) -> Disk:
    """Return the disk whose node is ``path``, or that it leads to."""
    return _single(
        machine,
        (d for d in machine.disks if path in (d.device, *d.links)),
        path,
    )


def by_scsi(machine: Machine, address: str) -> Disk:
    """Return the disk at the SCSI address."""
    return _single(
        machine, (d for d in machine.disks if d.hctl == address), address
    )


def check_hints(
    hints: Mapping[str, str | int | bool],
) -> Mapping[str, str | int | bool]:
    """Return ``hints``, unless Ironic can read them on no machine at all.

    Without Ironic's rules at hand all are taken. Raises ValueError.
    """
    try:
        from ironic_python_agent import device_hints
        from pyparsing import ParseException
    except ImportError:
        return hints
    problems = []
    for key, value in hints.items():
        try:
            device_hints.parse_root_device_hints({key: value})
        except ParseException:
            problems.append(f"{key}: {value!r} is no operator with its value")
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    return hints


def by_hints(machine: Machine, hints: Mapping[str, str | int | bool]) -> Disk:
    """Return the disk that Ironic's root device hints mean.

    Loop devices take part only in hints that give a name.
    """
    # Ironic's own rules, operators included; loaded only when asked for.
    try:
        from ironic_python_agent import device_hints
    except ImportError as error:
        raise NoSingleDiskError(
            "root device hints need ironic-python-agent (extra 'agent')"
        ) from error
    disks = {
        disk.device: disk
        for disk in machine.disks
        if "name" in hints or not disk.is_loop
    }
    try:
        found = list(
            device_hints.find_devices_by_hints(
                [_facts(disk) for disk in disks.values()], dict(hints)
            )
        )
    # The last two are of operators that do not go with what a disk says.
    except (ValueError, TypeError, SyntaxError) as error:
        raise NoSingleDiskError(str(error)) from error
    wanted = ", ".join(f"{key} {value}" for key, value in hints.items())
    return _single(machine, (disks[each["name"]] for each in found), wanted)


def os_install(machine: Machine) -> Disk:
    """Return the disk that Ironic would take.

    That is what it said, or else the smallest that is large enough.
    """
    if machine.os_install:
        return by_name(machine, machine.os_install)
    large = [
        disk
        for disk in machine.disks
        if disk.size_bytes >= MIN_OS_INSTALL_BYTES
        and not disk.is_loop
        and not disk.read_only
    ]
    smallest = min(large, key=lambda disk: disk.size_bytes, default=None)
    return _single(
        machine,
        () if smallest is None else (smallest,),
        f"a disk of at least {MIN_OS_INSTALL_BYTES // 1024**3} GiB",
    )


def _single(machine: Machine, found: Iterable[Disk], wanted: str) -> Disk:
    disks = tuple(found)
    if len(disks) == 1:
        return disks[0]
    present = ", ".join(map(str, machine.disks)) or "none"
    many = " and ".join(disk.device for disk in disks)
    said = f"{wanted} means {many}" if disks else f"no disk is {wanted}"
    raise NoSingleDiskError(f"{said}; disks present: {present}")


def _facts(disk: Disk) -> dict[str, Any]:
    """Return the disk as ``device_hints`` describes one."""
    by_path = (
        link for link in disk.links if link.startswith("/dev/disk/by-path/")
    )
    return {
        "name": disk.device,
        "size": disk.size_bytes,
        "model": disk.model,
        "vendor": disk.vendor,
        "serial": disk.serial,
        "wwn": disk.wwn,
        "wwn_with_extension": disk.wwn,
        "wwn_vendor_extension": None,
        "rotational": disk.rotational,
        "hctl": disk.hctl,
        "by_path": next(by_path, None),
        "tran": disk.transport,
    }
