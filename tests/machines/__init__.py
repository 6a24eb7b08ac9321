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

"""Machines as lsblk and udev show them, for planning without hardware.

``python -m tests.machines > tests/machines/NAME.json`` records the one it
runs on. ``about`` says where the rows of one come from.
"""

from __future__ import annotations

import json
from pathlib import Path

from ipa_partitions.disk.machine import Disk
from ipa_partitions.disk.probe import parse_disks

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def disks(name: str) -> tuple[Disk, ...]:
    """Return the disks that the program sees there."""
    recorded = json.loads((FOLDER / f"{name}.json").read_text())
    return parse_disks(recorded["lsblk"], recorded["links"])
