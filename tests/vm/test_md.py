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

"""Arrays are made, stopped, and found again."""

from __future__ import annotations

import hashlib
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ipa_partitions.disk import md
from ipa_partitions.disk.lock import locked
from ipa_partitions.disk.size import MIB, floor_mib
from ipa_partitions.errors import CommandError

# No two are alike, and some are no whole MiB.
pytestmark = pytest.mark.disks("60 MiB", "62.5 MiB", "64 MiB", "61 MiB")

UUID = "11223344-5566-7788-99aa-bbccddeeff00"
OTHER = "21223344-5566-7788-99aa-bbccddeeff00"
VERSIONS = ("0.90", "1.0", "1.1", "1.2")


def run(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout.strip()


def size(device):
    return int(run("blockdev", "--getsize64", device))


def an_array(
    members, level=1, metadata="1.2", spares=(), name="root", uuid=UUID
):
    smallest = min(map(size, (*members, *spares)))
    return md.Array(
        device=f"/dev/md/{name}",
        name=name,
        uuid=uuid,
        level=level,
        members=tuple(members),
        spares=tuple(spares),
        metadata=metadata,
        member_bytes=floor_mib(smallest - md.OVERHEAD_BYTES),
    )


def kernel_says(array, what):
    node = Path(array.device).resolve().name
    file = Path("/sys/class/block", node, "md", what)
    return file.read_text().strip() if file.exists() else None


def synchronise(array):
    node = Path(array.device).resolve().name
    Path("/sys/class/block", node, "md/sync_action").write_text("idle")
    while kernel_says(array, "resync_start") != "none":
        time.sleep(0.05)
    while kernel_says(array, "sync_action") != "idle":
        time.sleep(0.05)


def digests(devices):
    run("sync")
    for device in devices:
        run("blockdev", "--flushbufs", device)
    return [
        hashlib.sha256(Path(device).read_bytes()).hexdigest()
        for device in devices
    ]


@pytest.mark.parametrize(("level", "active", "spares"), [
    (0,  3, 0),
    (1,  1, 0),
    (1,  3, 1),
    (4,  3, 0),
    (5,  3, 1),
    (6,  4, 0),
    (10, 3, 1),
    (10, 4, 0),
])  # fmt: skip
def test_an_array_is_exactly_as_large_as_computed(
    disks, level, active, spares
):
    members, extra = disks[:active], disks[active : active + spares]
    # 0.90 has no room for the layout of a level 0.
    versions = VERSIONS if level else VERSIONS[1:]
    if level == 0:
        members = [disks[0], disks[2], disks[3]]
    used = (*members, *extra)
    expected = md.array_bytes(level, [*map(size, used)], spares)
    # udev would start again what was stopped.
    with locked(disks):
        for metadata in versions:
            array = an_array(members, level, metadata, extra)
            # It compares the size as well.
            md.create(array)
            assert size(array.device) == expected
            assert kernel_says(array, "degraded") in (None, "0")
            assert kernel_says(array, "sync_action") in (None, "frozen")
            assert [md.examine(device) for device in used] == [
                md.Superblock(
                    device=device,
                    uuid=UUID,
                    name="" if metadata == "0.90" else "root",
                    level=level,
                    raid_devices=active,
                    role=members.index(device) if device in members else None,
                    metadata=metadata,
                    array_bytes=expected if level else 0,
                )
                for device in used
            ]
            md.stop(array.device)
            assert not Path(array.device).is_symlink()


@pytest.mark.disks("60 MiB", "62.5 MiB", "64 MiB", "61 MiB", sector_bytes=4096)
@pytest.mark.parametrize("level", [0, 1, 5, 10])
def test_large_sectors_change_no_size(disks, level):
    array = an_array(disks, level)
    with locked(disks):
        md.create(array)
        md.stop(array.device)


def test_the_name_is_the_one_asked_for(disks):
    members = disks[:2]
    with locked(disks):
        for name in ("md0", "root", "data-1", "md127", "a.b_c", "x" * 27):
            for metadata in ("0.90", "1.2"):
                array = an_array(members, metadata=metadata, name=name)
                md.create(array)
                md.stop(array.device)
                md.assemble(array.device, UUID, members, read_only=False)
                assert size(array.device) == 59 * MIB
                md.stop(array.device)


@pytest.mark.parametrize(("level", "metadata"), [
    (1,  "0.90"),
    (1,  "1.0"),
    (5,  "1.2"),
    (10, "1.1"),
])  # fmt: skip
def test_to_look_writes_nothing(disks, tmp_path, level, metadata):
    array = an_array(disks, level, metadata)
    with locked(disks):
        md.create(array)
        run("mkfs.ext4", "-q", array.device)
        synchronise(array)
        md.stop(array.device)
        before = digests(disks)
        for members in (disks, disks[1:]):
            md.assemble(array.device, UUID, members, read_only=True)
            run("mount", "-o", "ro,noload", array.device, str(tmp_path))
            assert (tmp_path / "lost+found").is_dir()
            run("umount", str(tmp_path))
            md.stop(array.device)
            assert digests(disks) == before


def test_nothing_that_was_there_shows_through(disks):
    array = an_array(disks[:3], level=5)
    with locked(disks):
        md.create(array)
        subprocess.run(
            ("sfdisk", "--quiet", "--label", "gpt", array.device),
            input=",20M\n,\n", check=True, text=True,
        )  # fmt: skip
        run("partx", "--update", array.device)
        node = Path(array.device).resolve()
        run("mkfs.ext4", "-q", f"{node}p1")
        md.stop(array.device)
        md.create(array)
        run("udevadm", "settle", f"--exit-if-exists={array.device}")
        assert run("wipefs", "--no-act", array.device) == ""
        assert [
            *node.parent.glob(f"{Path(array.device).resolve().name}p*")
        ] == []
        md.stop(array.device)


def test_what_is_another_arrays_is_left_alone(disks):
    one, two, three, four = disks
    array = an_array((one, two))
    with locked(disks):
        md.create(array)
        before = digests((three, four))
        same_name = an_array((three, four), uuid=OTHER)
        with pytest.raises(CommandError, match="another array has that name"):
            md.create(same_name)
        same_member = an_array((two, three), uuid=OTHER, name="data")
        with pytest.raises(CommandError, match="busy"):
            md.create(same_member)
        assert digests((three, four)) == before
        with pytest.raises(CommandError, match="another array has that name"):
            md.assemble(array.device, OTHER, (three,), read_only=True)
        assert kernel_says(array, "degraded") == "0"
        md.stop(array.device)


# A stopped one has a node still, or none.
@pytest.mark.parametrize("node", ["md98", "md99"])
def test_the_name_of_one_that_is_no_more_is_free(disks, node):
    if not Path("/dev/md98").exists():
        Path("/sys/module/md_mod/parameters/new_array").write_text("md98")
    array = an_array(disks)
    point(array, node)
    with locked(disks):
        md.create(array)
        assert kernel_says(array, "degraded") == "0"
        md.stop(array.device)
        point(array, node)
        md.assemble(array.device, UUID, disks, read_only=True)
        assert kernel_says(array, "degraded") == "0"
        md.stop(array.device)


def point(array, node):
    link = Path(array.device)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        # udev takes the folder away with its last link, maybe just now.
        with suppress(OSError):
            if link.is_symlink() and str(link.readlink()) == f"../{node}":
                return
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(f"../{node}")
    raise AssertionError(f"{link} does not stay")


def test_one_that_is_up_only_gets_its_name(disks):
    members = disks[:2]
    array = an_array(members)
    with locked(disks):
        md.create(array)
        md.stop(array.device)
        run("mdadm", "--assemble", "/dev/md/other", "--run", *members)
        md.assemble(array.device, UUID, members, read_only=False)
        assert Path(array.device).samefile("/dev/md/other")
        md.stop(array.device)
        assert not Path(array.device).is_symlink()


def test_one_that_was_begun_is_completed(disks):
    members = disks[:2]
    array = an_array(members)
    with locked(disks):
        md.create(array)
        md.stop(array.device)
        run("mdadm", "--incremental", members[0])
        md.assemble(array.device, UUID, members, read_only=False)
        assert kernel_says(array, "degraded") == "0"
        md.stop(array.device)


def test_one_in_use_is_not_stopped(disks, tmp_path):
    array = an_array(disks[:2])
    with locked(disks):
        md.create(array)
        run("mkfs.ext4", "-q", array.device)
        run("mount", array.device, str(tmp_path))
        with pytest.raises(CommandError, match="exclusive access"):
            md.stop(array.device)
        run("umount", str(tmp_path))
        md.stop(array.device)
        md.stop(array.device)


def test_what_is_no_member_is_told_from_what_is_not_there(disks):
    assert md.examine(disks[0]) is None
    with pytest.raises(CommandError, match="No such file"):
        md.examine("/dev/nothing")
