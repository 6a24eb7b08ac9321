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

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from ipa_partitions.disk.machine import Disk
from ipa_partitions.disk.size import MIB
from ipa_partitions.show.as_svg import plan_svg
from tests.unit.plans import VDA, planned

SVG = "{http://www.w3.org/2000/svg}"


def parsed(plan):
    # What is parsed was made here.
    return ElementTree.fromstring(plan_svg(plan))


def texts(root):
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def boxes(root):
    return [
        (float(box.attrib["x"]), float(box.attrib["width"]))
        for group in root.iter(f"{SVG}g")
        for box in group.iter(f"{SVG}rect")
    ]


def test_every_partition_has_a_box_and_a_line_of_legend():
    root = parsed(planned())
    told = texts(root)
    for number, name in enumerate(
        ("bios_boot", "multiboot", "one", "two", "swap", "data"), start=1
    ):
        assert str(number) in told
        assert any(t.startswith(f"{number}  {name} · ") for t in told)
    assert len(boxes(root)) == 7  # and the free space


@pytest.mark.parametrize("size_mib", [10000, 8_000_000])
def test_boxes_follow_each_other_and_the_smallest_can_be_read(size_mib):
    root = parsed(planned(Disk("/dev/vda", size_mib * MIB)))
    its_boxes = boxes(root)
    assert all(width >= 22 for _, width in its_boxes)
    for (left, width), (right, _) in pairwise(its_boxes):
        assert left + width == right
    left, width = its_boxes[-1]
    assert left + width <= float(root.attrib["width"])


@pytest.mark.parametrize("name", [
    "</text><script>alert(1)</script>",
    "&amp; \"quoted\" 'quoted'",
    "]]> <!-- --",
    "bell \x07, nul \x00, surrogate \ud800",
])  # fmt: skip
def test_hostile_names_are_text(name):
    plan = planned()
    (disk,) = plan.resolved.disks
    partitions = tuple(
        replace(part, volume=replace(part.volume, name=name))
        for part in disk.partitions
    )
    hostile = replace(disk, partitions=partitions)
    root = parsed(
        replace(plan, resolved=replace(plan.resolved, disks=(hostile,)))
    )
    assert {each.tag for each in root.iter()} == {
        f"{SVG}{tag}" for tag in ("svg", "g", "rect", "text", "title")
    }
    shown = "".join(c if c.isprintable() else "?" for c in name)
    assert any(f"1  {shown} · " in text for text in texts(root))


def test_two_disks_are_below_each_other():
    partitions = [
        {
            "type": "disk",
            "id": {"type": "name", "value": name},
            "volumes": [{"type": "partition", "size": "100%"}],
        }
        for name in ("vda", "vdb")
    ]
    plan = planned(
        VDA, Disk("/dev/vdb", 100 * MIB), partitions=partitions, images=[]
    )
    tops = {
        text.text.split(":")[0]: float(text.attrib["y"])
        for text in parsed(plan).iter(f"{SVG}text")
        if text.text and text.text.startswith("/dev/")
    }
    assert tops["/dev/vdb"] > tops["/dev/vda"] + 100
