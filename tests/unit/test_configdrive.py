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

"""The config drive: its forms, and what is none."""

from __future__ import annotations

import base64
import gzip

import pytest

from ipa_partitions.errors import ImageError
from ipa_partitions.images.configdrive import read_configdrive

DRIVE = b"an ISO\0" * 1000
GZIPPED = gzip.compress(DRIVE)
PACKED = base64.b64encode(GZIPPED)
LIMIT = len(DRIVE)


def test_base64_of_a_gzipped_drive_is_unpacked():
    assert read_configdrive(PACKED.decode(), LIMIT) == DRIVE
    broken = base64.encodebytes(GZIPPED).decode()
    assert read_configdrive(broken, LIMIT) == DRIVE


@pytest.mark.parametrize("content", [PACKED, GZIPPED, DRIVE])
def test_a_file_may_be_packed_or_not(tmp_path, content):
    (tmp_path / "drive").write_bytes(content)
    assert read_configdrive(str(tmp_path / "drive"), LIMIT) == DRIVE
    assert read_configdrive(f"file://{tmp_path}/drive", LIMIT) == DRIVE


@pytest.mark.parametrize(("drive", "problem"), [
    ("!secret!",                               "is not base64 of something"),
    ("name",                                   "is not base64 of something"),
    (base64.b64encode(DRIVE).decode(),         "is not base64 of something"),
    (base64.b64encode(GZIPPED[:-8]).decode(),  "is cut short"),
    (base64.b64encode(gzip.compress(DRIVE + b"x")).decode(), "larger than"),
    ("/nowhere/drive",                         "No such file"),
    ("/tmp",                                   "Is a directory"),
])  # fmt: skip
def test_what_is_no_config_drive_is_refused(drive, problem):
    with pytest.raises(ImageError, match=problem) as caught:
        read_configdrive(drive, LIMIT)
    assert "secret" not in str(caught.value)
