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

"""What has parts both on the disks of a document and on others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipa_partitions.disk import bcache, look, lvm_report
from ipa_partitions.disk.holders import Stacks, kernel_name

# How blkid(8) calls a part, and people the whole, if all parts of one have
# the same UUID.
_WHOLES = {
    "linux_raid_member": "array",
    "btrfs": "btrfs",
    "zfs_member": "pool",
}
_PARTS = (*_WHOLES, "LVM2_member", "bcache")


def spans(devices: Iterable[str], stacks: Stacks) -> tuple[str, ...]:
    """Return a problem for each; ``devices`` are the disks mentioned.

    What is not up is found as well. Nothing is written, nothing started.
    """
    mentioned = {kernel_name(device) for device in devices}
    found = list(_by_parts(mentioned, stacks))
    known = [disks for _, disks in found]
    # Those whose parts say nothing, such as the arrays of firmware.
    found += (e for e in stacks.spans(mentioned) if e[1] not in known)
    return tuple(
        f"{label} spans {_paths(disks & mentioned, stacks)} and"
        f" {_paths(disks - mentioned, stacks)},"
        f" which the document does not mention"
        for label, disks in found
        if disks & mentioned and disks - mentioned
    )


def _paths(names: Iterable[str], stacks: Stacks) -> str:
    return ", ".join(sorted(stacks.nodes[name].device for name in names))


def _by_parts(
    mentioned: set[str], stacks: Stacks
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what has a part on the ``mentioned`` disks, and all its disks."""
    inside = {node.name for node in stacks.tree(mentioned)}
    # With no part on one side nothing spans: the quicker one is asked first.
    first, second = sorted((inside, stacks.nodes.keys() - inside), key=len)
    parts = _parts(first)
    if parts:
        parts |= _parts(second)
    disks: dict[str, frozenset[str]] = {}
    labels = {}
    for identity, label, device in _wholes(parts):
        own = stacks.disks(kernel_name(device))
        disks[identity] = disks.get(identity, frozenset()) | own
        labels[identity] = label
    for identity, label in labels.items():
        yield label, disks[identity]


def _parts(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return what blkid says of those that are part of something."""
    found = {}
    for name in sorted(names):
        # What is registered with bcache is no device of its own.
        if "/" not in name:
            device = f"/dev/{name.replace('!', '/')}"
            tags = look.tags(device)
            if tags.get("TYPE") in _PARTS:
                found[device] = tags
    return found


def _wholes(
    parts: dict[str, dict[str, str]],
) -> Iterator[tuple[str, str, str]]:
    """Yield a whole's identity, its name, and a device that is part of it."""
    # The copy of a part is none: a disk may be the image of another.
    own = {
        tags.get("UUID_SUB", device): (device, tags)
        for device, tags in reversed(parts.items())
    }
    kinds = {tags["TYPE"] for tags in parts.values()}
    for device, tags in own.values():
        kind, uuid = _WHOLES.get(tags["TYPE"]), tags.get("UUID")
        # A pool that is destroyed may have none.
        if kind and uuid:
            # That of an array may begin with the name of a machine.
            name = tags.get("LABEL", "").rpartition(":")[2] or uuid
            yield uuid, f"{kind} {name}", device
    if "bcache" in kinds:
        yield from _sets(d for d, t in parts.items() if t["TYPE"] == "bcache")
    if "LVM2_member" in kinds:
        yield from _groups()


def _sets(devices: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    for device in devices:
        block = bcache.examine(device)
        # One that was never in a set says so by zeroes.
        if block and block.set_uuid.strip("0-"):
            yield block.set_uuid, f"bcache {block.set_uuid}", device


def _groups() -> Iterator[tuple[str, str, str]]:
    for group in lvm_report.report():
        for pv in group.pvs:
            # One that is missing has no path.
            if pv.startswith("/dev/"):
                yield group.uuid, f"group {group.name}", pv
