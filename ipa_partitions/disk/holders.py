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

"""What stands on the disks, and what uses it, as the kernel shows it.

Arrays, groups, mappings and bcache sets are no use of a disk by themselves:
they can be stopped. A mount, a swap or a program is.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from ipa_partitions.disk.probe import busy

Kind = Literal[
    "disk", "partition", "md", "dm-lvm", "dm-crypt", "dm-mpath", "dm-other",
    "bcache", "bcache-member", "other",
]  # fmt: skip

# How the UUIDs of mappings begin, and what made them.
_MAPPINGS: tuple[tuple[str, Kind], ...] = (
    ("LVM-", "dm-lvm"),
    ("CRYPT-", "dm-crypt"),
    ("mpath-", "dm-mpath"),
    # What kpartx makes of the disk that several paths lead to.
    (r"part\d+-mpath-", "partition"),
    ("", "dm-other"),
)
_NAMED = ("dev/md", "dev/bcache")
# Two hyphens in a mapping's name are one in the group's or the volume's.
_LVM_NAME = re.compile(r"((?:[^-]|--)+)(?:-(?!-)|$)")
# A path of a disk and what is of no known kind cannot be stopped.
_STAYS = ("dm-mpath", "other")


@dataclass(frozen=True)
class Node:
    """A block device, or one that bcache has registered.

    ``name`` is the kernel's, ``device`` its path, ``label`` what it is for
    people; ``below`` are the names of those that it stands on.
    """

    name: str
    device: str
    kind: Kind
    label: str
    below: tuple[str, ...]

    @property
    def path(self) -> str:
        """The node that is there even where no udev runs."""
        return f"/dev/{self.name.replace('!', '/')}"


@dataclass(frozen=True)
class Stacks:
    """All block devices by name; ``uses`` says how some are used."""

    nodes: Mapping[str, Node]
    uses: Mapping[str, tuple[str, ...]]

    @cached_property
    def above(self) -> Mapping[str, tuple[str, ...]]:
        """The names of those that stand directly on each."""
        above: dict[str, tuple[str, ...]] = dict.fromkeys(self.nodes, ())
        for node in self.nodes.values():
            for name in node.below:
                above[name] = (*above.get(name, ()), node.name)
        return above

    def tree(self, names: Iterable[str]) -> tuple[Node, ...]:
        """Return these and all that stands on them, leaf first."""
        found: dict[str, Node] = {}

        def visit(name: str) -> None:
            if name in self.nodes and name not in found:
                for upper in self.above[name]:
                    visit(upper)
                found[name] = self.nodes[name]

        for name in names:
            visit(name)
        return tuple(found.values())

    def holders(self, names: Collection[str]) -> tuple[Node, ...]:
        """Return what stands on disks, without partitions, leaf first."""
        return tuple(
            node
            for node in self.tree(names)
            if node.kind not in ("disk", "partition")
            and node.name not in names
        )

    def disks(self, name: str) -> frozenset[str]:
        """Return the names of the disks that ``name`` stands on.

        What is one of several paths to a disk is that disk.
        """
        node = self.nodes.get(name)
        if node and node.kind == "dm-mpath":
            return frozenset({name})
        for upper in self.above.get(name, ()):
            if self.nodes[upper].kind == "dm-mpath":
                return frozenset({upper})
        if not node or not node.below:
            return frozenset({name})
        return frozenset().union(*map(self.disks, node.below))

    def in_use(self, disk: str) -> Iterator[str]:
        """Yield what uses ``disk`` or anything that stands on it."""
        for node in self.tree([disk]):
            for use in self.uses.get(node.name, ()):
                yield f"{self.place(node, disk)} {use}"
            if node.kind in _STAYS and node.name != disk:
                for name in node.below:
                    if disk in self.disks(name):
                        place = self.place(self.nodes[name], disk)
                        yield f"{place} is held by {node.label}"

    def leaves(self, disk: str) -> tuple[Node, ...]:
        """Return what nothing stands on, and what nobody is known to use."""
        return tuple(
            node
            for node in self.tree([disk])
            if not self.above[node.name]
            and not self.uses.get(node.name)
            and (
                node.kind not in ("bcache-member", *_STAYS)
                or node.name == disk
            )
        )

    def place(self, node: Node, disk: str) -> str:
        """Return what ``node`` is, and on which part of ``disk``."""
        base, part = node, ("partition", (disk,))
        while base.name != disk and (base.kind, base.below) != part:
            base = next(
                self.nodes[name]
                for name in base.below
                if disk in self.disks(name)
            )
        on = "" if base == node else f" on {base.device}"
        return f"{node.device}{on}"

    def spans(
        self, mentioned: Iterable[str]
    ) -> Iterator[tuple[str, frozenset[str]]]:
        """Yield what stands on mentioned and other disks, and its disks."""
        names = set(mentioned)
        for node in self.holders(sorted(names)):
            if not self._spans(node, names):
                continue
            # Not what stands on it again.
            if not any(self._spans(self.nodes[n], names) for n in node.below):
                yield node.label, self.disks(node.name)

    def _spans(self, node: Node, mentioned: set[str]) -> bool:
        disks = self.disks(node.name)
        return not disks <= mentioned and not disks.isdisjoint(mentioned)


def uses(device: str) -> tuple[str, ...]:
    """Return what uses the disk ``device`` now, seen from here or not."""
    stacks, name = read_stacks(), kernel_name(device)
    unseen = (
        f"{stacks.place(leaf, name)} is in use"
        for leaf in stacks.leaves(name)
        if busy(leaf.path)
    )
    return (*stacks.in_use(name), *unseen)


def kernel_name(device: str) -> str:
    """Return the name of ``device`` in sysfs."""
    return os.path.realpath(device).removeprefix("/dev/").replace("/", "!")


def read_stacks(root: Path = Path("/")) -> Stacks:
    """Return what is there now, of the machine with this root."""
    named = _named(root)
    nodes = {
        node.name: node
        for folder in sorted((root / "sys/class/block").iterdir())
        for node in _nodes(folder, named)
    }
    return Stacks(nodes, _uses(root))


def _named(root: Path) -> dict[str, str]:
    """Return the paths that name arrays and sets, by their kernel names."""
    return {
        link.resolve().name: f"/{link.relative_to(root)}"
        for folder in _NAMED
        for link in sorted((root / folder).glob("*"))
        if link.is_symlink()
    }


def _nodes(folder: Path, named: Mapping[str, str]) -> list[Node]:
    try:
        node = _node(folder, named)
    except OSError as error:
        # It is just going, and has no files, or some that cannot be read.
        if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EINVAL):
            raise
        return []
    registered = folder / "bcache"
    if node.kind == "bcache" or not registered.is_dir():
        return [node]
    label = f"{node.device}, registered with bcache"
    name = f"{node.name}/bcache"
    return [
        node,
        Node(name, node.device, "bcache-member", label, (node.name,)),
    ]


def _node(folder: Path, named: Mapping[str, str]) -> Node:
    name = folder.name
    below = tuple(sorted(path.name for path in folder.glob("slaves/*")))
    device = named.get(name, f"/dev/{name.replace('!', '/')}")
    short = Path(device).name
    if (folder / "partition").exists():
        parent = (folder / "..").resolve().name
        return Node(name, device, "partition", device, (parent,))
    if (folder / "dm").is_dir():
        return _mapping(folder / "dm", below)
    if (folder / "md").is_dir():
        return Node(name, device, "md", f"array {short}", below)
    if (folder / "bcache").is_symlink():
        members = tuple(f"{member}/bcache" for member in below)
        return Node(name, device, "bcache", f"bcache {short}", members)
    return Node(name, device, "other" if below else "disk", short, below)


def _mapping(folder: Path, below: tuple[str, ...]) -> Node:
    own = (folder / "name").read_text().strip()
    uuid = (folder / "uuid").read_text().strip()
    kind = next(kind for start, kind in _MAPPINGS if re.match(start, uuid))
    name, device = folder.parent.name, f"/dev/mapper/{own}"
    label = f"mapping {own}"
    if kind == "dm-lvm":
        words = [w.replace("--", "-") for w in _LVM_NAME.findall(own)]
        device = f"/dev/{'/'.join(words[:2])}"
        label = f"group {words[0]}, volume {'-'.join(words[1:])}"
    return Node(name, device, kind, label, below)


def _uses(root: Path) -> dict[str, tuple[str, ...]]:
    uses: dict[str, tuple[str, ...]] = {}
    for name, use in (*_mounts(root), *_swaps(root)):
        uses[name] = (*uses.get(name, ()), use)
    return uses


def _mounts(root: Path) -> Iterator[tuple[str, str]]:
    pools = _pools(root)
    text = (root / "proc/self/mountinfo").read_text()
    for line in text.splitlines():
        words, _, source = line.partition(" - ")
        number, where = words.split()[2], words.split()[4]
        block = root / "sys/dev/block" / number
        name = block.resolve().name
        if not block.exists():
            # What may have several devices has a number of its own.
            name = kernel_name(source.split()[1])
        for member in pools.get(name, [name]):
            yield member, f"is mounted on {where}"


def _pools(root: Path) -> dict[str, list[str]]:
    """Return the devices of the mounted btrfs that a device is one of."""
    pools: dict[str, list[str]] = {}
    for folder in (root / "sys/fs/btrfs").glob("*/devices"):
        with suppress(FileNotFoundError):  # it is just unmounted
            members = sorted(member.name for member in folder.iterdir())
            pools |= dict.fromkeys(members, members)
    return pools


def _swaps(root: Path) -> Iterator[tuple[str, str]]:
    for line in (root / "proc/swaps").read_text().splitlines()[1:]:
        # Seen from within a chroot there is more before it.
        node = line.split()[0].rpartition("/dev/")[2]
        yield node.replace("/", "!"), "is used as swap"
