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

"""Find the disks that a layout means."""

from __future__ import annotations

from ipa_partitions.disk import machine as there
from ipa_partitions.disk import match
from ipa_partitions.errors import MachineError, ProblemError
from ipa_partitions.layout import model


def find_disks(
    layout: model.Layout, machine: there.Machine, errors: list[ProblemError]
) -> dict[str, there.Disk]:
    """Return the disk that is meant, by the path in the document.

    What is wrong is added to ``errors``.
    """
    found: dict[str, there.Disk] = {}
    for disk in layout.disks:
        at = f"{disk.at}.id" if layout.form == "layout" else disk.at
        try:
            it = _find(disk.id, machine)
        except match.NoSingleDiskError as error:
            errors.append(MachineError(at, str(error)))
            continue
        twin = next((a for a, d in found.items() if d == it), None)
        if twin:
            errors.append(
                MachineError(at, f"{it.device} is the disk of {twin} already")
            )
        found[disk.at] = it
    return found


def _find(wanted: model.DiskId, machine: there.Machine) -> there.Disk:
    if wanted.type == "os_install":
        return match.os_install(machine)
    if wanted.type == "hints":
        return match.by_hints(machine, wanted.hints)
    by = {
        "name": match.by_name,
        "path": match.by_name,
        "scsi": match.by_scsi,
    }[wanted.type]
    return by(machine, wanted.value)
