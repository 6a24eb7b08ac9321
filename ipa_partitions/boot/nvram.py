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

"""The boot entries that UEFI keeps, by efibootmgr.

What firmware does with them differs, so none of it is needed to boot: the
removable path of each ESP works without an entry.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ipa_partitions.boot.esp import Esp
from ipa_partitions.run import run

LABEL = "ipa-partitions"
TOOLS = ("efibootmgr",)

_TIMEOUT_S = 60

_ENTRY = re.compile(r"Boot([0-9A-F]{4})(\*?) ([^\t]*)(?:\t(.*))?")


@dataclass(frozen=True)
class BootEntry:
    """An entry; ``number`` is four hex digits, as firmware counts."""

    number: str
    label: str
    path: str


@dataclass(frozen=True)
class Nvram:
    """The entries, and the numbers of those that are tried, in order."""

    entries: tuple[BootEntry, ...]
    order: tuple[str, ...]

    @property
    def ours(self) -> tuple[str, ...]:
        """The numbers of the entries that we, now or earlier, made."""
        return tuple(e.number for e in self.entries if e.label == LABEL)


def parse(shown: str) -> Nvram:
    """Return what ``efibootmgr --verbose`` has shown."""
    entries, order = [], ""
    for line in shown.splitlines():
        if line.startswith("BootOrder: "):
            order = line.removeprefix("BootOrder: ")
        elif match := _ENTRY.fullmatch(line):
            number, _active, label, path = match.groups()
            entries.append(BootEntry(number, label.strip(), path or ""))
    return Nvram(tuple(entries), tuple(filter(None, order.split(","))))


def new_order(before: Nvram, after: Nvram) -> tuple[str, ...]:
    """Return the order: the new entries, then the others as they were.

    So the machine starts what was deployed, and what it started the
    ramdisk by, the network mostly, stays the next choice.
    """
    old = {entry.number for entry in before.entries}
    new = tuple(number for number in after.order if number not in old)
    present = {entry.number for entry in after.entries}
    rest = (n for n in before.order if n in present and n not in new)
    return (*new, *dict.fromkeys(rest))


def register(esps: Sequence[Esp], loader: str) -> None:
    """Make firmware start ``loader`` of one of ``esps``, the first first.

    Entries of earlier deployments are removed. ``loader`` is a path with
    backslashes. Raises CommandError.
    """
    for number in _read().ours:
        _efibootmgr("--bootnum", number, "--delete-bootnum")
    before = _read()
    for esp in reversed(esps):  # each comes first
        _efibootmgr(
            "--create",
            "--disk", esp.disk,
            "--part", str(esp.number),
            "--label", LABEL,
            "--loader", loader,
        )  # fmt: skip
    after = _read()
    order = new_order(before, after)
    if order != after.order:
        _efibootmgr("--bootorder", ",".join(order))


def _read() -> Nvram:
    return parse(_efibootmgr("--verbose"))


def _efibootmgr(*words: str) -> str:
    return run("efibootmgr", *words, timeout_s=_TIMEOUT_S)
