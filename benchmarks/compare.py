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

"""Measure ways to do one thing in turns, and print what they cost."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

Rows = list[tuple[str, str, str]]


def medians(
    ways: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, float]:
    """Return the median seconds of each way, after one round to warm up.

    They take turns, A B B A, so that a slow minute of the machine, and one
    that gets slower, is one for all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            taken = ways[name]()
            if number:
                seconds[name].append(taken)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def against(
    one: tuple[str, float], other: tuple[str, float], what: str, limit: float
) -> Rows:
    """Return rows of two names with their seconds, and one / other."""
    ratio = one[1] / other[1]
    return [
        (f"{one[0]}, s", f"{one[1]:.2f}", ""),
        (f"  {other[0]}, s", f"{other[1]:.2f}", ""),
        (f"  {what}", f"{ratio:.3f}", verdict(ratio, limit)),
    ]


def table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Return rows of (what, measured, wanted), in columns."""
    rows = [("", "measured", "wanted"), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{what:<{widths[0]}}  {measured:>{widths[1]}}  {wanted:>{widths[2]}}"
        for what, measured, wanted in rows
    )


def verdict(value: float, limit: float) -> str:
    """Return the limit, and whether ``value`` keeps it."""
    return f"<= {limit:.2f} {'ok' if value <= limit else 'MISSED'}"


def at_least(value: float, limit: float) -> str:
    """Return the lower limit, and whether ``value`` keeps it."""
    return f">= {limit:.2f} {'ok' if value >= limit else 'MISSED'}"
