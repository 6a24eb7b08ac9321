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

"""Every layout of tests/layouts that loop devices can hold, for real."""

from __future__ import annotations

import pytest

from ipa_partitions.disk.size import MIB, exact_bytes
from tests import layouts
from tests.deployed import assert_deploys, assert_is_laid_out_again


@pytest.mark.parametrize("sector_bytes", [512, 4096])
@pytest.mark.parametrize("name", layouts.ON_LOOPS)
def test_a_layout_is_on_the_disks_as_planned(
    name, sector_bytes, loop_disk, tmp_path
):
    devices = {
        disk: loop_disk(exact_bytes(size) // MIB, sector_bytes)
        for disk, size in layouts.DISKS[name].items()
    }
    assert_deploys(name, devices, tmp_path)
    assert_is_laid_out_again(devices.values())
