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

"""What members of MD arrays say, and the one way to run mdadm."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from ipa_partitions.disk.size import floor_mib
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

_FIELD = re.compile(r" *(\w[\w ]*) : (.*)")
_ROLE = re.compile(r"device (\d+)$")
# "this", number, major, minor, role, state: how 0.90 puts it.
_OLD_ROLE = re.compile(r"this(?: +\d+){3} +(\d+) +active")


@dataclass(frozen=True)
class Superblock:
    """What a member says of its array.

    ``level`` is -1 for one that we cannot make, ``role`` None for a spare,
    ``array_bytes`` whole MiB, and 0 for level 0, where each member knows its
    own part only.
    """

    device: str
    uuid: str
    name: str
    level: int
    raid_devices: int
    role: int | None
    metadata: str
    array_bytes: int


def run_mdadm(*argv: str) -> str:
    """Run mdadm, all alone.

    Not waiting for a udevd that may not run, it makes /dev/md/NAME itself;
    nor does it heed a configuration that the ramdisk may have. mdadm(8).
    """
    return run("env", "MDADM_NO_UDEV=1", "mdadm", *argv, "--config=none")


def examine(device: str) -> Superblock | None:
    """Return what ``device`` says of the array it is in, None if in none.

    The arrays of firmware, which mdadm knows as well, count as none.
    Nothing is written.
    """
    try:
        shown = run_mdadm("--examine", device)
    except CommandError as error:
        # Its only sign; other failures are to be seen.
        if "No md superblock detected" in str(error):
            return None
        raise
    return parse_examined(device, shown)


def parse_examined(device: str, shown: str) -> Superblock | None:
    """Return the superblock that ``mdadm --examine`` has ``shown``."""
    lines = shown.splitlines()
    matches = filter(None, map(_FIELD.match, lines))
    fields = {match[1]: match[2] for match in matches}
    uuid = fields.get("Array UUID", fields.get("UUID"))
    if uuid is None or "Raid Level" not in fields:
        return None
    name = fields.get("Name", "").partition("  (local to")[0]
    level = re.fullmatch(r"raid(\d+)", fields["Raid Level"])
    role = _ROLE.search(fields.get("Device Role", "")) or next(
        filter(None, map(_OLD_ROLE.match, lines)), None
    )
    return Superblock(
        device=device,
        uuid=dashed(uuid),
        name=name.rpartition(":")[2],
        level=int(level[1]) if level else -1,
        raid_devices=int(fields["Raid Devices"]),
        role=int(role[1]) if role else None,
        # 0.90 has a third part, which never changed.
        metadata=fields["Version"].removesuffix(".00"),
        array_bytes=floor_mib(
            int(fields.get("Array Size", "0").split()[0]) * 1024
        ),
    )


def dashed(uuid: str) -> str:
    """Return a UUID that mdadm has shown as any other is written."""
    digits = uuid.replace(":", "").lower()
    ends = (0, 8, 12, 16, 20, 32)
    return "-".join(digits[a:b] for a, b in pairwise(ends))


def mdadm_uuid(uuid: str) -> str:
    """Return a UUID as mdadm writes it, in four groups of eight digits."""
    digits = uuid.replace("-", "")
    return ":".join(digits[n : n + 8] for n in range(0, 32, 8))
