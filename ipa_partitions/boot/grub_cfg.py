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


"""The menu that GRUB shows, as a ``grub.cfg``.

Which entry is the default is not in it but in the environment beside it:
``saved_entry`` and, for one boot, ``next_entry``, both the index of an
entry as a decimal number. So ``grub-editenv FILE set saved_entry=1`` is
all that a switch takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What the menu below uses, and what helps an operator at GRUB's prompt.
MODULES = (
    "normal", "part_gpt", "part_msdos", "ext2", "xfs", "btrfs",
    "search", "search_fs_uuid", "linux", "loadenv", "test", "serial",
    "terminal", "configfile", "echo", "ls", "cat", "minicmd", "reboot",
    "halt", "chain",
    "diskfilter", "lvm", "mdraid09", "mdraid1x", "raid5rec", "raid6rec",
)  # fmt: skip


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
class MenuEntry:
    """A system; its kernel and initrds are on filesystem ``boot_uuid``."""

    name: str
    title: str
    boot_uuid: str
    kernel: str
    initrds: tuple[str, ...]
    command_line: tuple[str, ...]


@dataclass(frozen=True)
class Menu:
    """The entries, the index of the default one, how and where it shows.

    ``saves``: GRUB can write to the filesystem that holds the menu.
    ``modules`` are what it takes to see the filesystems of the entries.
    """

    entries: tuple[MenuEntry, ...]
    default: int
    timeout_s: int
    serial: Serial | None
    saves: bool
    modules: tuple[str, ...] = ()


def grub_quoted(text: str) -> str:
    """Return ``text`` as one word of a GRUB script."""
    return "'" + text.replace("'", r"'\''") + "'"


def render_menu(menu: Menu) -> str:
    """Return the text of ``grub.cfg``."""
    return "\n".join(
        (
            "# Written by ipa-partitions. To boot another entry by default:",
            "# grub-editenv grubenv set saved_entry=NUMBER",
            *_terminals(menu.serial),
            *_default(menu),
            *(f"insmod {name}" for name in menu.modules),
            "set timeout_style=menu",
            f"set timeout={menu.timeout_s}",
            *(_entry(entry) for entry in menu.entries),
            "",
        )
    )


def _terminals(serial: Serial | None) -> tuple[str, ...]:
    if serial is None:
        return ()
    return (
        # On a machine without the port the menu must not wait for a key.
        f"if serial --unit={serial.unit} --speed={serial.speed_bps}; then",
        "  terminal_input console serial",
        "  terminal_output console serial",
        "fi",
    )


def _default(menu: Menu) -> tuple[str, ...]:
    saved = (
        f"set default={menu.default}",
        'if [ -s "$prefix/grubenv" ]; then',
        # These and no others: the file is the systems' to write.
        "  load_env saved_entry next_entry",
        "fi",
        'if [ -n "$saved_entry" ]; then',
        '  set default="$saved_entry"',
        "fi",
    )
    if not menu.saves:
        # It could not be cleared, and would be for ever.
        return saved
    return (
        *saved,
        'if [ -n "$next_entry" ]; then',
        '  set default="$next_entry"',
        "  set next_entry=",
        "  save_env next_entry",
        "fi",
    )


def _entry(entry: MenuEntry) -> str:
    title, name, uuid = map(
        grub_quoted, (entry.title, entry.name, entry.boot_uuid)
    )
    lines = [
        f"menuentry {title} --id {name} {{",
        # With --no-floppy it would end at a floppy drive, of which there are
        # more than one thinks, and arrays and groups come after these.
        f"  search --fs-uuid --set=root {uuid}",
        _command("linux", entry.kernel, *entry.command_line),
    ]
    if entry.initrds:
        lines.append(_command("initrd", *entry.initrds))
    return "\n".join((*lines, "}"))


def _command(name: str, *words: str) -> str:
    return "  " + " ".join((name, *map(grub_quoted, words)))
