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

"""Every layout of tests/layouts with arrays, groups, LUKS or bcache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import layouts
from tests.deployed import assert_deploys, assert_is_laid_out_again

KEY = Path("/etc/ipa-partitions/data.key")


@pytest.mark.parametrize(
    ("sector_bytes", "name"),
    [
        pytest.param(
            sector_bytes,
            name,
            marks=pytest.mark.disks(
                *layouts.DISKS[name].values(), sector_bytes=sector_bytes
            ),
        )
        for sector_bytes in (512, 4096)
        for name in (*layouts.IN_A_MACHINE, "filesystems")
    ],
)
def test_a_layout_is_on_the_disks_as_planned(
    sector_bytes, name, disks, tmp_path
):
    KEY.parent.mkdir(exist_ok=True)
    KEY.write_bytes(b"a key of the ramdisk")
    KEY.chmod(0o600)
    devices = dict(zip(layouts.DISKS[name], disks, strict=True))
    assert_deploys(name, devices, tmp_path)
    if sector_bytes > 512:  # once is enough
        assert_is_laid_out_again(devices.values())
