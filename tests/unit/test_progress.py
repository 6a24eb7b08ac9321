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

"""How far a deployment is: rates, what is left, of one image and of all."""

from __future__ import annotations

import pytest

from ipa_partitions import progress
from ipa_partitions.images.percent import Percent
from ipa_partitions.progress import (
    Progress,
    Sums,
    Whole,
    advance,
    expect,
    expect_also,
    listening,
)

MIB = 1024**2


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose one element is the time."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_rate_is_of_the_last_seconds(clock):
    told: list[Progress] = []
    with listening(Whole(told.append, 2), "deploy", 1):
        assert told.pop() == Progress("deploy", 1, 2)
        expect(100 * MIB)
        for _ in range(10):
            clock[0] += 1
            advance(4 * MIB)
        assert told[-1].bytes_per_s == 4 * MIB
        assert told[-1].seconds_left == 15
        for _ in range(20):
            clock[0] += 1
            advance(MIB)
        assert told[-1].bytes_per_s == MIB
        assert (told[-1].bytes, told[-1].seconds_left) == (60 * MIB, 40)


def test_nobody_is_told_too_often_but_of_the_end(clock):
    told: list[Progress] = []
    with listening(Whole(told.append, 1), "deploy", 1):
        expect(1000)
        for _ in range(999):
            clock[0] += 0.001
            advance(1)
        assert len(told) == 1 + 4
        advance(1)
    assert (told[-1].bytes, told[-1].seconds_left) == (1000, 0)


def test_all_images_are_told_of_together(clock):
    told: list[Progress] = []
    whole = Whole(told.append, 3)
    with listening(whole, "one", 1):
        expect(40 * MIB)
        for _ in range(4):
            clock[0] += 1
            advance(10 * MIB)
    assert told[-1].all.seconds_left == 0
    with listening(whole, "clear", 2):
        pass
    with listening(whole, "two", 3):
        clock[0] += 1
        advance(1)
        assert told[-1].all == Sums(40 * MIB + 1)
        expect(60 * MIB)
        clock[0] += 1
        advance(10 * MIB)
        clock[0] += 1
        advance(10 * MIB)
    last = told[-1]
    assert (last.all.bytes, last.all.total_bytes) == (60 * MIB + 1, 100 * MIB)
    assert last.bytes_per_s == round((20 * MIB + 1) / 3)
    assert last.all.seconds_left == 6
    assert list(last.to_json()["progress"]) == [
        "action", "number", "of", "bytes", "total_bytes", "seconds_left",
    ]  # fmt: skip


def test_what_comes_besides_may_be_known_before_or_after(clock):
    told: list[Progress] = []
    with listening(Whole(told.append, 1), "deploy", 1):
        expect_also(5)
        advance(1)
        clock[0] += 1
        advance(1)
        assert told[-1].total_bytes is None
        expect(10)
        expect_also(3)
        clock[0] += 1
        advance(1)
    assert (told[-1].bytes, told[-1].total_bytes) == (3, 18)


def test_a_program_says_how_many_percent_it_has_done(clock):
    told: list[Progress] = []
    with listening(Whole(told.append, 1), "deploy", 1):
        expect(0)
        percent = Percent()
        percent.expect(1000)
        for line in ("", "[==|  ] 9/30  30%", "x  20%", "1,234 60% 9kB/s"):
            clock[0] += 1
            percent(line)
        percent("9 99% 9kB/s (xfr#1, ir-chk=1000/1002)")
        assert told[-1].bytes == 600
        percent("700%")
        percent.end()
        percent.end()
    assert (told[-1].bytes, told[-1].total_bytes) == (1000, 1000)


def test_where_nobody_listens_nothing_is_counted():
    expect(7)
    advance(7)
