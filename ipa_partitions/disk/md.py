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

"""MD arrays: how large they are, and how they are made, found and ended."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ipa_partitions.disk.probe import BUSY_TIMEOUT_S, wait_for_device
from ipa_partitions.disk.size import MIB, floor_mib
from ipa_partitions.disk.table import wipe
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

# Of every member, for every version of metadata: superblock, bitmap, log of
# bad blocks.
OVERHEAD_BYTES = MIB

# Not waiting for a udevd that may not run, mdadm makes /dev/md/NAME itself;
# nor shall it heed a configuration that the ramdisk may have. See mdadm(8).
_MDADM = ("env", "MDADM_NO_UDEV=1", "mdadm")
_ALONE = "--config=none"

# Levels without parity are cut at whole MiB, whatever their members are.
_CHUNKS_KIB = {0: 1024, 4: 512, 5: 512, 6: 512, 10: 1024}

_PARITIES = {4: 1, 5: 1, 6: 2}

_FIELD = re.compile(r" *(\w[\w ]*) : (.*)")
_ROLE = re.compile(r"device (\d+)$")
# "this", number, major, minor, role, state: how 0.90 puts it.
_OLD_ROLE = re.compile(r"this(?: +\d+){3} +(\d+) +active")


@dataclass(frozen=True)
class Array:
    """An array to be; ``name`` is that of ``device`` below ``/dev/md``.

    ``member_bytes`` is what it uses of every member, in whole MiB; level 0
    uses all of each.
    """

    device: str
    name: str
    uuid: str
    level: int
    members: tuple[str, ...]
    spares: tuple[str, ...]
    metadata: str
    member_bytes: int


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


def array_bytes(level: int, member_sizes: Sequence[int], spares: int) -> int:
    """Return the size of the array, 0 at most where members are too small.

    The last ``spares`` members are the spare ones.
    """
    used = [floor_mib(size - OVERHEAD_BYTES) for size in member_sizes]
    active, smallest = len(used) - spares, min(used)
    if level == 0:
        return sum(used) if smallest > 0 else 0
    if level == 1:
        return smallest
    if level == 10:
        return floor_mib(active * smallest // 2)
    return (active - _PARITIES[level]) * smallest


def create_argv(array: Array) -> tuple[str, ...]:
    """Return the command that makes ``array``."""
    is_old = array.metadata == "0.90"
    words = [
        *_MDADM,
        "--create", array.device,
        _ALONE,
        # Ask nothing.
        "--run",
        # No member waits as a spare to be rebuilt.
        "--force",
        # 0.90 has no name, and a host would become a part of the UUID.
        f"--homehost={'<none>' if is_old else 'any'}",
        f"--name={array.name}",
        f"--uuid={array.uuid}",
        f"--metadata={array.metadata}",
        f"--level={array.level}",
        f"--raid-devices={len(array.members)}",
    ]  # fmt: skip
    if array.level in _CHUNKS_KIB:
        words.append(f"--chunk={_CHUNKS_KIB[array.level]}")
    if array.level > 0:
        words.append(f"--size={array.member_bytes // 1024}")
        words.append("--bitmap=internal")
    if array.spares:
        words.append(f"--spare-devices={len(array.spares)}")
    if array.metadata in ("1.1", "1.2"):
        words.append(f"--data-offset={OVERHEAD_BYTES // 1024}")
    return (*words, *array.members, *array.spares)


def create(array: Array) -> None:
    """Make ``array`` of its members, whatever is on them, and wipe it.

    Its first synchronisation is held back until it is assembled again, so
    that it does not compete with what is written to it now.
    Raises CommandError, also if an array of that name is running.
    """
    if os.path.lexists(array.device):
        raise CommandError(f"{array.device}: another array has that name")
    devices = (*array.members, *array.spares)
    sizes = [_size_bytes(device) for device in devices]
    wipe(*devices)
    # What they held may show through in the array: of a partition table the
    # kernel would take notice at once.
    for device in devices:
        _zero_start(device)
    # Without --assume-clean: no device promises that it reads as zeroes
    # after a discard, and members that differ are not an array.
    run(*create_argv(array))
    wait_for_device(
        array.device, array_bytes(array.level, sizes, len(array.spares))
    )
    _freeze(array.device)
    wipe(array.device)


def _zero_start(device: str) -> None:
    node = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(node, bytes(2 * OVERHEAD_BYTES), 0)
        os.fsync(node)
    finally:
        os.close(node)


def _size_bytes(device: str) -> int:
    node = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(node, 0, os.SEEK_END)
    finally:
        os.close(node)


def _freeze(device: str) -> None:
    action = _sysfs(device) / "md/sync_action"
    if action.exists():
        action.write_text("frozen")


def _sysfs(device: str) -> Path:
    number = Path(device).stat().st_rdev
    return Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")


def examine(device: str) -> Superblock | None:
    """Return what ``device`` says of the array it is in, None if in none.

    The arrays of firmware, which mdadm knows as well, count as none.
    Nothing is written.
    """
    try:
        shown = run(*_MDADM, "--examine", device, _ALONE)
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


def assemble(
    device: str, uuid: str, members: Sequence[str], read_only: bool
) -> None:
    """Make the array ``uuid`` run as ``device``, degraded if it has to be.

    One that runs already is left as it is and only gets that name; with
    ``read_only`` nothing is written to any member of another. Raises
    CommandError, also if ``device`` is another array.
    """
    holder = _holder(uuid, members)
    if holder and (holder / "md/array_state").read_text() == "inactive\n":
        # What udev began when not all members were there.
        stop(f"/dev/{holder.name}")
        holder = None
    if holder:
        _name(f"/dev/{holder.name}", device)
        return
    if os.path.lexists(device):
        raise CommandError(f"{device}: another array has that name")
    run(
        *_MDADM,
        "--assemble", device,
        _ALONE,
        f"--uuid={uuid}",
        "--run",
        *(["--readonly"] if read_only else []),
        *members,
    )  # fmt: skip
    wait_for_device(device, None)


def _holder(uuid: str, members: Sequence[str]) -> Path | None:
    """Return the array ``uuid`` in sysfs if it is there already."""
    for member in members:
        for holder in (_sysfs(member) / "holders").glob("md*"):
            found = examine(member)
            if found and found.uuid == uuid:
                return holder.resolve()
    return None


def _name(node: str, device: str) -> None:
    if not os.path.lexists(device):
        Path(device).parent.mkdir(exist_ok=True)
        Path(device).symlink_to(node)
    elif not Path(device).samefile(node):
        raise CommandError(f"{device}: is not {node}, which is running")


def stop(device: str) -> None:
    """Stop the array ``device``, if it is there.

    Raises CommandError if it is in use and remains so.
    """
    end = time.monotonic() + BUSY_TIMEOUT_S
    node = Path(device).resolve()
    while _is_up(node):
        try:
            run(*_MDADM, "--stop", str(node), _ALONE)
            break
        except CommandError:
            # udev looks at it for a moment after any change.
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
    if Path(device).is_symlink():
        # mdadm or udev may be about to do it.
        Path(device).unlink(missing_ok=True)


def _is_up(node: Path) -> bool:
    # To open the node of an array that was stopped makes an empty one.
    if not node.exists():
        return False
    state = _sysfs(str(node)) / "md/array_state"
    return state.exists() and state.read_text() != "clear\n"


def mdadm_uuid(uuid: str) -> str:
    """Return a UUID as mdadm writes it, in four groups of eight digits."""
    digits = uuid.replace("-", "")
    return ":".join(digits[n : n + 8] for n in range(0, 32, 8))


def conf_line(array: Array) -> str:
    """Return the line of mdadm.conf(5) that names ``array``."""
    return (
        f"ARRAY {array.device} metadata={array.metadata}"
        f" UUID={mdadm_uuid(array.uuid)}"
    )
