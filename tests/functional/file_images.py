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

"""Images of files: a system to make one of, and what is deployed of it."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ipa_partitions import resolved
from ipa_partitions.actions.image import DeployImage
from ipa_partitions.disk.mount import mounted
from ipa_partitions.disk.tree import mounted_tree
from ipa_partitions.layout import model
from ipa_partitions.progress import Progress, Whole, listening

MIB = 1024**2
UUID = "2abf123d-d52f-4f62-a351-7358221bc51f"
FLAGS = ("-a", "-A", "-X")

# linux/posix_acl_xattr.h: version 2; owner rw, user 777 r, group, mask, others
ACL = struct.pack(
    "<I" + 5 * "HHI",
    2, 1, 6, 2**32 - 1, 2, 4, 777, 4, 4, 2**32 - 1,
    16, 4, 2**32 - 1, 32, 4, 2**32 - 1,
)  # fmt: skip
# linux/capability.h: revision 2, effective; CAP_NET_RAW
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)

SELINUX = b"system_u:object_r:bin_t:s0\0"

# What a program could take for an option, two files, or no text.
ODD_NAMES = (
    b"-rf", b"a\nb", b"a b ", b"\xff\xfe", b"*", b"'\"\\", b"x" * 255,
    b"\x01\x1b[31m", b"caf\xc3\xa9",
)  # fmt: skip

LoopDisk = Callable[..., str]


def run(*argv: str) -> str:
    """Run a program that must not fail."""
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout


@contextmanager
def system_tree(disk: str) -> Iterator[Path]:
    """Yield, on ``disk``, a small system with all that a file can have."""
    run("mkfs.ext4", "-q", disk)
    with mounted(disk, "rw") as root:
        (root / "lost+found").rmdir()
        for name in ("etc", "usr/bin", "var/lib/data", "var/log"):
            (root / name).mkdir(parents=True)
        (root / "etc/hostname").write_text("there")
        (root / "var/lib/data/deep").write_text("deep")
        (root / "var/log/messages").write_text("log")
        (root / "var/lib/data").chmod(0o1770)
        tool = root / "usr/bin/tool"
        tool.write_text("tool")
        tool.chmod(0o4755)
        os.chown(tool, 12345, 54321)
        os.link(tool, root / "usr/bin/linked")
        os.link(tool, root / "etc/linked")
        (root / "bin").symlink_to("usr/bin")
        (root / "etc/mtab").symlink_to("/proc/self/mounts")
        os.mkfifo(root / "etc/fifo")
        os.mknod(root / "etc/null", 0o20666, os.makedev(1, 3))
        for name in ODD_NAMES:
            (root / "var/log" / os.fsdecode(name)).write_bytes(name)
        with (root / "etc/sparse").open("wb") as sparse:
            sparse.truncate(8 * MIB)
            sparse.write(b"x")
        os.setxattr(root / "etc/hostname", "system.posix_acl_access", ACL)
        os.setxattr(tool, "user.note", b"kept")
        os.setxattr(tool, "trusted.note", b"kept, too")
        os.setxattr(tool, "security.selinux", SELINUX)
        os.setxattr(tool, "security.capability", CAPABILITY)
        for path in root.rglob("*"):
            # Whole seconds: mkfs knows no others.
            os.utime(path, (10**9, 10**9), follow_symlinks=False)
        yield root


def check_copy(original: Path, copy: Path) -> None:
    """Compare all that the files have."""
    for path in original.rglob("*"):
        other = copy / path.relative_to(original)
        mine, its = path.lstat(), other.lstat()
        keys = ["st_mode", "st_uid", "st_gid", "st_rdev"]
        # A directory counts lost+found, where it is on a volume of its own.
        keys += [] if path.is_dir() else ["st_nlink"]
        for key in keys:
            assert getattr(its, key) == getattr(mine, key), (key, path)
        if path.is_symlink():
            assert other.readlink() == path.readlink()
        elif path.is_file():
            if path.name == "linked":
                assert other.samefile(copy / "usr/bin/tool")
            assert its.st_mtime_ns == mine.st_mtime_ns
            assert other.read_bytes() == path.read_bytes()
            names = os.listxattr(path)
            assert sorted(os.listxattr(other)) == sorted(names)
            for name in names:
                assert os.getxattr(other, name) == os.getxattr(path, name)
    assert (copy / "etc/sparse").stat().st_blocks * 512 < MIB


@contextmanager
def told() -> Iterator[list[Progress]]:
    """Yield what is told of the progress of one action."""
    seen: list[Progress] = []
    with listening(Whole(seen.append, 1), "deploy", 1):
        yield seen


def volume(device: str, mount: str, size_mib: int = 64) -> resolved.Volume:
    """Return a volume with an ext4 to deploy to."""
    content = model.Content("ext4", mount, label="x")
    return resolved.Volume("$", mount, device, size_mib * MIB, content, UUID)


def action(
    url: str,
    *volumes: resolved.Volume,
    disk_format: str = "tar",
    compression: str = "none",
    target: str = "/",
    digest: str | None = None,
    kind: Literal["os", "data"] = "os",
) -> DeployImage:
    """Return the action that deploys the image to the volumes."""
    image = model.Image(
        at="$.images[0]",
        name="debian12",
        boot=True,
        image_name="debian12",
        image_uuid=None,
        url=url,
        target=target,
        disk_format=disk_format,
        compression=compression,
        checksum=model.Checksum("sha256", digest) if digest else None,
        deploy="auto",
        type=kind,
    )
    return DeployImage(resolved.System(image, volumes, (), True), FLAGS)


def three_volumes(
    loop_disk: LoopDisk, size_mib: int = 64
) -> list[resolved.Volume]:
    """Make the volumes of a tree."""
    volumes = [
        volume(loop_disk(size_mib), mount, size_mib)
        for mount in ("/", "/var", "/var/lib")
    ]
    for each in volumes:
        run("mkfs.ext4", "-q", each.device)
    return volumes


def check_spread(volumes: list[resolved.Volume], original: Path) -> None:
    """Check that all is there, and each file on the volume it belongs to."""
    mounts = [v.place for v in volumes]
    with mounted_tree(mounts) as root:
        check_copy(original, root)
    with mounted(volumes[0].device) as root:
        assert list((root / "var").iterdir()) == []
    with mounted(volumes[1].device) as var:
        assert (var / "log/messages").read_text() == "log"
        assert list((var / "lib").iterdir()) == []
    with mounted(volumes[2].device) as lib:
        assert (lib / "data/deep").read_text() == "deep"
