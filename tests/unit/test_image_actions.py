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

"""Which images are deployed in which order, and which are spread."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.plans import planned


def partition(mount: str, *images: str) -> dict[str, Any]:
    return {
        "type": "partition",
        "size": "1 GiB",
        "mount": mount,
        "images": list(images),
    }


SYSTEM = {"name": "os", "image_pull_url": "file:///os.raw"}
DATA = {
    "name": "data",
    "image_pull_url": "file:///data.tar",
    "image_type": "data",
    "target": "/opt/x",
}


@pytest.mark.parametrize("images", [[SYSTEM, DATA], [DATA, SYSTEM]])
def test_files_come_after_the_block_image_that_they_are_laid_into(images):
    disk = {
        "type": "disk",
        "id": {"type": "name", "value": "vda"},
        "volumes": [partition("/", "os", "data"), partition("/srv", "data")],
    }
    plan = planned(partitions=[disk], images=images)
    texts = [str(a) for a in plan.actions if a.phase.name == "IMAGE"]
    # Nothing is moved: /srv is not the system's.
    assert texts == [
        "deploy os (raw) from file:///os.raw to /dev/vda2",
        "deploy data (tar) from file:///data.tar to /dev/vda2 at /opt/x",
    ]
