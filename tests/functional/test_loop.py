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

"""A file as a loop device, and what is left of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipa_partitions.disk import loop
from tests.functional.file_images import run

HOLDER = """
import sys, time
from ipa_partitions.disk import loop
with loop.attached(sys.argv[1]) as device:
    print(device, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1024**2)
    return file


def devices_of(file):
    return run("losetup", "--associated", str(file)).splitlines()


def test_it_is_there_while_it_is_needed(file):
    with loop.attached(str(file)) as device:
        assert Path(device).read_bytes() == file.read_bytes()
        assert [line.split(":")[0] for line in devices_of(file)] == [device]
    assert devices_of(file) == []


def test_it_goes_with_us_if_we_are_killed(file):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)], stdout=subprocess.PIPE
    ) as holder:
        device = holder.stdout.readline().decode().strip()
        assert [line.split(":")[0] for line in devices_of(file)] == [device]
        holder.kill()
    until = time.monotonic() + 10
    while devices_of(file) and time.monotonic() < until:
        time.sleep(0.05)
    assert devices_of(file) == []
