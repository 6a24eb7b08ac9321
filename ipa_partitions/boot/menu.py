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

"""What a boot menu holds, whatever shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ROOT = "root=UUID="


@dataclass(frozen=True)
class Serial:
    """A serial port, beside the screen."""

    unit: int
    speed_bps: int

    @classmethod
    def parse(cls, console: str) -> Serial:
        """Return the port that Linux calls ``ttyS0,115200``."""
        match = re.fullmatch(r"ttyS(\d+),(\d+)", console)
        if match is None:
            raise ValueError(f"{console!r} is not as 'ttyS0,115200'")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class OtherKernel:
    """A kernel of a system that is not the one it boots by default."""

    version: str
    kernel: str
    initrds: tuple[str, ...]
    command_line: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """Where a system lists its kernels, and how it names their files.

    ``entries`` is a directory of the boot loader specification; ``kernel``
    and ``initrd`` are paths with ``{}`` in the place of the ``version``.
    """

    entries: str
    kernel: str
    initrd: str
    version: str


@dataclass(frozen=True)
class MenuEntry:
    """A system; its kernel and initrds are on filesystem ``boot_uuid``.

    ``links`` are the system's own to its kernel and initrd, ``listing`` its
    own list of them: what these lead to when the machine boots comes first.
    """

    name: str
    title: str
    boot_uuid: str
    kernel: str
    initrds: tuple[str, ...]
    command_line: tuple[str, ...]
    links: tuple[str, ...] = ()
    listing: Listing | None = None
    others: tuple[OtherKernel, ...] = ()

    @property
    def root_uuid(self) -> str:
        """The UUID of its root filesystem."""
        roots = (w for w in self.command_line if w.startswith(_ROOT))
        return next(roots, "").removeprefix(_ROOT)


@dataclass(frozen=True)
class ChainEntry:
    """A loader that was there before, on filesystem ``uuid``.

    ``path`` is a file of an ESP, empty for the first sector of a volume.
    """

    name: str
    title: str
    uuid: str
    path: str

    @property
    def root_uuid(self) -> str:
        """The UUID of the filesystem that it starts from."""
        return self.uuid


@dataclass(frozen=True)
class Menu:
    """The entries, the index of the default one, how and where it shows.

    ``saves``: GRUB can write to the filesystem that holds the menu.
    ``modules`` are what it takes to see the filesystems of the entries.
    ``foreign`` come after the entries, and count on.
    """

    entries: tuple[MenuEntry, ...]
    default: int
    timeout_s: int
    serial: Serial | None
    saves: bool
    modules: tuple[str, ...] = ()
    foreign: tuple[MenuEntry | ChainEntry, ...] = ()
