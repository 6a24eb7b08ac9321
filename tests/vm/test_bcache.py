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

"""Sets of bcache are made, stopped and started again."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from ipa_partitions.disk import bcache
from ipa_partitions.disk.lock import locked
from ipa_partitions.errors import CommandError

pytestmark = pytest.mark.disks("300 MiB", "128 MiB")

MIB = 1024**2
MODES = ("writethrough", "writeback", "writearound", "none")


def run(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout.strip()


def a_set(disks, mode, cached=True):
    backing, *caches = disks
    return bcache.Set(
        device="/dev/bcache/one",
        uuid=str(uuid4()),
        backing=backing,
        caches=tuple(caches) if cached else (),
        mode=mode,
    )


def in_kernel(device, what):
    return Path("/sys/class/block", Path(device).name, "bcache", what)


def holders():
    return {*Path("/sys/block").glob("bcache*")} | {
        *Path("/sys/fs/bcache").glob("*-*")
    }


def filesystem(*where):
    shown = subprocess.run(
        ("blkid", "-p", "-o", "value", "-s", "TYPE", *where),
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return shown.stdout.strip()


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_a_set_is_as_large_as_its_backing_device_allows(disks, mode, cached):
    spec = a_set(disks, mode, cached)
    with locked(disks):
        for disk in disks:
            run("mkfs.ext4", "-q", disk)
        bcache.create(spec)
        assert int(run("blockdev", "--getsize64", spec.device)) == 299 * MIB
        assert filesystem(spec.device) == ""
        assert f"[{mode}]" in in_kernel(disks[0], "cache_mode").read_text()
        state = in_kernel(disks[0], "state").read_text().strip()
        assert state == ("clean" if cached else "no cache")
        found = bcache.examine(disks[0])
        assert (found.kind, found.set_uuid) == ("backing", spec.uuid)
        assert (found.mode, found.data_at_bytes) == (mode, MIB)
        bcache.stop(spec)
        assert not holders()
        bcache.start(spec)
        assert f"[{mode}]" in in_kernel(disks[0], "cache_mode").read_text()
        bcache.stop(spec)
        assert not Path(spec.device).is_symlink()


@pytest.mark.parametrize("mode", MODES)
def test_what_was_written_is_there_again(disks, tmp_path, mode):
    spec = a_set(disks, mode)
    with locked(disks):
        bcache.create(spec)
        in_kernel(disks[0], "writeback_running").write_text("0")
        # A cache that answers late, as on a busy machine, is passed by.
        for way in ("read", "write"):
            latest = f"cache/congested_{way}_threshold_us"
            in_kernel(disks[0], latest).write_text("0")
        run("mkfs.ext4", "-q", spec.device)
        run("mount", spec.device, str(tmp_path))
        (tmp_path / "file").write_bytes(b"written" * 10000)
        with pytest.raises(CommandError, match="is in use"):
            bcache.stop(spec)
        run("umount", str(tmp_path))
        bcache.stop(spec)
        found = bcache.examine(disks[0])
        # The lock keeps the disk open, and so what was read of it before.
        run("blockdev", "--flushbufs", disks[0])
        # What nobody has written back is in the cache alone.
        assert found.is_dirty == (mode == "writeback")
        beneath = filesystem("-O", str(found.data_at_bytes), disks[0])
        assert beneath == ("" if found.is_dirty else "ext4")
        bcache.start(spec)
        bcache.start(spec)
        run("mount", spec.device, str(tmp_path))
        read = (tmp_path / "file").read_bytes()
        run("umount", str(tmp_path))
        bcache.stop(spec)
    assert read == b"written" * 10000


@pytest.mark.disks("300 MiB", "200 MiB", sector_bytes=4096)
def test_large_sectors_stay_large(disks):
    spec = a_set(disks, "writeback")
    with locked(disks):
        bcache.create(spec)
        assert int(run("blockdev", "--getss", spec.device)) == 4096
        assert int(run("blockdev", "--getsize64", spec.device)) == 299 * MIB
        bcache.stop(spec)


def test_a_set_does_not_start_without_its_cache(disks):
    spec = a_set(disks, "writeback")
    with locked(disks):
        bcache.create(spec)
        bcache.stop(spec)
        run("wipefs", "--all", "--quiet", disks[1])
        with pytest.raises(CommandError, match="does not take it"):
            bcache.start(spec)
        bcache.stop(spec)
        assert not holders()


def test_udev_is_not_in_the_way(disks):
    spec = a_set(disks, "writeback")
    bcache.create(spec)
    run("udevadm", "settle")
    bcache.start(spec)
    for disk in disks:
        run("udevadm", "trigger", "--settle", disk)
    assert Path(spec.device).resolve() == Path(bcache.running(disks[0]))
    assert bcache.examine(disks[1]).set_uuid == spec.uuid
    bcache.stop(spec)
