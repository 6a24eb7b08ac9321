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

"""Every layout of tests/layouts is planned exactly as before."""

from __future__ import annotations

import json

import pytest

from ipa_partitions import layout
from ipa_partitions.deploy import Request, make_plan
from ipa_partitions.show.as_json import plan_json
from tests import layouts
from tests.layouts.__main__ import golden


def test_every_layout_has_its_disks():
    files = {path.stem for path in layouts.FOLDER.glob("*.json")}
    assert files == set(layouts.DISKS)


@pytest.mark.parametrize("name", layouts.DISKS)
def test_the_plan_is_the_golden_one(name):
    assert golden(name) == (layouts.FOLDER / f"{name}.plan").read_text()


@pytest.mark.parametrize("name", layouts.DISKS)
def test_one_seed_is_one_plan_byte_for_byte(name):
    request = Request(
        layouts.document(name),
        firmware="bios",
        seed=layouts.SEED,
        imagined=layouts.imagined(name),
    )
    first, second = (
        json.dumps(plan_json(make_plan(request))) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("name", layouts.DISKS)
def test_no_layout_has_a_problem(name):
    layout.parse(layouts.document(name))
