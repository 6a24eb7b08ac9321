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

"""Stop whatever stands on some disks, in whichever order it stands."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ipa_partitions.disk import md
from ipa_partitions.disk.holders import Node, kernel_name, read_stacks
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

# udev may start again what was just stopped, and look at it for a moment.
TIMEOUT_S = 20
_STEP_S = 0.1
_SETTLE_S = 3

_PROGRAMS = {
    "md": "mdadm",
    "dm-lvm": "dmsetup",
    "dm-crypt": "dmsetup",
    "dm-other": "dmsetup",
}


def missing_programs(holders: Iterable[Node]) -> tuple[str, ...]:
    """Return what is not there of the programs that stop ``holders``."""
    needed = {_PROGRAMS.get(holder.kind) for holder in holders}
    return tuple(sorted(p for p in needed if p and not shutil.which(p)))


@contextmanager
def stopped_afterwards(devices: Sequence[str], keeps: bool) -> Iterator[None]:
    """Stop what was started on the disks meanwhile, whatever happens.

    Of what stood there before all stays, if ``keeps``, or nothing.
    """
    names = [kernel_name(device) for device in devices]
    before = read_stacks().holders(names) if keeps else ()
    try:
        yield
    finally:
        stop_all(devices, frozenset(node.name for node in before))


def stop_all(
    devices: Sequence[str], but: frozenset[str] = frozenset()
) -> None:
    """Stop all that stands on the disks ``devices``, leaf first.

    What has a kernel name among ``but`` stays. What is dirty in a cache is
    lost. Raises CommandError for what cannot be stopped, or is started
    again, when for TIMEOUT_S it has not become less.
    """
    names = [kernel_name(device) for device in devices]
    fewest, end = sys.maxsize, 0.0
    stopped: set[str] = set()
    while holders := [
        node for node in read_stacks().holders(names) if node.name not in but
    ]:
        if any(node.device in stopped for node in holders):
            _let_udev_finish()
        errors = []
        for node in holders:
            found = [*_errors(node)]
            errors += found
            if not found:
                stopped.add(node.device)
        if len(holders) < fewest:
            fewest, end = len(holders), time.monotonic() + TIMEOUT_S
        if time.monotonic() > end:
            raise CommandError(
                "; ".join(map(str, errors))
                or f"{holders[0].label} is started again and again"
            )
        time.sleep(_STEP_S)
    for device in stopped:
        _forget(Path(device))


def _let_udev_finish() -> None:
    """Wait until udev has seen what it did when it started something again.

    To start an array changes its members, and every change starts it.
    """
    with suppress(CommandError):  # where there is none, or it is too slow
        run("udevadm", "settle", f"--timeout={_SETTLE_S}")


def _errors(node: Node) -> Iterator[CommandError]:
    """Stop ``node``; yield the error if it does not."""
    try:
        _stop(node)
    except FileNotFoundError:
        # It went with what stood on it.
        return
    except (CommandError, OSError) as error:
        yield CommandError(f"{node.label}: {error}")


def _stop(node: Node) -> None:
    folder = Path("/sys/class/block", node.name)
    if node.kind == "md":
        md.stop(node.device)
    elif node.kind == "bcache":
        (folder / "bcache/stop").write_text("1")
    elif node.kind == "bcache-member":
        # A cache has a set, and lets go of it only as a whole.
        is_cache = (folder / "set").exists()
        (folder / ("set/stop" if is_cache else "stop")).write_text("1")
    elif node.kind in _PROGRAMS:
        mapping = (folder / "dm/name").read_text().strip()
        run("dmsetup", "remove", mapping)
    else:
        raise CommandError("cannot be stopped")


def _forget(link: Path) -> None:
    """Remove the link to a device that is no more, if udev has not."""
    if link.is_symlink() and not link.exists():
        link.unlink(missing_ok=True)
        # The folder of a group stays, if others of it do.
        with suppress(OSError):
            link.parent.rmdir()
