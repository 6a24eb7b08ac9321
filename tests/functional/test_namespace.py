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

"""Mounts that are ours alone, and files that nobody may touch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ipa_partitions.disk.mount import mounted
from ipa_partitions.disk.namespace import (
    keep_own_mounts,
    with_one_writable,
    with_private_mounts,
)
from ipa_partitions.disk.probe import open_exclusively
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run
from tests import loops


@pytest.fixture
def filesystem(loop_disk):
    return made(loop_disk(64))


def made(device):
    subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)
    return device


def assert_is_free(device):
    os.close(open_exclusively(device, os.O_RDONLY, patience_s=0))


def test_what_is_busy_for_a_moment_is_unmounted_then(filesystem):
    # As by a program that another thread starts just now.
    with mounted(filesystem) as root:
        file = (root / "held").open("w")
        closing = threading.Timer(0.3, file.close)
        closing.start()
    closing.join()
    assert not loops.mount_points(filesystem)


def test_what_stays_busy_is_an_error(filesystem):
    with (
        pytest.raises(CommandError, match="busy"),
        mounted(filesystem) as root,
    ):
        file = (root / "held").open("w")
    file.close()
    subprocess.run(["umount", root], check=True)
    root.rmdir()


def test_what_the_kernel_could_not_write_is_an_error(tmp_path):
    """As of a bad sector: here there is no room for what is written back."""
    with mounted("tmpfs", "size=16m", kind="tmpfs") as small:
        disk = small / "disk"
        disk.touch()
        os.truncate(disk, 64 * 2**20)
        with loops.attached(disk) as device:
            made(device)
            with (
                pytest.raises(CommandError, match=f"{device}: cannot be writ"),
                mounted(device) as root,
            ):
                (root / "file").write_bytes(os.urandom(32 * 2**20))
    assert not loops.mount_points(device)


def test_nobody_else_sees_what_is_mounted(filesystem):
    def job():
        with mounted(filesystem) as where:
            (where / "file").write_text("here")
            inside = Path("/proc/thread-self/mounts").read_text()
            return filesystem in inside, Path("/proc/1/mounts").read_text()

    is_inside, outside = with_private_mounts(job)
    assert is_inside
    assert filesystem not in outside


def test_it_works_in_a_chroot(tmp_path):
    """Where "/" is no mount point: in a fresh root that is being tried."""
    folder = tmp_path / "root"
    for name in ("run", "tmp"):
        (folder / name).mkdir(parents=True)
    script = """
import os, sys
from ipa_partitions.disk import namespace
from ipa_partitions.disk.mount import PLACE
root, home = os.stat("/"), os.getcwd()
os.chroot(sys.argv[1])

def job():
    made = (PLACE / "made")
    made.mkdir()
    return made.exists(), os.stat("/").st_ino, os.getcwd()

namespace.mounted = lambda *_, **__: __import__("contextlib").nullcontext()
os.chdir("/tmp")
exists, inode, here = namespace.with_private_mounts(job)
assert exists and inode == os.stat("/").st_ino != root.st_ino
assert here == os.getcwd() == "/tmp"
assert os.path.exists("/run/ipa-partitions/made")
"""
    subprocess.run([sys.executable, "-c", script, folder], check=True)
    assert (folder / "run/ipa-partitions/made").is_dir()


def test_what_the_job_raises_is_raised():
    def job():
        raise CommandError("it is tired")

    with pytest.raises(CommandError, match="it is tired"):
        with_private_mounts(job)


def test_a_link_that_leads_out_changes_nothing(filesystem, tmp_path):
    """An archive over a system that made links before."""
    outside = tmp_path / "outside"
    outside.mkdir()
    hostile = tmp_path / "hostile"
    (hostile / "link").mkdir(parents=True)
    (hostile / "link" / "canary").write_text("dead")
    archive = tmp_path / "hostile.tar"
    # Only the file, not the directory that would replace the link.
    run("tar", "-C", str(hostile), "-cf", str(archive), "link/canary")

    def job():
        with mounted(filesystem) as tree:
            (tree / "link").symlink_to(outside)
            with pytest.raises(CommandError, match="Read-only file system"):
                with_one_writable(
                    tree,
                    lambda: run("tar", "-C", str(tree), "-xf", str(archive)),
                )
            with_one_writable(tree, lambda: run("touch", str(tree / "own")))
            return (tree / "own").exists()

    assert with_private_mounts(job)
    assert list(outside.iterdir()) == []
    (outside / "still").write_text("writable for everybody else")


def test_what_was_written_is_on_the_device_when_it_is_unmounted(filesystem):
    """And not when the kernel has ended the thread that wrote it."""

    def write(tree):
        (tree / "file").write_bytes(os.urandom(16 * 2**20))

    def job():
        with mounted(filesystem) as tree:
            with_one_writable(tree, lambda: write(tree))
        assert_is_free(filesystem)

    for _ in range(3):
        with_private_mounts(job)


def test_no_action_holds_what_another_one_had_mounted(filesystem, loop_disk):
    other = made(loop_disk(64))
    is_mounted, is_copied, is_over = (threading.Event() for _ in range(3))

    def short():
        keep_own_mounts()
        with mounted(filesystem):
            is_mounted.set()
            assert is_copied.wait(60)
        assert_is_free(filesystem)

    def long():
        keep_own_mounts()
        assert is_mounted.wait(60)
        with mounted(other) as tree:
            with_one_writable(tree, wait)

    def wait():
        is_copied.set()
        assert is_over.wait(60)

    def job():
        with ThreadPoolExecutor(2) as pool:
            running = pool.submit(long)
            try:
                pool.submit(short).result()
            finally:
                is_over.set()
            running.result()

    with_private_mounts(job)
