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


from __future__ import annotations

import os
import stat

import pytest

from ipa_partitions.disk.mount import READ_ONLY, mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError
from ipa_partitions.run import run


def test_a_device_of_an_image_is_not_opened(tmp_path):
    os.mknod(tmp_path / "zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))

    with pytest.raises(ImageError, match="no ordinary file"):
        RootFs(tmp_path).read_bytes("/zero")


@pytest.mark.parametrize("file_system", ["ext4", "xfs", "btrfs"])
def test_a_mounted_root_is_written_and_read_back(loop_disk, file_system):
    disk = loop_disk(400)
    run(f"mkfs.{file_system}", "-q", disk)

    with mounted(disk) as where:
        root = RootFs(where)
        assert root.make_directory("/etc/x") == where / "etc/x"
        (where / "etc/x/link").symlink_to("/etc/x/file")
        root.write("/etc/x/file", b"\0" * 5000, mode=0o600)
        assert root.real_path("/etc/x/link") == "/etc/x/file"
    with mounted(disk, READ_ONLY) as where:
        root = RootFs(where)
        assert root.read_bytes("/etc/x/link") == b"\0" * 5000
        with pytest.raises(ImageError, match="Read-only file system"):
            root.write("/etc/x/file", b"")


def test_a_full_filesystem_keeps_the_old_file(loop_disk):
    disk = loop_disk(8)
    run("mkfs.ext4", "-q", disk)

    with mounted(disk) as where:
        root = RootFs(where)
        root.write("/file", "old")
        with pytest.raises(ImageError, match=r"'/file'.*No space left"):
            root.write("/file", b"x" * 2**24)
        assert root.list_directory("/") == ("file", "lost+found")
        assert root.read_text("/file") == "old"


def test_a_mount_inside_the_root_is_not_removed(loop_disk):
    disk, other = loop_disk(16), loop_disk(16)
    for device in (disk, other):
        run("mkfs.ext4", "-q", device)

    with mounted(disk) as where:
        root = RootFs(where)
        inner = root.make_directory("/grub/inner")
        with mounted(other, at=inner), pytest.raises(ImageError, match="busy"):
            root.remove_tree("/grub")
        root.remove_tree("/grub")
        assert root.list_directory("/") == ("lost+found",)


def test_a_tree_deeper_than_any_stack_is_an_error_or_removed(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)

    try:
        RootFs(tmp_path).remove_tree("/d")
    except ImageError:
        run("rm", "--recursive", str(tmp_path / "d"))
