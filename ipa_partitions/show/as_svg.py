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

"""A plan as a picture: SVG, a bar and a legend for each disk."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from ipa_partitions.disk.size import mib_text
from ipa_partitions.plan import Plan
from ipa_partitions.show.rows import Container, Row, containers, shares

# All in pixels. The least width has room for a partition's number.
_WIDTH = 960
_MARGIN = 16
_BAR = 56
_LINE = 20
_LEAST = 22
_LETTER = 7.5

_FREE = "#f4f4f4"
_COLOURS = {
    "bios_boot": "#bdbdbd",
    "esp": "#ffd54f",
    "multiboot": "#ff8a65",
    "swap": "#e57373",
    "root": "#64b5f6",
    "mounted": "#81c784",
    "none": "#ce93d8",
}


def plan_svg(plan: Plan) -> str:
    """Return the picture; names in it are escaped, none is markup."""
    parts: list[str] = []
    top = _MARGIN
    for container in containers(plan.resolved):
        parts += _container(container, top)
        top += _height(container)
    # The fonts of a browser differ: text is short and never right-aligned.
    return "\n".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<svg xmlns="http://www.w3.org/2000/svg"'
            f' width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
            ' font-family="sans-serif" font-size="13">',
            f'<rect width="{_WIDTH}" height="{top}" fill="white"/>',
            *parts,
            "</svg>\n",
        )
    )


def colour(row: Row) -> str:
    """Return the colour of the kind of thing that ``row`` is."""
    kind = row.kind
    if kind not in ("bios_boot", "esp", "multiboot"):
        kind = {"/": "root", "swap": "swap", "none": "none"}.get(
            row.mount, "mounted"
        )
    return _COLOURS[kind]


def _height(container: Container) -> int:
    lines = 1 + len(container.rows)
    return lines * _LINE + _BAR + 2 * _MARGIN


def _container(container: Container, top: int) -> Iterator[str]:
    its_rows = container.rows
    yield _text(_MARGIN, top + 13, container.title, ' font-weight="bold"')
    drawn = [row for row in its_rows if row.taken_bytes]
    sizes = [row.taken_bytes for row in drawn]
    free = container.size_bytes - sum(sizes)
    widths = shares([*sizes, free], _WIDTH - 2 * _MARGIN, _LEAST)
    left, bar = _MARGIN, top + _LINE
    for row, width in zip([*drawn, None], widths, strict=True):
        yield from _box(row, left, bar, width)
        left += width
    for line, row in enumerate(its_rows):
        yield from _legend(row, bar + _BAR + 8 + line * _LINE)


def _box(row: Row | None, left: int, top: int, width: int) -> Iterator[str]:
    fill = _FREE if row is None else colour(row)
    yield (
        f'<g><title>{_escaped(_told(row))}</title><rect x="{left}" y="{top}"'
        f' width="{width}" height="{_BAR}" fill="{fill}" stroke="white"/>'
    )
    if row is not None:
        number = "" if row.number is None else str(row.number)
        yield _text(left + 4, top + 18, number)
        lines = (row.name, mib_text(row.size_bytes))
        if max(map(len, lines)) * _LETTER < width - 8:
            yield _text(left + 4, top + 34, lines[0])
            yield _text(left + 4, top + 50, lines[1])
    yield "</g>"


def _legend(row: Row, top: int) -> Iterator[str]:
    yield (
        f'<rect x="{_MARGIN}" y="{top}" width="12" height="12"'
        f' fill="{colour(row)}"/>'
    )
    yield _text(_MARGIN + 20, top + 11, _told(row))


def _told(row: Row | None) -> str:
    if row is None:
        return "free"
    number = "" if row.number is None else f"{row.number}  "
    facts = [row.name, row.kind, mib_text(row.size_bytes)]
    facts += [word for word in (row.mount, row.file_system) if word != "none"]
    facts += [", ".join(row.images)] if row.images else []
    facts += row.notes
    return number + " · ".join([*facts, "wiped" if row.is_new else "kept"])


def _text(left: int, top: int, text: str, style: str = "") -> str:
    return f'<text x="{left}" y="{top}"{style}>{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    # XML has no way at all to write most control characters.
    return escape("".join(c if c.isprintable() else "?" for c in text))
