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

"""Partition tables, as the real sfdisk and the kernel read them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ipa_partitions.disk import table
from ipa_partitions.disk.clear import clear
from ipa_partitions.disk.size import MIB

LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
UUID = "c0ffee00-0000-4000-8000-00000000000{}"


def entry(number, name="x", start_mib=1, size_mib=1, device=""):
    return table.Entry(
        number=number,
        device=device,
        name=name,
        type_guid=LINUX,
        uuid=UUID.format(number % 10),
        start_bytes=start_mib * MIB,
        size_bytes=size_mib * MIB,
    )


def read(device):
    shown = subprocess.run(
        ["sfdisk", "--json", device],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(shown.stdout)["partitiontable"]


# sfdisk leaves out a name with a character of more than 16 bits; the
# document allows only ASCII.
NAMES = st.text(
    st.characters(exclude_categories=("C",), max_codepoint=0xFFFF),
    min_size=1,
    max_size=18,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example('"')
@example("a\\x41b")
@example("a, type=uefi")
@example("name with spaces")
@example("überlänge 漢字")
@given(NAMES)
def test_a_name_comes_back_as_it_was(tmp_path, name):
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(4 * MIB)
    wanted = table.Table(str(image), "gpt", UUID.format(0), 512,
                         (entry(1, name),))  # fmt: skip
    subprocess.run(
        ["sfdisk", "--quiet", image],
        input=table.script(wanted),
        text=True,
        check=True,
    )
    (found,) = read(image)["partitions"]
    assert found["name"] == name
    assert found["uuid"].lower() == UUID.format(1)


@pytest.mark.parametrize("sector_bytes", [512, 4096])
@pytest.mark.parametrize("count", [1, 128, 200])
def test_more_partitions_than_a_table_usually_holds(
    loop_disk, count, sector_bytes
):
    device = loop_disk(256, sector_bytes)
    entries = tuple(
        entry(n, f"part-{n}", n, 1, f"{device}p{n}")
        for n in range(1, count + 1)
    )
    table.write(
        table.Table(device, "gpt", UUID.format(0), sector_bytes, entries)
    )
    found = read(device)["partitions"]
    assert [each["name"] for each in found] == [e.name for e in entries]
    assert Path(f"{device}p{count}").is_block_device()


@pytest.mark.parametrize("leftover", [
    ("mkfs.ext4", "-q", "-F"),
    ("mkfs.xfs", "-q", "-f"),
    ("mkfs.btrfs", "-q", "-f"),
    ("mkswap", "-q"),
])  # fmt: skip
def test_nothing_old_shows_through(loop_disk, leftover):
    """Neither on the disk, nor inside a partition at the same place."""
    device = loop_disk(700)
    old = table.Table(device, "gpt", UUID.format(0), 512,
                      (entry(1, "old", 1, 600, f"{device}p1"),))  # fmt: skip
    table.write(old)
    subprocess.run([*leftover, f"{device}p1"], check=True)
    clear(device)
    assert not list(Path("/sys/class/block").glob(f"{Path(device).name}p*"))
    assert _signatures(device) == ""
    table.write(old)
    assert _signatures(f"{device}p1") == ""


def _signatures(device):
    return subprocess.run(
        ["wipefs", "--noheadings", device],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
