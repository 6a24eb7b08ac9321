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

"""Groups and volumes are made, reported, and found again."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from ipa_partitions.disk import lvm, md
from ipa_partitions.disk.lock import locked
from ipa_partitions.disk.size import MIB
from ipa_partitions.errors import CommandError

pytestmark = pytest.mark.disks("200 MiB", "200 MiB", "200 MiB")


def run(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout.strip()


def size(device):
    return int(run("blockdev", "--getsize64", device))


def wanted(name, extents, layout="linear", **more):
    keys = dict.fromkeys(("stripes", "mirrors", "pool")) | more
    return lvm.Wanted("vg0", name, layout, extents * lvm.EXTENT_BYTES, **keys)


VOLUMES = (
    wanted("r1", 5, "raid1", mirrors=1),
    wanted("r2", 3, "raid1", mirrors=2),
    wanted("st", 6, "striped", stripes=3),
    wanted("a-b_c.d", 7),
    wanted("pool", 10, "thin-pool"),
    wanted("t", 20, "thin", pool="pool"),
)


def free_extents(pvs):
    return int(
        run(
            "lvm", "vgs", "--noheadings", "--options", "vg_free_count",
            "--devices", ",".join(pvs),
        )
    )  # fmt: skip


def mapped():
    return run("dmsetup", "ls")


def digests(devices):
    run("sync")
    for device in devices:
        run("blockdev", "--flushbufs", device)
    return [
        hashlib.sha256(Path(device).read_bytes()).hexdigest()
        for device in devices
    ]


def test_every_layout_takes_exactly_what_was_computed(disks):
    with locked(disks):
        for disk in disks:
            run("mkfs.ext4", "-q", disk)
        lvm.create_group("vg0", disks)
        free = sum(lvm.extents(size(disk)) for disk in disks)
        assert free_extents(disks) == free
        for volume in VOLUMES:
            lvm.create_volume(volume, disks)
            free -= lvm.consumed_extents(volume)
            assert (volume.name, free_extents(disks)) == (volume.name, free)
            if volume.layout != "thin-pool":
                assert size(volume.device) == volume.size_bytes
        assert " frozen " in run("dmsetup", "status", "vg0-r2")
        (group,) = lvm.report(disks)
        assert group.pvs == disks
        assert group.extent_bytes == lvm.EXTENT_BYTES
        by_name = {volume.name: volume for volume in group.volumes}
        assert by_name == {
            volume.name: lvm.Volume(
                name=volume.name,
                uuid=by_name[volume.name].uuid,
                size_bytes=volume.size_bytes,
                layout=volume.layout,
                stripes=volume.stripes,
                mirrors=volume.mirrors,
                pool=volume.pool,
                is_active=True,
            )
            for volume in VOLUMES
        }
        lvm.deactivate("vg0", disks)
    assert mapped() == "No devices found"
    assert not Path("/dev/vg0").exists()
    # No daemon of LVM's stays behind.
    assert not run("sh", "-c", "ps -e -o comm= | grep dmeventd || true")


def test_to_look_writes_nothing(disks, tmp_path):
    with locked(disks):
        lvm.create_group("vg0", disks)
        for volume in VOLUMES:
            lvm.create_volume(volume, disks)
            if volume.layout != "thin-pool":
                run("mkfs.ext4", "-q", volume.device)
        lvm.deactivate("vg0", disks)
        before = digests(disks)
        lvm.activate("vg0", disks, read_only=True)
        for volume in VOLUMES:
            if volume.layout != "thin-pool":
                run("mount", "-o", "ro,noload", volume.device, str(tmp_path))
                assert (tmp_path / "lost+found").is_dir()
                run("umount", str(tmp_path))
        lvm.deactivate("vg0", disks)
        assert not Path("/dev/vg0").exists()
        assert digests(disks) == before
        lvm.activate("vg0", disks)
        lvm.deactivate("vg0", disks)


def test_a_mirror_is_synchronised_once_it_is_active_again(disks):
    volume = wanted("r1", 3, "raid1", mirrors=1)
    with locked(disks):
        lvm.create_group("vg0", disks)
        lvm.create_volume(volume, disks)
        assert " frozen " in run("dmsetup", "status", "vg0-r1")
        lvm.deactivate("vg0", disks)
        lvm.activate("vg0", disks)
        run("timeout", "60", "sh", "-c",
            "until dmsetup status vg0-r1 | grep -q ' 24576/24576 idle '; do"
            " sleep 0.1; done")  # fmt: skip
        lvm.deactivate("vg0", disks)


def test_a_group_of_the_same_name_is_left_alone(disks):
    one, two, foreign = disks
    pvs = (one, two)
    run("lvm", "vgcreate", "--yes", "vg0", foreign)
    run("lvm", "lvcreate", "--yes", "--extents", "5", "--name", "root", "vg0")
    run("mkfs.ext4", "-q", "/dev/vg0/root")
    with locked(pvs):
        before = digests((foreign,))
        lvm.create_group("vg0", pvs)
        lvm.create_volume(wanted("own", 5), pvs)
        with pytest.raises(CommandError, match="another group has a volume"):
            lvm.create_volume(wanted("root", 5), pvs)
        (group,) = lvm.report(pvs)
        assert [volume.name for volume in group.volumes] == ["own"]
        assert {each.pvs for each in lvm.report()} == {pvs, (foreign,)}
        lvm.deactivate("vg0", pvs)
        assert mapped().split()[0] == "vg0-root"
        lvm.activate("vg0", pvs)
        lvm.deactivate("vg0", pvs)
        lvm.deactivate("vg0", (foreign,))
        lvm.create_volume(wanted("root", 5), pvs)
        lvm.deactivate("vg0", pvs)
        lvm.activate("vg0", (foreign,))
        with pytest.raises(CommandError, match="another group has a volume"):
            lvm.activate("vg0", pvs)
        assert digests((foreign,)) == before
        lvm.deactivate("vg0", (foreign,))


def test_what_is_left_of_a_group_is_reported_and_activated(disks):
    with locked(disks):
        lvm.create_group("vg0", disks)
        lvm.create_volume(wanted("r2", 5, "raid1", mirrors=2), disks)
        lvm.create_volume(wanted("big", 120), disks)
        lvm.deactivate("vg0", disks)
        rest = disks[1:]
        (group,) = lvm.report(rest)
        assert group.pvs == (*rest, "unknown")
        assert [volume.name for volume in group.volumes] == ["big", "r2"]
        for read_only in (True, False):
            with pytest.raises(CommandError, match="partial LV vg0/big"):
                lvm.activate("vg0", rest, read_only)
            assert size("/dev/vg0/r2") == 20 * MIB
            lvm.deactivate("vg0", rest)


def test_nothing_that_was_there_shows_through(disks):
    volume = wanted("root", 20)
    with locked(disks):
        lvm.create_group("vg0", disks)
        lvm.create_volume(volume, disks)
        run("mkfs.ext4", "-q", volume.device)
        run("mdadm", "--create", "/dev/md/x", "--run", "--force", "--level=1",
            "--metadata=1.0", "--raid-devices=1", volume.device)  # fmt: skip
        md.stop("/dev/md/x")
        lvm.deactivate("vg0", disks)
        lvm.create_group("vg0", disks)
        lvm.create_volume(volume, disks)
        assert run("wipefs", "--no-act", volume.device) == ""
        lvm.deactivate("vg0", disks)


@pytest.mark.disks("101 MiB", "101 MiB", sector_bytes=4096)
def test_a_group_can_be_filled_to_the_last_extent(disks):
    with locked(disks):
        lvm.create_group("vg0", disks)
        lvm.create_volume(wanted("r1", 9, "raid1", mirrors=1), disks)
        lvm.create_volume(wanted("pool", 28, "thin-pool"), disks)
        assert free_extents(disks) == 0
        with pytest.raises(CommandError, match="insufficient free space"):
            lvm.create_volume(wanted("more", 1), disks)
        lvm.deactivate("vg0", disks)


@pytest.mark.disks("200 MiB", "200 MiB", "300 MiB")
def test_lvm_takes_the_list_of_devices(disks):
    array = md.Array(
        device="/dev/md/pv",
        name="pv",
        uuid="11223344-5566-7788-99aa-bbccddeeff00",
        level=1,
        members=disks[:2],
        spares=(),
        metadata="1.2",
        member_bytes=199 * MIB,
    )
    pvs = (array.device, disks[2])
    with locked(disks):
        md.create(array)
        lvm.create_group("vg0", pvs)
        lvm.create_volume(wanted("root", 60), pvs)
        (group,) = lvm.report(pvs)
        assert group.pvs == pvs
        text = lvm.devices_file(pvs)
        assert f"IDTYPE=md_uuid IDNAME={array.uuid}" in text
        directory = Path("/etc/lvm/devices")
        directory.mkdir(exist_ok=True)
        (directory / "own.devices").write_text(text)
        shown = run("lvm", "lvs", "--devicesfile", "own.devices",
                    "--noheadings", "--options", "lv_full_name")  # fmt: skip
        assert shown == "vg0/root"
        (directory / "own.devices").unlink()
        lvm.deactivate("vg0", pvs)
        md.stop(array.device)


def test_one_in_use_stays(disks, tmp_path):
    volume = wanted("root", 10)
    with locked(disks):
        lvm.create_group("vg0", disks)
        lvm.create_volume(volume, disks)
        run("mkfs.ext4", "-q", volume.device)
        run("mount", volume.device, str(tmp_path))
        with pytest.raises(CommandError, match="open logical volume"):
            lvm.deactivate("vg0", disks)
        run("umount", str(tmp_path))
        lvm.deactivate("vg0", disks)
