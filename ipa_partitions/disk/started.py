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

"""Have what is on disks up for a while, to look into it.

What is started here, or by udev as it sees more, ``stopped_afterwards``
takes down again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ipa_partitions.disk import bcache, loop, luks, lvm, md
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run


@contextmanager
def array_up(
    blocks: Sequence[md.Superblock], device: str, read_only: bool
) -> Iterator[str]:
    """Have an array up as ``device``; yield that, or nothing if it fails."""
    was_up = any(_holder(block.device, "md") for block in blocks)
    was_named = os.path.lexists(device)
    members = [block.device for block in blocks]
    try:
        md.assemble(device, blocks[0].uuid, members, read_only)
    except CommandError:
        yield ""
        return
    try:
        yield device
    finally:
        if was_up and not was_named:
            Path(device).unlink(missing_ok=True)


@contextmanager
def group_up(group: lvm.Group, read_only: bool) -> Iterator[None]:
    """Have what can be activated of a group active."""
    if not all(lv.is_active for lv in group.volumes):
        # What is incomplete stays down, and shows by what is not found in it.
        with suppress(CommandError):
            lvm.activate(group.name, group.pvs, read_only)
    try:
        yield
    finally:
        lvm.forget_images(group)


@contextmanager
def data_of(block: bcache.Superblock) -> Iterator[str]:
    """Yield the device of what is cached, without starting the set.

    To start it would write.
    """
    up = bcache.running(block.device)
    if up:
        yield up
        return
    offset = f"--offset={block.data_at_bytes}"
    with loop.attached(block.device, "--read-only", offset) as node:
        yield node


@contextmanager
def opened(
    device: str, header: luks.Header, key: luks.Luks | None
) -> Iterator[str]:
    """Yield the open encrypted device, empty where ``key`` does not open it.

    Without one, that which its own header names is tried.
    """
    name = f"luks-{header.uuid}"
    own = luks.Luks(device, name, header.uuid, header.key_file, header.tpm2)
    if key:
        own = replace(own, key_file=key.key_file, tpm2=key.tpm2)
    up = _holder(device, "dm")
    if up:
        yield up if key is None or _fits(own) else ""
        return
    if not own.key_file and not own.tpm2:
        yield ""
        return
    try:
        luks.open_(own, read_only=True)
    except CommandError:
        yield ""
        return
    try:
        yield own.mapping
    finally:
        luks.close(own.name)


def _fits(key: luks.Luks) -> bool:
    """Tell whether the key opens its device, which may be open already."""
    try:
        run(*luks.open_argv(key, read_only=True), "--test-passphrase")
    except CommandError:
        return False
    return True


def _holder(device: str, kind: str) -> str:
    """Return what stands on ``device``, if it is up: an array or a mapping."""
    name = Path(device).resolve().name
    for holder in Path("/sys/class/block", name, "holders").glob("*"):
        if (holder / kind).is_dir():
            label = holder / "dm/name"
            if label.exists():
                return f"/dev/mapper/{label.read_text().strip()}"
            return f"/dev/{holder.name}"
    return ""
