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

"""A plan for a person: a table and a bar for each disk, and the actions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ipa_partitions.boot_info import BootInfo
from ipa_partitions.disk.size import mib_text
from ipa_partitions.plan import Phase, Plan
from ipa_partitions.show.rows import Container, Row, containers, shares

WIDTH = 78

_HEADS = (
    "#", "name", "type", "start", "size", "mount", "fs", "images", "data",
)  # fmt: skip
_TO_THE_RIGHT = {"#", "start", "size"}


def plan_text(plan: Plan) -> str:
    """Return the whole plan as lines of text, the last one ended."""
    parts = [_container(each) for each in containers(plan.resolved)]
    parts.append(_actions(plan))
    if plan.warnings:
        parts.append(["warnings:", *(f"  {line}" for line in plan.warnings)])
    return "\n".join("\n".join(part) + "\n" for part in parts)


def _container(container: Container) -> list[str]:
    if not container.rows:
        return [container.title]
    return [
        container.title,
        *_table(container.rows),
        bar(container.rows, container.size_bytes),
    ]


def _table(its_rows: Sequence[Row]) -> Iterator[str]:
    cells = [_HEADS, *map(_cells, its_rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(
            text.rjust(width) if head in _TO_THE_RIGHT else text.ljust(width)
            for text, width, head in zip(line, widths, _HEADS, strict=True)
        ).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    return (
        "-" if row.number is None else str(row.number),
        row.name,
        row.kind,
        "-" if row.start_bytes is None else mib_text(row.start_bytes),
        mib_text(row.size_bytes),
        _or_dash(row.mount),
        _or_dash(row.file_system),
        ", ".join(row.images) or "-",
        ", ".join(("wiped" if row.is_new else "kept", *row.notes)),
    )


def _or_dash(word: str) -> str:
    return "-" if word == "none" else word


def bar(its_rows: Sequence[Row], size_bytes: int, width: int = WIDTH) -> str:
    """Return the disk as one line, ``|1|2 root      |3 data  |...|``.

    Every part is wide enough for its number; dots are free space.
    """
    its_rows = [row for row in its_rows if row.taken_bytes]
    labels = [
        row.name if row.number is None else f"{row.number} {row.name}"
        for row in its_rows
    ]
    sizes = [row.taken_bytes for row in its_rows]
    free = size_bytes - sum(sizes)
    least = 1 + max((len(str(row.number or 0)) for row in its_rows), default=1)
    widths = shares([*sizes, free], width - 1, least)
    return "|" + "".join(
        f"{label:{filler}<{cell - 1}.{cell - 1}}|"
        for label, cell, filler in zip(
            [*labels, ""], widths, " " * len(labels) + ".", strict=True
        )
    )


def _actions(plan: Plan) -> list[str]:
    lines = ["actions:"]
    digits = len(str(len(plan.actions)))
    phase = None
    for number, action in enumerate(plan.actions, start=1):
        if action.phase != phase:
            phase = action.phase
            lines.append(f"  {Phase(phase).name.lower()}")
        lines += _numbered(f"    {number:{digits}}. ", str(action))
    return lines if plan.actions else ["nothing to do"]


def _numbered(head: str, text: str) -> Iterable[str]:
    first, *further = text.splitlines() or [""]
    return [head + first, *(" " * len(head) + line for line in further)]


def boot_info_text(info: BootInfo) -> str:
    """Return the systems that can boot, the default with a star."""
    lines = [
        f"{'*' if each.grub_id == info.current_element else ' '}"
        f" {each.grub_id}  {each.os_id}  {each.boot_name}"
        f"  root {each.root_uuid}"
        + ("  on trial" if each.grub_id == info.trial_element else "")
        for each in info.elements
    ]
    return "\n".join([*lines, ""])
