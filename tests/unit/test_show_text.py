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

from __future__ import annotations

import pytest

from ipa_partitions.boot_info import BootInfo, Element
from ipa_partitions.disk.size import MIB
from ipa_partitions.show.as_text import bar, boot_info_text, plan_text
from ipa_partitions.show.rows import Row, shares
from tests.unit.plans import planned


def row(number: int, name: str, size_mib: int) -> Row:
    return Row(
        number, name, "linux", 0, size_mib * MIB, size_mib * MIB,
        "none", "none",
        keep_data=True, is_new=True, images=(),
    )  # fmt: skip


@pytest.mark.parametrize(("sizes", "width", "least", "shared"), [
    ([50, 50],            100, 1, [50, 50]),
    ([1, 999],            100, 2, [2, 98]),       # the small one is widened
    ([1, 1, 1],           10,  1, [3, 3, 4]),     # and nothing is lost
    ([0, 10],             10,  3, [3, 7]),
    ([1, 1, 1],           3,   2, [2, 2, 2]),     # wider than asked for
    ([],                  10,  1, []),
])  # fmt: skip
def test_a_width_is_shared_out_in_proportion(sizes, width, least, shared):
    assert shares(sizes, width, least) == shared


@pytest.mark.parametrize(("rows", "disk_mib", "drawn"), [
    ([(1, "root", 90)],                  100, "|1 root               |....|"),
    ([(1, "a", 1), (2, "b", 98)],        100, "|1|2 b                  |..|"),
    ([(1, "name", 10), (2, "b", 90)],    100, "|1 n|2 b                 |.|"),
    ([],                                 100, "|..........................|"),
])  # fmt: skip
def test_a_bar_shows_every_part(rows, disk_mib, drawn):
    its_rows = [row(*each) for each in rows]
    assert bar(its_rows, disk_mib * MIB, width=28) == drawn


def test_a_bar_of_many_parts_shows_every_number():
    rows = [row(n, "x", 1) for n in range(1, 65)]
    drawn = bar(rows, 1000 * MIB)
    assert all(f"|{n}" in drawn for n in range(1, 65))


def test_a_plan_is_a_table_a_bar_and_numbered_actions():
    lines = plan_text(planned()).splitlines()
    assert lines[0] == (
        "/dev/vda: 10000 MiB, gpt, 512-byte sectors, boot loader"
    )
    assert lines[1].split() == [
        "#", "name", "type", "start", "size", "mount", "fs", "images", "data",
    ]  # fmt: skip
    assert lines[5].split() == [
        "4", "two", "linux", "3102", "MiB", "3000", "MiB", "/", "ext4",
        "two", "wiped",
    ]  # fmt: skip
    assert lines[8].startswith("|1|2|3 one")
    numbers = [
        int(line.split(".")[0])
        for line in lines[lines.index("actions:") :]
        if line.startswith("    ")
    ]
    assert numbers == list(range(1, len(planned().actions) + 1))
    assert "warnings:" in lines


def test_what_verify_keeps_is_told_from_what_it_wipes():
    kept = planned(partitions_policy="verify")
    words = {
        line.split()[-1]
        for line in plan_text(kept).splitlines()
        if line[:1].isdigit()
    }
    assert words == {"kept"}


def test_the_default_system_has_the_star():
    info = BootInfo(
        tuple(
            Element(n, name, name, None, f"{name} (on /dev/vda3)", "u")
            for n, name in enumerate(("one", "two"))
        ),
        current_element=1,
        multiboot_partition="m",
    )
    one, two = boot_info_text(info).splitlines()
    assert one.startswith("  0  one")
    assert two.startswith("* 1  two")
