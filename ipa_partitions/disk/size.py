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

"""Sizes as the document writes them: ``"100 MiB"``, ``"40%"``, ``7``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

MIB = 1024**2

_UNITS = {
    "": MIB,
    "B": 1,
    **{f"{p}B": 1000**n for n, p in enumerate("KMGTPEZY", start=1)},
    **{f"{p}iB": 1024**n for n, p in enumerate("KMGTPEZY", start=1)},
}

# Longer numbers are no size, and int() of a very long string is slow.
_SIZE = re.compile(r" *([0-9]{1,30}(?:\.[0-9]{1,30})?) ?([A-Za-z]{0,3}|%) *")

_HINT = "is not a size such as '100 MiB', '40%' or 'remaining'"


@dataclass(frozen=True)
class Size:
    """A wanted size: exact in bytes, relative as a part of 1, or the rest.

    ``amount`` is in bytes for ``exact``, above 0 and at most 1 for
    ``relative``, and 0 for ``remaining``.
    """

    kind: Literal["exact", "relative", "remaining"]
    amount: Fraction

    @classmethod
    def mib(cls, count: int) -> Size:
        """Return the exact size of ``count`` MiB."""
        return cls("exact", Fraction(count * MIB))


REMAINING = Size("remaining", Fraction(0))


def parse_size(value: object) -> Size:
    """Return the size that ``value``, a string or integer, stands for.

    Raises ValueError for everything else than SPEC 2.4 allows.
    """
    if isinstance(value, Size):
        return value
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} {_HINT}")
    if value.strip(" ") == "remaining":
        return REMAINING
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} {_HINT}")
    number, unit = Fraction(match[1]), match[2]
    if number == 0:
        raise ValueError(f"{value!r} is zero, which is no size")
    if unit == "%":
        if number > 100:
            raise ValueError(f"{value!r} is more than 100%")
        return Size("relative", number / 100)
    if unit not in _UNITS:
        raise ValueError(f"{value!r} {_HINT}")
    return Size("exact", number * _UNITS[unit])


def exact_bytes(value: object) -> int:
    """Return the bytes of an exact size, rounded up to a whole byte.

    Raises ValueError for a relative one and for ``remaining``.
    """
    size = parse_size(value)
    if size.kind != "exact":
        raise ValueError(f"{value!r} is not an exact size such as '10 GiB'")
    return -int(-size.amount // 1)


def ceil_mib(amount: Fraction | int) -> int:
    """Return ``amount`` bytes rounded up to a whole MiB, in bytes."""
    return -(-amount // MIB) * MIB


def floor_mib(amount: Fraction | int) -> int:
    """Return ``amount`` bytes rounded down to a whole MiB, in bytes."""
    return amount // MIB * MIB


def mib_text(size_bytes: int) -> str:
    """Return ``size_bytes`` for a person, exactly: ``1536 MiB``."""
    mib, rest = divmod(size_bytes, MIB)
    return f"{size_bytes} B" if rest else f"{mib} MiB"
