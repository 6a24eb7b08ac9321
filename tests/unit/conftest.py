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

"""A unit test that starts a program fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A slow minute of the machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Audit events: https://docs.python.org/3/library/audit_events.html
_STARTS = frozenset(
    {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork"}
)

_forbidden = False


def _refuse(event: str, args: tuple[object, ...]) -> None:
    if _forbidden and event in _STARTS:
        raise AssertionError(f"a unit test started a program: {args[:2]}")


# A hook cannot be taken back, so there is one for all tests.
sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def no_programs() -> Iterator[None]:
    """Make the start of any program an error."""
    global _forbidden
    _forbidden = True
    yield
    _forbidden = False
