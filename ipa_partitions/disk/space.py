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

"""Share out the space of a disk or a group, exactly: SPEC 2.4 and 2.5."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ipa_partitions.disk.size import MIB, Size, ceil_mib, mib_text


class NoSpaceError(Exception):
    """The sizes do not fit; the message says by how much.

    ``index`` is that of the one volume that is at fault, if it is one.
    """

    def __init__(self, problem: str, index: int | None = None) -> None:
        super().__init__(problem)
        self.index = index


@dataclass(frozen=True)
class Cost:
    """What a volume takes of its container, which is more than its size.

    Its size is of whole ``unit_bytes``; it takes ``copies`` of that and
    ``more(size)`` besides, which never falls with the size.
    """

    unit_bytes: int = MIB
    copies: int = 1
    more: Callable[[int], int] = lambda _: 0

    def of(self, size_bytes: int) -> int:
        """Return what a volume of ``size_bytes`` takes."""
        return self.copies * size_bytes + self.more(size_bytes)

    def largest(self, limit_bytes: int) -> int:
        """Return the largest size that takes ``limit_bytes`` at the most."""
        counts = range(1, max(1, limit_bytes // self.unit_bytes + 1))
        fitting = bisect_right(
            counts,
            limit_bytes,
            key=lambda count: self.of(count * self.unit_bytes),
        )
        return fitting * self.unit_bytes


def allot(
    wanted: Sequence[Size],
    base_bytes: int,
    usable_bytes: int,
    asked: Sequence[bool],
    costs: Sequence[Cost] = (),
) -> list[int]:
    """Return the bytes of each volume, whole units, in the order given.

    Relative sizes are parts of ``base_bytes``; what they all take has to
    fit ``usable_bytes``. ``asked`` is False for what the document did not
    ask for, so that relative volumes give way to it. Raises NoSpaceError.
    """
    costs = costs or [Cost()] * len(wanted)
    granted = [
        _granted(size, base_bytes, cost.unit_bytes, index)
        for index, (size, cost) in enumerate(zip(wanted, costs, strict=True))
    ]
    if _excess(granted, costs, usable_bytes) > 0:
        _give_way(granted, wanted, base_bytes, usable_bytes, asked, costs)
    left = -_excess(granted, costs, usable_bytes)
    for index, size in enumerate(wanted):
        if size.kind == "remaining":
            granted[index] = costs[index].largest(left)
            if granted[index] <= 0:
                raise NoSpaceError("nothing remains for it", index)
    return granted


def _excess(
    granted: Sequence[int], costs: Sequence[Cost], usable_bytes: int
) -> int:
    taken = sum(
        cost.of(size)
        for size, cost in zip(granted, costs, strict=True)
        if size
    )
    return taken - usable_bytes


def _granted(size: Size, base_bytes: int, unit: int, index: int) -> int:
    if size.kind == "remaining":
        return 0
    if size.kind == "exact":
        return int(-(-ceil_mib(size.amount) // unit) * unit)
    granted = int(size.amount * base_bytes // unit * unit)
    if granted == 0:
        raise NoSpaceError(
            f"comes to less than {mib_text(unit)} of {mib_text(base_bytes)}",
            index,
        )
    return granted


def _give_way(
    granted: list[int],
    wanted: Sequence[Size],
    base_bytes: int,
    usable_bytes: int,
    asked: Sequence[bool],
    costs: Sequence[Cost],
) -> None:
    """Take what is too much from the relative volumes, the last one first."""
    sum_asked = sum(
        _amount(size, base_bytes) * cost.copies
        for size, is_asked, cost in zip(wanted, asked, costs, strict=True)
        if is_asked
    )
    excess = _excess(granted, costs, usable_bytes)
    error = NoSpaceError(f"the sizes exceed the space by {mib_text(excess)}")
    if sum_asked > base_bytes:
        raise error
    for index in reversed(range(len(wanted))):
        if wanted[index].kind == "relative" and excess > 0:
            cost = costs[index]
            limit = cost.of(granted[index]) - excess
            granted[index] = max(cost.largest(limit), cost.unit_bytes)
            excess = _excess(granted, costs, usable_bytes)
    if excess > 0:
        raise error


def _amount(size: Size, base_bytes: int) -> Fraction:
    if size.kind == "relative":
        return size.amount * base_bytes
    return size.amount
