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

from collections.abc import Iterable, Iterator

from ipa_partitions.boot.menu import (
    ChainEntry,
    Listing,
    Menu,
    MenuEntry,
    Serial,
)

# What the menu below uses, and what helps an operator at GRUB's prompt.
MODULES = (
    "normal", "part_gpt", "part_msdos", "ext2", "xfs", "btrfs", "fat",
    "search", "search_fs_uuid", "search_fs_file", "linux", "loadenv", "test",
    "regexp", "serial", "terminal", "configfile", "echo", "ls", "cat",
    "minicmd", "reboot", "halt", "chain", "all_video", "sleep",
    "diskfilter", "lvm", "mdraid09", "mdraid1x", "raid5rec", "raid6rec",
)  # fmt: skip


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
            *(_entry(entry) for entry in (*menu.entries, *menu.foreign)),
            # After all others, whose index is their number.
            *(_others(entry) for entry in menu.entries if entry.others),
            "",
        )
    )


def render_stub(uuid: str, path: str) -> str:
    """Return a ``grub.cfg`` that leads to the directory ``path`` of GRUB.

    If filesystem ``uuid`` is not to be had, the copy of the menu that is
    beside the stub is shown.
    """
    return "\n".join(
        (
            "# Written by ipa-partitions.",
            f"if search --fs-uuid --set=root {grub_quoted(uuid)}; then",
            f"  set prefix=($root){grub_quoted(path)}",
            '  configfile "$prefix/grub.cfg"',
            "else",
            '  configfile "$prefix/menu.cfg"',
            "fi",
            "",
        )
    )


def _terminals(serial: Serial | None) -> Iterator[str]:
    # Or a kernel started by UEFI has no screen to write to.
    yield 'if [ "$grub_platform" = efi ]; then'
    yield "  insmod all_video"
    yield "  set gfxpayload=keep"
    yield "fi"
    if serial is None:
        return
    # On a machine without the port the menu must not wait for a key.
    yield f"if serial --unit={serial.unit} --speed={serial.speed_bps}; then"
    yield "  terminal_input console serial"
    yield "  terminal_output console serial"
    yield "fi"


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
        # A kernel that cannot be loaded needs no second start.
        '  set fallback="$default"',
        '  set default="$next_entry"',
        "  set next_entry=",
        "  save_env next_entry",
        "fi",
    )


def _entry(entry: MenuEntry | ChainEntry) -> str:
    title, name = map(grub_quoted, (entry.title, entry.name))
    body = _chain(entry) if isinstance(entry, ChainEntry) else _start(entry)
    lines = (f"  {line}" for line in body)
    return "\n".join((f"menuentry {title} --id {name} {{", *lines, "}"))


def _search(uuid: str) -> str:
    # With --no-floppy it would end at a floppy drive, of which there are
    # more than one thinks, and arrays and groups come after these.
    return f"search --fs-uuid --set=root {grub_quoted(uuid)}"


def _chain(entry: ChainEntry) -> Iterator[str]:
    yield _search(entry.uuid)
    yield _command("chainloader", entry.path or "+1")


def _start(entry: MenuEntry) -> Iterator[str]:
    yield _search(entry.boot_uuid)
    if entry.listing:
        yield from _listed(entry.listing, entry.command_line)
        return
    found = _boot(entry.kernel, entry.initrds, entry.command_line)
    if not entry.links:
        yield from found
        return
    kernel, *initrds = entry.links
    yield f"if {_command('linux', kernel, *entry.command_line)}; then"
    yield f"  {_command('initrd', *initrds)}"
    yield "else"
    yield from (f"  {line}" for line in found)
    yield "fi"


def _boot(
    kernel: str, initrds: Iterable[str], command_line: Iterable[str]
) -> Iterator[str]:
    yield _command("linux", kernel, *command_line)
    if initrds:
        yield _command("initrd", *initrds)


def _listed(listing: Listing, command_line: tuple[str, ...]) -> Iterator[str]:
    """Yield a search for the newest kernel that is listed, and its start.

    GRUB can only look which files are there and which of two is newer.
    """

    def path(pattern: str, variable: str) -> str:
        before, _, after = pattern.partition("{}")
        words = (before, variable, after)
        return "".join(
            word if word is variable else grub_quoted(word)
            for word in words
            if word
        )

    here, there = (
        [path(p, f'"${name}"') for p in (listing.kernel, listing.initrd)]
        for name in ("version", "found")
    )
    # Or the asterisk below means itself.
    yield "insmod regexp"
    yield f"set version={grub_quoted(listing.version)}"
    yield f"for entry in {grub_quoted(f'{listing.entries}/')}*.conf; do"
    yield "  set found="
    yield ("  regexp --set=1:found '/[0-9a-f]{32}-([^/]+)[.]conf$' \"$entry\"")
    yield f'  if [ -n "$found" -a -f {there[0]} -a -f {there[1]} ]; then'
    yield f"    if [ ! -f {here[0]} -o {there[0]} -nt {here[0]} ]; then"
    yield '      set version="$found"'
    yield "    fi"
    yield "  fi"
    yield "done"
    yield " ".join(("linux", here[0], *map(grub_quoted, command_line)))
    yield f"initrd {here[1]}"


def _others(entry: MenuEntry) -> str:
    title = grub_quoted(f"{entry.title}: other kernels")
    lines = [f"submenu {title} {{"]
    for other in entry.others:
        name = grub_quoted(f"{entry.title}: {other.version}")
        lines += [
            f"  menuentry {name} {{",
            f"    {_search(entry.boot_uuid)}",
            *(
                f"    {line}"
                for line in _boot(
                    other.kernel, other.initrds, other.command_line
                )
            ),
            "  }",
        ]
    return "\n".join((*lines, "}"))


def _command(name: str, *words: str) -> str:
    return " ".join((name, *map(grub_quoted, words)))
