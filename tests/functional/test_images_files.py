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

"""File images, the tree they are laid into, and the action that does it."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ipa_partitions.actions.spread import SpreadImage
from ipa_partitions.disk.mount import mounted
from ipa_partitions.disk.tree import Mount, mounted_tree
from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.images.deployers.block import read_uuid
from ipa_partitions.images.sources import rsync
from ipa_partitions.images.sources.rsync import RSYNC
from tests.functional.file_images import (
    MIB,
    UUID,
    LoopDisk,
    action,
    check_copy,
    check_spread,
    run,
    three_volumes,
    told,
    volume,
)
from tests.servers import Server, rsync_daemon


def archive(tree: Path, file: Path) -> str:
    """Make ``file`` of ``tree``, and return its digest."""
    run(
        "tar", "--create", f"--file={file}", f"--directory={tree}",
        "--xattrs", "--xattrs-include=*", "--acls", "--sparse", ".",
    )  # fmt: skip
    if file.suffix == ".zst":
        file.write_bytes(zstandard.compress(file.read_bytes()))
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("are_new", [(1, 1), (0, 0), (1, 0), (0, 1)])
def test_of_an_archive_that_is_another_nothing_can_be_used(
    server: Server,
    loop_disk: LoopDisk,
    system_tree: Path,
    are_new: tuple[int, int],
) -> None:
    archive(system_tree, server.folder / "x.tar.zst")
    volumes = [volume(loop_disk(64), mount) for mount in ("/", "/var")]
    for number, (each, is_new) in enumerate(
        zip(volumes, are_new, strict=True)
    ):
        content = replace(each.content, images=("debian12",))
        volumes[number] = replace(each, is_new=bool(is_new), content=content)
        run("mkfs.ext4", "-q", each.device)
        if not is_new:
            with mounted(each.device) as there:
                (there / "kept").write_text("from before")
    deploy = action(
        f"{server.url}/x.tar.zst",
        *volumes,
        compression="zstd",
        digest="0" * 64,
    )
    with pytest.raises(ImageError, match="its sha256 is"):
        deploy.execute()
    for each in volumes:
        if each.is_new:
            with pytest.raises(CommandError), mounted(each.device):
                pass
        else:
            with mounted(each.device) as there:
                found = {path.name for path in there.iterdir()}
            assert found - {"var"} == {"kept", "lost+found"}


@pytest.mark.parametrize("name", ["x.tar", "x.tar.zst"])
def test_an_archive_is_laid_over_all_volumes(
    server: Server, loop_disk: LoopDisk, system_tree: Path, name: str
) -> None:
    digest = archive(system_tree, server.folder / name)
    volumes = three_volumes(loop_disk)
    deploy = action(
        f"{server.url}/{name}",
        *volumes,
        compression="zstd" if name.endswith("zst") else "none",
        digest=digest,
    )
    deploy.validate()
    deploy.execute()
    check_spread(volumes, system_tree)


def test_a_directory_of_an_rsync_daemon_is_laid_over_all_volumes(
    tmp_path: Path, loop_disk: LoopDisk, system_tree: Path
) -> None:
    volumes = three_volumes(loop_disk)
    with rsync_daemon(system_tree, tmp_path) as host:
        url = f"rsync://{host}/images/"
        deploy = action(url, *volumes, disk_format="dir")
        deploy.validate()
        deploy.execute()
    check_spread(volumes, system_tree)


def test_a_daemon_s_password_is_in_the_ramdisk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsync, "RAMDISK", tmp_path)
    (tmp_path / "served").mkdir()
    with rsync_daemon(tmp_path / "served", tmp_path, "hunter2") as host:
        url = f"rsync://user@{host}/images"
        with pytest.raises(ImageError, match="rsync") as raised:
            RSYNC.check(url)
        assert "user" not in str(raised.value)
        file = tmp_path / "rsync_password"
        file.write_text("hunter2\n")
        file.chmod(0o600)
        RSYNC.check(url)


def test_how_far_rsync_is_is_told(tmp_path: Path) -> None:
    served, copy = tmp_path / "served", tmp_path / "copy"
    for folder in (served, copy):
        folder.mkdir()
    for number in range(20):
        (served / str(number)).write_bytes(bytes([number]) * MIB)
    with rsync_daemon(served, tmp_path) as host, told() as seen:
        RSYNC.copy(f"rsync://{host}/images", copy, ("-a",))
    assert len(list(copy.iterdir())) == 20
    assert seen[-1].bytes == seen[-1].total_bytes == 20 * MIB


def test_a_daemon_that_stalls_ends_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsync, "_RSYNC", ("rsync", "--timeout=1"))
    monkeypatch.setattr(rsync, "CONNECT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rsync://127.0.0.1:{silent.getsockname()[1]}/images"
        for way in (
            lambda: RSYNC.check(url),
            lambda: RSYNC.copy(url, tmp_path, ("-a",)),
        ):
            with pytest.raises(ImageError, match="timeout"):
                way()


@pytest.mark.parametrize(
    "path", ["nothing/here", "images/nothing", "images/f"]
)
def test_a_directory_that_is_not_there_is_known_before(
    tmp_path: Path, path: str
) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/f").write_text("a file")
    with rsync_daemon(tmp_path / "served", tmp_path) as host:
        url = f"rsync://secret@{host}/{path}"
        deploy = action(url, volume("/dev/null", "/"), disk_format="dir")
        with pytest.raises(ImageError, match=path) as raised:
            deploy.validate()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "size_mib", "disk_format"),
    [
        pytest.param("ext4", 40, "raw", id="as the root is"),
        pytest.param("ext2", 40, "raw", id="of another kind"),
        pytest.param("xfs", 320, "raw", id="of another kind, and large"),
        pytest.param("ext4", 300, "raw", id="larger than the root"),
        pytest.param("ext4", 300, "qcow2", id="larger, as qcow2"),
    ],
)
def test_a_block_image_is_spread_over_all_volumes(
    server: Server,
    tmp_path: Path,
    loop_disk: LoopDisk,
    system_tree: Path,
    kind: str,
    size_mib: int,
    disk_format: str,
) -> None:
    data = tmp_path / "x.raw"
    data.write_bytes(b"")
    os.truncate(data, size_mib * MIB)
    run(f"mkfs.{kind}", "-q", str(data))
    with mounted(str(data), "loop") as top:
        run("rsync", "-aHAXS", f"{system_tree}/", f"{top}/")
    served = server.folder / f"x.{disk_format}"
    run("qemu-img", "convert", "-O", disk_format, str(data), str(served))
    volumes = three_volumes(loop_disk, 256)
    deploy = action(
        f"{server.url}/{served.name}",
        *volumes,
        disk_format=disk_format,
        digest=hashlib.sha256(served.read_bytes()).hexdigest(),
    )
    deploy.validate()
    with told() as seen:
        deploy.execute()
    assert seen[-1].bytes == seen[-1].total_bytes
    SpreadImage(deploy.system).execute()
    check_spread(volumes, system_tree)
    assert read_uuid(volumes[0].device) == UUID
    assert file_system_of(volumes[0].device) == "ext4"


def file_system_of(device: str) -> str:
    return run("blkid", "--probe", "-o", "value", "-s", "TYPE", device).strip()


@pytest.mark.parametrize("problem", ["digest", "member", "space"])
def test_when_files_fail_nobody_can_mount_the_root(
    server: Server, loop_disk: LoopDisk, problem: str
) -> None:
    file = server.folder / "x.tar"
    with tarfile.open(file, "w") as tar:
        large = tarfile.TarInfo("large")
        large.size = (70 if problem == "space" else 1) * MIB
        tar.addfile(large, BytesIO(bytes(large.size)))
        if problem == "member":
            tar.addfile(tarfile.TarInfo("../../evil"))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    root = volume(loop_disk(64), "/")
    run("mkfs.ext4", "-q", root.device)
    deploy = action(
        f"{server.url}/x.tar",
        root,
        digest="0" * 64 if problem == "digest" else digest,
    )
    expected = {
        "digest": "its sha256 is",
        "member": r"contains '\.\.'",
        "space": "Wrote only|No space left",
    }
    with pytest.raises(ImageError, match=expected[problem]):
        deploy.execute()
    assert subprocess.run(["blkid", "--probe", root.device]).returncode == 2


def test_links_of_an_archive_lead_nowhere_else(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    with tarfile.open(server.folder / "x.tar", "w") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, str(canary)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("out/evil"))
        tar.addfile(tarfile.TarInfo(f"{canary}/evil"))
    root = volume(loop_disk(64), "/")
    run("mkfs.ext4", "-q", root.device)
    with pytest.raises(ImageError, match="out/evil"):
        action(f"{server.url}/x.tar", root).execute()
    assert list(canary.iterdir()) == []


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Any:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def _noisy(count: int) -> list[Any]:
    """Return members of which tar has something to say."""
    members = [_member(f"noise{number}") for number in range(count)]
    for member in members:
        member.pax_headers = {"VENDOR.unheard.of": "x"}
    return members


@pytest.mark.parametrize(("members", "problem"), [
    ([_member("/etc/evil")], "has member names that begin with '/'"),
    ([*_noisy(99), _member("/etc/evil"), *_noisy(99)],
     "has member names that begin with '/'"),
    ([_member("a/../../evil")], r"contains '\.\.'"),
    ([_member("evil", tarfile.LNKTYPE, "/etc/passwd")],
     "Cannot hard link to"),
    ([_member("a"), _member("evil", tarfile.LNKTYPE, "/a")],
     "has hard link targets that begin with '/'"),
    ([_member("evil", tarfile.LNKTYPE, "../../etc/passwd")],
     "Cannot hard link to"),
    ([_member("out", tarfile.SYMTYPE, "../.."), _member("out/evil")],
     "out/evil"),
    ([_member("null", tarfile.CHRTYPE)], "Operation not permitted"),
    ([_member("disk", tarfile.BLKTYPE)], "Operation not permitted"),
])  # fmt: skip
def test_an_archive_that_leads_out_is_refused_by_name(
    server: Server, loop_disk: LoopDisk, members: list[Any], problem: str
) -> None:
    with tarfile.open(server.folder / "x.tar", "w") as tar:
        for member in members:
            member.devmajor, member.devminor = 1, 3
            tar.addfile(member)
    root = volume(loop_disk(64), "/srv")
    run("mkfs.ext4", "-q", root.device)
    deploy = action(
        f"{server.url}/x.tar", root, target="/srv/data", kind="data"
    )
    with pytest.raises(ImageError, match=rf"(?s)/x\.tar: .*{problem}"):
        deploy.execute()
    assert subprocess.run(["blkid", "--probe", root.device]).returncode == 2


def test_the_directory_of_data_may_hold_no_device(
    tmp_path: Path, loop_disk: LoopDisk
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    os.mknod(served / "null", 0o20666, os.makedev(1, 3))
    root = volume(loop_disk(64), "/srv")
    run("mkfs.ext4", "-q", root.device)
    with rsync_daemon(served, tmp_path) as host:
        deploy = action(
            f"rsync://{host}/images/", root, disk_format="dir", kind="data",
            target="/srv",
        )  # fmt: skip
        with pytest.raises(ImageError, match="Operation not permitted"):
            deploy.execute()


@pytest.mark.parametrize(("content", "disk_format", "problem"), [
    (b"QFI\xfb" + bytes(9999), "tar", "is qcow2, not tar"),
    (b"hello" * 999, "tar", "is something else, not tar"),
    (b"hello" * 999, "dir", "is a file, not a tree"),
])  # fmt: skip
def test_files_that_are_not_as_declared_are_known_before(
    server: Server, content: bytes, disk_format: str, problem: str
) -> None:
    (server.folder / "x").write_bytes(content)
    deploy = action(
        f"{server.url}/x", volume("/dev/null", "/"), disk_format=disk_format
    )
    with pytest.raises(ImageError, match=problem):
        deploy.validate()


def test_data_is_laid_onto_its_own_volume_below_its_target(
    server: Server, loop_disk: LoopDisk, system_tree: Path
) -> None:
    archive(system_tree, server.folder / "x.tar")
    data = volume(loop_disk(64), "/srv/data")
    run("mkfs.ext4", "-q", data.device)
    deploy = action(f"{server.url}/x.tar", data, target="/srv/data/set1")
    deploy.execute()
    with mounted(data.device) as root:
        check_copy(system_tree, root / "set1")


def test_the_links_of_a_root_do_not_move_mount_points(
    loop_disk: LoopDisk, tmp_path: Path
) -> None:
    root, other = loop_disk(64), loop_disk(64)
    for disk in (root, other):
        run("mkfs.ext4", "-q", disk)
    canary = tmp_path / "canary"
    canary.mkdir()
    with mounted(root) as tree:
        (tree / "var").symlink_to(canary)
        (tree / f".{canary}").mkdir(parents=True)
    with mounted_tree([Mount(root, "/"), Mount(other, "/var/lib")]) as tree:
        assert (tree / f".{canary}/lib/lost+found").is_dir()
    assert list(canary.iterdir()) == []


def test_a_volume_that_cannot_be_mounted_leaves_none_mounted(
    loop_disk: LoopDisk,
) -> None:
    root, blank = loop_disk(64), loop_disk(64)
    run("mkfs.ext4", "-q", root)
    with (
        pytest.raises(CommandError, match="mount"),
        mounted_tree([Mount(root, "/"), Mount(blank, "/var")]),
    ):
        raise AssertionError("must not get here")
    assert root not in Path("/proc/self/mounts").read_text()


def test_the_plan_says_what_comes_from_where_and_no_secret() -> None:
    deploy = action(
        "http://user:pw@host/x.raw.zst?token=t",
        volume("/dev/vda3", "/"),
        disk_format="raw",
        compression="zstd",
    )
    assert str(deploy) == (
        "deploy debian12 (raw, zstd) from http://host/x.raw.zst to /dev/vda3"
    )
    assert deploy.devices == {"/dev/vda3"}
    assert {"e2fsck", "tune2fs", "resize2fs"} <= set(deploy.tools)
    other = replace(
        deploy,
        system=replace(
            deploy.system,
            image=replace(deploy.system.image, disk_format="odd"),
        ),
    )
    assert "mount" in other.tools
    with pytest.raises(ImageError, match=r"nothing deploys odd, only .*raw"):
        other.validate()
