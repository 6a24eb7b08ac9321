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

"""What this machine is, as far as a layout can care; plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ipa_partitions.disk.size import mib_text


@dataclass(frozen=True)
class Disk:
    """A disk that is there, or imagined.

    ``links`` are its other paths, udev's below ``/dev/disk`` among them. The
    rest is what root device hints compare, None where nobody knows.
    """

    device: str
    size_bytes: int
    sector_bytes: int = 512
    links: tuple[str, ...] = ()
    hctl: str | None = None
    model: str | None = None
    vendor: str | None = None
    serial: str | None = None
    wwn: str | None = None
    transport: str | None = None
    rotational: bool | None = None
    read_only: bool = False
    is_loop: bool = False

    def __str__(self) -> str:
        """Return what a list of the disks present says of this one."""
        return f"{self.device} ({mib_text(self.size_bytes)})"


@dataclass(frozen=True)
class Machine:
    """The disks and the firmware of a machine, real or ``imagined``.

    ``os_install`` is the device Ironic would take, None if nobody asked.
    """

    disks: tuple[Disk, ...]
    firmware: Literal["bios", "uefi"]
    imagined: bool = False
    os_install: str | None = None
