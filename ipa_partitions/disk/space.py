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

from collections.abc import Sequence
from fractions import Fraction

from ipa_partitions.disk.size import MIB, Size, ceil_mib, mib_text


class NoSpaceError(Exception):
    """The sizes do not fit; the message says by how much.

    ``index`` is that of the one volume that is at fault, if it is one.
    """

    def __init__(self, problem: str, index: int | None = None) -> None:
        super().__init__(problem)
        self.index = index


def allot(
    wanted: Sequence[Size],
    base_bytes: int,
    usable_bytes: int,
    asked: Sequence[bool],
    unit_bytes: int = MIB,
) -> list[int]:
    """Return the bytes of each volume, whole units, in the order given.

    Relative sizes are parts of ``base_bytes``; all have to fit
    ``usable_bytes``. ``asked`` is False for what the document did not ask
    for, so that relative volumes give way to it. Raises NoSpaceError.
    """
    granted = [
        _granted(size, base_bytes, unit_bytes, index)
        for index, size in enumerate(wanted)
    ]
    excess = sum(granted) - usable_bytes
    if excess > 0:
        _give_way(granted, wanted, base_bytes, excess, asked, unit_bytes)
    left = usable_bytes - sum(granted)
    for index, size in enumerate(wanted):
        if size.kind == "remaining":
            granted[index] = left // unit_bytes * unit_bytes
            if granted[index] <= 0:
                raise NoSpaceError("nothing remains for it", index)
    return granted


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
    excess: int,
    asked: Sequence[bool],
    unit: int,
) -> None:
    """Take ``excess`` from the relative volumes, from the last one first."""
    sum_asked = sum(
        _amount(size, base_bytes)
        for size, is_asked in zip(wanted, asked, strict=True)
        if is_asked
    )
    error = NoSpaceError(f"the sizes exceed the space by {mib_text(excess)}")
    if sum_asked > base_bytes:
        raise error
    for index in reversed(range(len(wanted))):
        if wanted[index].kind == "relative" and excess > 0:
            taken = min(excess, granted[index] - unit)
            granted[index] -= taken
            excess -= taken
    if excess > 0:
        raise error


def _amount(size: Size, base_bytes: int) -> Fraction:
    if size.kind == "relative":
        return size.amount * base_bytes
    return size.amount
