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

"""Sizes as a person writes them: SPEC 2.4."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipa_partitions.disk.size import (
    MIB,
    Size,
    ceil_mib,
    exact_bytes,
    floor_mib,
    mib_text,
    parse_size,
)


@pytest.mark.parametrize(("written", "size_bytes"), [
    ("100 MiB",       100 * MIB),
    ("100MiB",        100 * MIB),
    ("  100 MiB  ",   100 * MIB),
    ("2.5 GiB",       2560 * MIB),
    (7,               7 * MIB),
    ("7",             7 * MIB),
    ("0.5",           MIB // 2),
    ("1 B",           1),
    ("1 KB",          1000),
    ("1 KiB",         1024),
    ("1 MB",          1000**2),
    ("1 GB",          1000**3),
    ("1 TB",          1000**4),
    ("1 PB",          1000**5),
    ("1 EB",          1000**6),
    ("1 ZB",          1000**7),
    ("1 YB",          1000**8),
    ("1 GiB",         1024**3),
    ("1 TiB",         1024**4),
    ("1 PiB",         1024**5),
    ("1 EiB",         1024**6),
    ("1 ZiB",         1024**7),
    ("1 YiB",         1024**8),
])  # fmt: skip
def test_exact_sizes(written, size_bytes):
    assert parse_size(written) == Size("exact", Fraction(size_bytes))
    assert exact_bytes(written) == size_bytes


@pytest.mark.parametrize(("written", "part"), [
    ("40%",    Fraction(2, 5)),
    ("33.3%",  Fraction(333, 1000)),
    ("100%",   Fraction(1)),
    (" 1 % ",  Fraction(1, 100)),
])  # fmt: skip
def test_relative_sizes(written, part):
    assert parse_size(written) == Size("relative", part)


def test_what_remains():
    assert parse_size("remaining").kind == "remaining"


@pytest.mark.parametrize("written", [
    "1G", "1000 mib", "1,5 GiB", "nan", "inf", "", " ", "0", 0, "0%", -1,
    "-1 MiB", "+1 MiB", "100.1%", "1e3", "0x10", ".5 GiB", "5. GiB", True,
    1.5, None, [], {}, "100  MiB", "100\tMiB", "1 MiB\n", "\u0661 MiB", "MiB",
    "Remaining", "rest", "9" * 31, "1 KIB", "1 kB", "1 kib", "50%%",
])  # fmt: skip
def test_everything_else_is_refused(written):
    with pytest.raises(ValueError, match=r"size|zero|100%"):
        parse_size(written)


def test_the_message_names_what_was_found_and_what_is_allowed():
    with pytest.raises(ValueError) as error:
        parse_size("1G")
    assert str(error.value) == (
        "'1G' is not a size such as '100 MiB', '40%' or 'remaining'"
    )


@pytest.mark.parametrize("written", ["40%", "remaining"])
def test_a_budget_is_never_relative(written):
    with pytest.raises(ValueError, match="not an exact size"):
        exact_bytes(written)


@given(st.integers(min_value=0, max_value=10**24))
def test_rounding_to_mib(size_bytes):
    assert 0 <= size_bytes - floor_mib(size_bytes) < MIB
    assert 0 <= ceil_mib(size_bytes) - size_bytes < MIB


@given(
    st.integers(min_value=1, max_value=10**15),
    st.sampled_from(["B", "KB", "MB", "KiB", "MiB", "GiB", "YiB"]),
)
def test_a_number_and_a_unit_multiply(number, unit):
    one = parse_size(f"1 {unit}").amount
    assert parse_size(f"{number}{unit}").amount == number * one


def test_sizes_are_told_exactly():
    assert mib_text(1536 * MIB) == "1536 MiB"
    assert mib_text(1536 * MIB + 1) == "1610612737 B"
