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

"""Squashfs images: fetched, checked, and only then copied file by file."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from ipa_partitions import progress, resolved
from ipa_partitions.disk.mount import mounted
from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.images import ahead
from tests.functional.file_images import (
    MIB,
    LoopDisk,
    action,
    check_copy,
    check_spread,
    run,
    three_volumes,
    told,
    volume,
)
from tests.servers import Server


def image_of(tree: Path, file: Path) -> str:
    """Make ``file`` of ``tree``, and return its digest."""
    plain = file.with_suffix("") if file.suffix == ".zst" else file
    # Not padded: its end is no whole sector.
    run(
        "mksquashfs", str(tree), str(plain), "-no-progress", "-nopad",
        "-Xcompression-level", "1",
    )  # fmt: skip
    if plain != file:
        file.write_bytes(zstandard.compress(plain.read_bytes()))
    return hashlib.sha256(file.read_bytes()).hexdigest()


def ext4_volume(
    loop_disk: LoopDisk, where: str = "/", size_mib: int = 64
) -> resolved.Volume:
    made = volume(loop_disk(size_mib), where, size_mib)
    run("mkfs.ext4", "-q", made.device)
    return made


@pytest.mark.parametrize("name", ["x.squashfs", "x.squashfs.zst"])
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_squashfs_is_laid_over_all_volumes(
    server: Server,
    loop_disk: LoopDisk,
    system_tree: Path,
    name: str,
    scheme: str,
) -> None:
    # The format has no ACLs.
    os.removexattr(system_tree / "etc/hostname", "system.posix_acl_access")
    digest = image_of(system_tree, server.folder / name)
    volumes = three_volumes(loop_disk)
    base = server.url if scheme == "http" else f"file://{server.folder}"
    deploy = action(
        f"{base}/{name}",
        *volumes,
        disk_format="squashfs",
        compression="zstd" if name.endswith("zst") else "none",
        digest=digest,
    )
    deploy.validate()
    deploy.execute()
    check_spread(volumes, system_tree)


def test_data_is_laid_below_its_target(
    server: Server, loop_disk: LoopDisk, system_tree: Path
) -> None:
    os.removexattr(system_tree / "etc/hostname", "system.posix_acl_access")
    digest = image_of(system_tree, server.folder / "x")
    data = ext4_volume(loop_disk, "/srv")
    action(
        f"{server.url}/x",
        data,
        disk_format="squashfs",
        target="/srv/set1",
        digest=digest,
    ).execute()
    with mounted(data.device) as root:
        check_copy(system_tree, root / "set1")


def test_an_update_in_place_overwrites_files_and_leaves_others(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    canary.write_text("canary")
    kept = replace(ext4_volume(loop_disk), is_new=False)
    with mounted(kept.device) as root:
        (root / "own").write_text("own")
        (root / "same").write_text("old")
        os.utime(root / "same", (10**9, 10**9))
        (root / "one").write_text("old")
        os.link(root / "one", root / "two")
        (root / "linked").symlink_to("own")
        (root / "out").symlink_to(canary)
        (root / "dir").symlink_to(tmp_path)
    tree = tmp_path / "tree"
    (tree / "dir").mkdir(parents=True)
    for name in ("same", "one", "two", "linked", "out", "dir/canary"):
        (tree / name).write_text("new" if name == "same" else f"new {name}")
        os.utime(tree / name, (10**9, 10**9))
    digest = image_of(tree, server.folder / "x")
    deploy = action(
        f"{server.url}/x", kept, disk_format="squashfs", digest=digest
    )
    deploy.validate()
    deploy.execute()
    with mounted(kept.device) as root:
        for path in tree.rglob("*"):
            other = root / path.relative_to(tree)
            assert not other.is_symlink()
            assert path.is_dir() or other.read_text() == path.read_text()
        assert (root / "own").read_text() == "own"
    assert canary.read_text() == "canary"


def test_what_is_kept_meanwhile_has_the_most_room_and_then_is_gone(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "large").write_bytes(random.Random(0).randbytes(20 * MIB))
    digest = image_of(tree, server.folder / "x")
    # The root has no room for the image and what is in it.
    root = ext4_volume(loop_disk, "/", 32)
    var = ext4_volume(loop_disk, "/var")
    deploy = action(
        f"{server.url}/x", root, var, disk_format="squashfs", digest=digest
    )
    deploy.validate()
    deploy.execute()
    with mounted(var.device) as there:
        space = os.statvfs(there)
        assert (space.f_blocks - space.f_bfree) * space.f_frsize < MIB
    with mounted(root.device) as there:
        assert (there / "large").stat().st_size == 20 * MIB


@pytest.mark.parametrize("is_new", [True, False])
def test_progress_is_of_the_download_and_then_of_the_files(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_new: bool,
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 0)
    # The reader is not at the end before the first block is looked at.
    monkeypatch.setattr(ahead, "BUFFERS", 2)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "large").write_bytes(random.Random(0).randbytes(20 * MIB))
    digest = image_of(tree, server.folder / "x")
    size_bytes = (server.folder / "x").stat().st_size
    root = ext4_volume(loop_disk)
    if not is_new:
        with mounted(root.device) as there:
            (there / "large").write_text("old")
    deploy = action(
        f"{server.url}/x", root, disk_format="squashfs", digest=digest
    )
    with told() as seen:
        deploy.execute()
    assert seen[-1].bytes == seen[-1].total_bytes == 2 * size_bytes
    # In the middle all is there, and nothing of it is a file yet.
    assert (size_bytes, 2 * size_bytes) in [
        (each.bytes, each.total_bytes) for each in seen
    ]


@pytest.mark.parametrize(("problem", "expected"), [
    ("digest", "its sha256 is"),
    ("bomb", "/x: .*No space left"),
    ("damaged", "/x: .*squashfs.*Failed to read"),
    ("large", r"its \d+ bytes do not fit into \d+"),
])  # fmt: skip
@pytest.mark.parametrize("is_new", [True, False])
def test_when_it_fails_a_new_root_cannot_be_mounted_and_a_kept_one_can(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    problem: str,
    expected: str,
    is_new: bool,
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("from the image")
    if problem == "bomb":
        (tree / "large").write_bytes(b"bomb" * (10 * MIB))
    if problem == "large":
        (tree / "large").write_bytes(random.Random(0).randbytes(33 * MIB))
    image = server.folder / "x"
    digest = image_of(tree, image)
    if problem == "damaged":
        os.truncate(image, 96)
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
    root = replace(ext4_volume(loop_disk, size_mib=32), is_new=is_new)
    deploy = action(
        f"{server.url}/x",
        root,
        disk_format="squashfs",
        digest="0" * 64 if problem == "digest" else digest,
    )
    with pytest.raises(ImageError, match=expected):
        deploy.execute()
    if is_new:
        with pytest.raises(CommandError), mounted(root.device):
            pass
    else:
        with mounted(root.device) as there:
            names = {path.name for path in there.iterdir()}
        assert ("file" in names) == (problem == "bomb")
        # What did not fit may be there in part.
        assert names <= {"lost+found", "file", "large"}
        assert ("large" in names) <= (problem == "bomb")


@pytest.mark.parametrize("is_new", [True, False])
def test_data_may_hold_no_device(
    server: Server, loop_disk: LoopDisk, tmp_path: Path, is_new: bool
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mknod(tree / "null", 0o20666, os.makedev(1, 3))
    digest = image_of(tree, server.folder / "x")
    data = replace(ext4_volume(loop_disk, "/srv"), is_new=is_new)
    if not is_new:
        with mounted(data.device) as root:
            (root / "old").write_text("old")
    deploy = action(
        f"{server.url}/x", data, disk_format="squashfs", target="/srv",
        digest=digest, kind="data",
    )  # fmt: skip
    with pytest.raises(ImageError, match=r"/x: .*Operation not permitted"):
        deploy.execute()
    if not is_new:
        with mounted(data.device) as root:
            assert not (root / "null").exists()
            assert (root / "old").read_text() == "old"


@pytest.mark.parametrize(("content", "problem"), [
    (b"QFI\xfb" + bytes(9999), "is qcow2, not squashfs"),
    (b"hello" * 999, "is something else, not squashfs"),
    (b"hsqs" + bytes(36) + (2**16).to_bytes(8, "little"),
     "is cut: 48 bytes, and its squashfs has 65536"),
    (b"hsqs" + bytes(36) + (2**40).to_bytes(8, "little"),
     f"its {2**40} bytes do not fit into {64 * MIB}"),
])  # fmt: skip
def test_what_is_not_as_declared_is_known_before(
    server: Server, content: bytes, problem: str
) -> None:
    (server.folder / "x").write_bytes(content)
    deploy = action(
        f"{server.url}/x", volume("/dev/null", "/"), disk_format="squashfs"
    )
    with pytest.raises(ImageError, match=problem):
        deploy.validate()
