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
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ipa_partitions.disk.link import make_link
from ipa_partitions.disk.md_examine import (
    Superblock,
    examine,
    mdadm_uuid,
    run_mdadm,
)
from ipa_partitions.disk.probe import BUSY_TIMEOUT_S, wait_for_device
from ipa_partitions.disk.size import MIB, floor_mib
from ipa_partitions.disk.table import wipe
from ipa_partitions.errors import CommandError

__all__ = [
    "OVERHEAD_BYTES",
    "Array",
    "Superblock",
    "array_bytes",
    "assemble",
    "conf_line",
    "create",
    "create_argv",
    "examine",
    "mdadm_uuid",
    "stop",
]

# Of every member, for every version of metadata: superblock, bitmap, log of
# bad blocks.
OVERHEAD_BYTES = MIB

# Levels without parity are cut at whole MiB, whatever their members are.
_CHUNKS_KIB = {0: 1024, 4: 512, 5: 512, 6: 512, 10: 1024}

# How long udev may take to see that an array is gone.
_UDEV_TIMEOUT_S = 60

_PARITIES = {4: 1, 5: 1, 6: 2}


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
    """Return the words for mdadm(8) that make ``array``."""
    is_old = array.metadata == "0.90"
    words = [
        "--create", array.device,
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
    _refuse_taken(array.device)
    devices = (*array.members, *array.spares)
    sizes = [_size_bytes(device) for device in devices]
    wipe(*devices)
    # What they held may show through in the array: of a partition table the
    # kernel would take notice at once.
    for device in devices:
        _zero_start(device)
    # Without --assume-clean: no device promises that it reads as zeroes
    # after a discard, and members that differ are not an array.
    run_mdadm(*create_argv(array))
    wait_for_device(
        array.device, array_bytes(array.level, sizes, len(array.spares))
    )
    _freeze(array.device)
    wipe(array.device)


def _refuse_taken(device: str) -> None:
    if _is_up(Path(device).resolve()):
        raise CommandError(f"{device}: another array has that name")
    # One that was stopped had it; udev may have been too busy to notice.
    if Path(device).is_symlink():
        Path(device).unlink(missing_ok=True)


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
    return Path("/sys/dev/block", _number(device))


def _number(device: str) -> str:
    number = Path(device).stat().st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


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
    _refuse_taken(device)
    run_mdadm(
        "--assemble", device,
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
    if os.path.realpath(device) != node:
        _refuse_taken(device)
        make_link(device, node)


def stop(device: str) -> None:
    """Stop the array ``device``, if it is there.

    Raises CommandError if it is in use and remains so.
    """
    node = Path(device).resolve()
    if not _is_up(node):
        return
    known = Path("/run/udev/data", f"b{_number(str(node))}")
    end = time.monotonic() + BUSY_TIMEOUT_S
    while _is_up(node):
        try:
            run_mdadm("--stop", str(node))
            break
        except CommandError:
            # udev looks at it for a moment after any change.
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
    # Later than now, udev would take away the links of the next array.
    end = time.monotonic() + _UDEV_TIMEOUT_S
    while known.exists() and time.monotonic() < end:
        time.sleep(0.01)
    if Path(device).is_symlink():
        Path(device).unlink(missing_ok=True)


def _is_up(node: Path) -> bool:
    # To open the node of an array that was stopped makes an empty one.
    if not node.exists():
        return False
    state = _sysfs(str(node)) / "md/array_state"
    return state.exists() and state.read_text() != "clear\n"


def conf_line(array: Array) -> str:
    """Return the line of mdadm.conf(5) that names ``array``."""
    return (
        f"ARRAY {array.device} metadata={array.metadata}"
        f" UUID={mdadm_uuid(array.uuid)}"
    )
