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

"""Sharing out the space of a disk: SPEC 2.4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipa_partitions.disk.size import MIB, parse_size
from ipa_partitions.disk.space import Cost, NoSpaceError, allot


def allot_mib(wanted, base, usable, not_asked=()):
    sizes = allot(
        [parse_size(each) for each in wanted],
        base * MIB,
        usable * MIB,
        [index not in not_asked for index in range(len(wanted))],
    )
    return [size // MIB for size in sizes]


@pytest.mark.parametrize(("wanted", "base", "usable", "granted"), [
    (["40%"],                           100,   98, [40]),
    (["1 B"],                           100,   98, [1]),
    (["1.5 MiB", "1 KB"],               100,   98, [2, 1]),
    (["33.3%"],                         100,   98, [33]),
    (["100", "remaining"],             1000,  998, [100, 898]),
    (["remaining", "100"],             1000,  998, [898, 100]),
    (["10", "remaining", "20%"],        100,   98, [10, 68, 20]),
    # Too much only by what the table takes: the last relative gives way.
    (["50%", "50%"],                    100,   98, [50, 48]),
    (["50%", "50%"],                      5,    3, [2, 1]),
    (["50", "50%"],                     100,   98, [50, 48]),
    (["50%", "50"],                     100,   98, [48, 50]),
    (["100%"],                          100,   98, [98]),
    # The last gives way down to 1 MiB, then the one before it.
    (["98%", "1%", "1%"],               100,   97, [95, 1, 1]),
])  # fmt: skip
def test_sizes_that_fit(wanted, base, usable, granted):
    assert allot_mib(wanted, base, usable) == granted


@pytest.mark.parametrize(("wanted", "base", "usable", "problem"), [
    (["99"],                     100, 98, "exceed the space by 1 MiB"),
    (["60%", "60%"],             100, 98, "exceed the space by 22 MiB"),
    (["50", "50", "50%"],        100, 98, "exceed the space by 52 MiB"),
    (["50", "50"],               100, 98, "exceed the space by 2 MiB"),
    (["98", "remaining"],        100, 98, "nothing remains"),
    (["50%", "50%", "remaining"], 100, 98, "nothing remains"),
    (["0.1%"],                   100, 98, "less than 1 MiB of 100 MiB"),
    (["remaining"],                2,  0, "nothing remains"),
])  # fmt: skip
def test_sizes_that_do_not_fit(wanted, base, usable, problem):
    with pytest.raises(NoSpaceError, match=problem):
        allot_mib(wanted, base, usable)


def test_relative_sizes_give_way_to_what_nobody_asked_for():
    # 1 MiB for bios_boot, 100 MiB for multiboot; the halves are of 1000 MiB.
    granted = allot_mib(["1", "100", "50%", "50%"], 1000, 998, {0, 1})
    assert granted == [1, 100, 500, 397]


def test_groups_are_shared_out_in_extents():
    sizes = allot(
        [parse_size("5 MiB"), parse_size("50%")],
        100 * MIB, 100 * MIB, [True, True],
        [Cost(4 * MIB)] * 2,
    )  # fmt: skip
    assert [size // MIB for size in sizes] == [8, 48]


@pytest.mark.parametrize(("wanted", "granted"), [
    (["100"],                  [100]),
    (["40%"],                  [160]),
    (["remaining"],            [196]),
    (["100", "remaining"],     [100, 92]),
    # Two copies of half are all of it, but for the metadata.
    (["50%"],                  [196]),
    (["25%", "25%"],           [100, 92]),
])  # fmt: skip
def test_what_is_kept_twice_takes_twice_the_space(wanted, granted):
    twice = Cost(4 * MIB, copies=2, more=lambda _: 8 * MIB)
    sizes = allot(
        [parse_size(each) for each in wanted],
        400 * MIB, 400 * MIB, [True] * len(wanted), [twice] * len(wanted),
    )  # fmt: skip
    assert [size // MIB for size in sizes] == granted


SIZES = st.lists(
    st.one_of(
        st.integers(1, 10**12).map(lambda n: f"{n} B"),
        st.integers(1, 10**6).map(str),
        st.integers(1, 1000).map(lambda n: f"{n / 10}%"),
        st.just("remaining"),
    ),
    min_size=1,
    max_size=12,
).filter(lambda sizes: sizes.count("remaining") <= 1)


@given(SIZES, st.integers(3, 10**7))
def test_whatever_is_granted_fits_and_is_what_was_asked(wanted, base):
    usable = base - 2
    try:
        granted = allot_mib(wanted, base, usable)
    except NoSpaceError:
        return
    assert sum(granted) <= usable
    assert all(size >= 1 for size in granted)
    for written, size in zip(wanted, granted, strict=True):
        asked = parse_size(written)
        if asked.kind == "exact":
            assert 0 <= size * MIB - asked.amount < MIB
        elif asked.kind == "relative":
            assert size <= asked.amount * base
    if "remaining" in wanted:
        assert sum(granted) == usable
