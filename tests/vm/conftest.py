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

"""The tests of this folder that are marked with disks run in a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.guest import disks
from tests.vm.quick import QUICK
from tests.vm.rig import pytest_configure, pytest_runtest_protocol
from tests.vm.two_systems import deployed_once, two_systems

__all__ = [
    "deployed_once",
    "disks",
    "pytest_configure",
    "pytest_runtest_protocol",
    "two_systems",
]

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Mark what ``make test`` leaves out as long."""
    listed = set()
    for item in items:
        if item.path.parent != HERE:
            continue
        name = item.nodeid.rpartition("/")[2]
        if found := [each for each in QUICK if name.startswith(each)]:
            listed.update(found)
        else:
            item.add_marker("long")
    is_whole = not any("::" in arg for arg in config.args)
    files = {item.path.name for item in items}
    for each in QUICK:
        if is_whole and each not in listed and each.split("::")[0] in files:
            raise pytest.UsageError(f"no test begins with {each}")
