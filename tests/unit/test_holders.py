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

"""What stands on disks, of machines whose sysfs is made of plain files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa_partitions.disk.holders import Stacks, read_stacks

# What there is, each with what it stands on. A partition's disk is before
# the slash; the words after the colon are those of a mapping: name and UUID.
MACHINE = """
sda
sda/sda1
sda/sda2
sdb
sdb/sdb1
sdc
sdd
sde
cciss!c0d0
cciss!c0d0/cciss!c0d0p1
md127 sda1 sdb1
md127/md127p1
dm-0 sda2: vg--0-root LVM-0123456789abcdef
dm-1 dm-0: secret CRYPT-LUKS2-0123-secret
dm-2 cciss!c0d0p1: vg1-pool-tpool LVM-0123456789abcdef-tpool
dm-3 sdd sde: mpatha mpath-3600
dm-4 dm-3: mpatha-part1 part1-mpath-3600
dm-5 dm-4: odd
bcache0 sdb sdc
dm-6 sdf sdg: mpathb mpath-3601
sdf
sdg
drbd0 dm-1
"""
MEMBERS = ("sdb", "sdc")
LINKS = {"dev/md/root": "../md127", "dev/bcache/data": "../bcache0"}
SWAPS = "Filename Type Size Used Priority\n"


def linked(link: Path, to: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(to)


def written(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def machine(
    root: Path, mountinfo: str = "", swaps: str = SWAPS, lines: str = MACHINE
) -> Stacks:
    """Make the machine below ``root`` and read it."""
    for number, line in enumerate(lines.split("\n")[1:-1]):
        before, _, mapping = line.partition(": ")
        path, *below = before.split()
        folder = root / "sys/devices" / path
        (folder / "slaves").mkdir(parents=True)
        for name in below:
            (folder / "slaves" / name).touch()
        if "/" in path:
            written(folder / "partition", "1")
        elif path.startswith("md"):
            (folder / "md").mkdir()
        if mapping:
            name, _, uuid = mapping.partition(" ")
            written(folder / "dm/name", name)
            written(folder / "dm/uuid", uuid)
        linked(root / "sys/class/block" / folder.name, folder)
        linked(root / f"sys/dev/block/8:{number}", folder)
    for name in MEMBERS:
        (root / "sys/class/block" / name / "bcache").mkdir()
    linked(
        root / "sys/devices/bcache0/bcache", root / "sys/devices/sdb/bcache"
    )
    for link, target in LINKS.items():
        linked(root / link, Path(target))
    written(root / "proc/self/mountinfo", mountinfo)
    written(root / "proc/swaps", swaps)
    return read_stacks(root)


def number(name: str) -> str:
    paths = [line.split()[0] for line in MACHINE.split("\n")[1:-1]]
    return f"8:{[path.split('/')[-1] for path in paths].index(name)}"


def mount(name: str, where: str) -> str:
    return f"36 35 {number(name)} / {where} rw - ext4 /dev/{name} rw"


@pytest.mark.parametrize(("disks", "found"), [
    ("sda", [
        "md127: array root /dev/md/root",
        "drbd0: drbd0 /dev/drbd0",
        "dm-1: mapping secret /dev/mapper/secret",
        "dm-0: group vg-0, volume root /dev/vg-0/root",
    ]),
    ("sdb", [
        "bcache0: bcache data /dev/bcache/data",
        "sdb/bcache: /dev/sdb, registered with bcache /dev/sdb",
        "md127: array root /dev/md/root",
    ]),
    ("sdc", [
        "bcache0: bcache data /dev/bcache/data",
        "sdc/bcache: /dev/sdc, registered with bcache /dev/sdc",
    ]),
    ("cciss!c0d0", ["dm-2: group vg1, volume pool-tpool /dev/vg1/pool"]),
    ("dm-3", ["dm-5: mapping odd /dev/mapper/odd"]),
    ("none", []),
])  # fmt: skip
def test_what_stands_on_a_disk_is_known_leaf_first(tmp_path, disks, found):
    stacks = machine(tmp_path)
    assert [
        f"{node.name}: {node.label} {node.device}"
        for node in stacks.holders({disks})
    ] == found


@pytest.mark.parametrize(("name", "disks"), [
    ("sda", {"sda"}),
    ("md127p1", {"sda", "sdb"}),
    ("dm-1", {"sda"}),
    ("bcache0", {"sdb", "sdc"}),
    ("sdc/bcache", {"sdc"}),
    ("dm-5", {"dm-3"}),
    ("sde", {"dm-3"}),  # a path of it
    ("none", {"none"}),
])  # fmt: skip
def test_the_disks_beneath_are_known(tmp_path, name, disks):
    assert machine(tmp_path).disks(name) == disks


@pytest.mark.parametrize(("mountinfo", "swaps", "disk", "uses"), [
    ("", "", "sdb", []),
    (mount("sda1", "/mnt"), "", "sda", ["/dev/sda1 is mounted on /mnt"]),
    (mount("sda", "/mnt"), "", "sda", ["/dev/sda is mounted on /mnt"]),
    (mount("sda", "/mnt"), "", "sdb", []),
    (mount("md127p1", "/a"), "", "sdb",
     ["/dev/md127p1 on /dev/sdb1 is mounted on /a"]),
    (mount("bcache0", "/a"), "", "sdc",
     ["/dev/bcache/data on /dev/sdc is mounted on /a"]),
    (f"{mount('sdc', '/a')}\n{mount('sdc', '/b')}", "", "sdc",
     ["/dev/sdc is mounted on /a", "/dev/sdc is mounted on /b"]),
    ("", "/dev/sdc partition 1 0 -2", "sdc", ["/dev/sdc is used as swap"]),
    ("", "/a/chroot/dev/sdc partition 1 0 -2", "sdc",
     ["/dev/sdc is used as swap"]),
    (mount("dm-4", "/"), "", "dm-3",
     ["/dev/mapper/mpatha-part1 is mounted on /"]),
    # What is of no known kind is in the way, whatever it is.
    ("", "", "sda", ["/dev/mapper/secret on /dev/sda2 is held by drbd0"]),
])  # fmt: skip
def test_only_what_is_used_is_in_use(tmp_path, mountinfo, swaps, disk, uses):
    lines = MACHINE if "drbd0" in str(uses) else MACHINE.replace(
        "drbd0 dm-1\n", ""
    )  # fmt: skip
    stacks = machine(tmp_path, mountinfo, SWAPS + swaps, lines)
    assert list(stacks.in_use(disk)) == uses


def test_btrfs_of_several_devices_uses_them_all(tmp_path):
    devices = tmp_path / "sys/fs/btrfs/0123/devices"
    devices.mkdir(parents=True)
    (devices / "sdc").touch()
    (devices / "sda1").touch()
    stacks = machine(tmp_path, "36 35 0:31 / /mnt rw - btrfs /dev/sda1 rw")
    for disk, where in (("sda", "/dev/sda1"), ("sdc", "/dev/sdc")):
        assert f"{where} is mounted on /mnt" in list(stacks.in_use(disk))


@pytest.mark.parametrize(("disk", "leaves"), [
    ("sda", {"md127p1"}),
    ("sdb", {"md127p1", "bcache0"}),
    ("dm-3", {"dm-5"}),
    ("dm-6", {"dm-6"}),  # nothing is on it
])  # fmt: skip
def test_what_may_be_opened_is_at_the_top(tmp_path, disk, leaves):
    stacks = machine(tmp_path)
    assert {node.name for node in stacks.leaves(disk)} == leaves


@pytest.mark.parametrize(("mentioned", "found"), [
    ({"sda"}, {"array root": {"sda", "sdb"}}),
    ({"sda", "sdb"}, {"bcache data": {"sdb", "sdc"}}),
    ({"sda", "sdb", "sdc"}, {}),
    ({"sdc"}, {"bcache data": {"sdb", "sdc"}}),
    ({"cciss!c0d0"}, {}),
    ({"dm-3"}, {}),
])  # fmt: skip
def test_what_has_other_disks_is_named_once(tmp_path, mentioned, found):
    stacks = machine(tmp_path)
    assert dict(stacks.spans(mentioned)) == found
