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

"""Raw images on loop devices."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from ipa_partitions import progress
from ipa_partitions.disk.mount import mounted
from ipa_partitions.errors import ActionError, ImageError
from ipa_partitions.images import device
from ipa_partitions.images.deployers import BlockTarget
from ipa_partitions.images.deployers.block import read_uuid
from ipa_partitions.images.deployers.raw import RAW
from ipa_partitions.images.image import Image
from tests.servers import Faults, Server

MIB = 1024**2
UUID = "2abf123d-d52f-4f62-a351-7358221bc51f"
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": zstandard.compress,
}
MKFS = {
    "ext2": ("mkfs.ext2", "-q", "-F"),
    "ext3": ("mkfs.ext3", "-q", "-F"),
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
    "vfat": ("mkfs.vfat",),
    "swap": ("mkswap", "-q"),
}

LoopDisk = Callable[..., str]


def run(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout


def serve(
    server: Server, data: bytes, compression: str = "none", name: str = "x.raw"
) -> Image:
    packed = PACKERS[compression](data)
    (server.folder / name).write_bytes(packed)
    return Image(
        "x",
        f"{server.url}/{name}",
        compression=compression,
        algorithm="sha256",
        digest=hashlib.sha256(packed).hexdigest(),
    )


def file_system(path: Path, name: str, size_mib: int) -> bytes:
    """Return an image of a filesystem with a file in it."""
    path.write_bytes(b"")
    os.truncate(path, size_mib * MIB)
    run(*MKFS[name], str(path))
    if name not in ("vfat", "swap"):  # vfat this kernel may not have
        with mounted(str(path), "loop") as root:
            (root / "hello").write_text("world")
    return path.read_bytes()


def patchy(size_bytes: int) -> bytes:
    """Return data and runs of zeroes of all lengths."""
    dice = random.Random(3)
    data = bytearray()
    while len(data) < size_bytes:
        run_bytes = dice.choice([1, 511, 4096, 65536, 65537, 131072, MIB])
        data += dice.choice([bytes(run_bytes), dice.randbytes(run_bytes)])
    return bytes(data[:size_bytes])


def fill(disk: str, size_mib: int) -> None:
    Path(disk).write_bytes(b"\xff" * (size_mib * MIB))


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("sector_bytes", [512, 4096])
@pytest.mark.parametrize("size_bytes", [511, MIB, 5 * MIB + 1, 16 * MIB])
@pytest.mark.parametrize("can_punch", [True, False])
def test_a_device_full_of_ones_becomes_the_image(
    server: Server,
    loop_disk: LoopDisk,
    monkeypatch: pytest.MonkeyPatch,
    compression: str,
    sector_bytes: int,
    size_bytes: int,
    can_punch: bool,
) -> None:
    if not can_punch:
        monkeypatch.setattr(device, "_punch", lambda *_: False)
    disk = loop_disk(16, sector_bytes)
    fill(disk, 16)
    data = patchy(size_bytes)
    image = serve(server, data, compression)
    RAW.execute(image, BlockTarget(disk, 16 * MIB, "none", ""))
    with Path(disk).open("rb") as written:
        assert written.read(size_bytes) == data


@pytest.mark.parametrize("name", ["ext2", "ext3", "ext4", "xfs", "btrfs"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_filesystem_is_renewed_and_grows(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    name: str,
    compression: str,
) -> None:
    data = file_system(tmp_path / "fs", name, 320)
    disk = loop_disk(600)
    target = BlockTarget(disk, 600 * MIB, name, UUID, "rootfs")
    image = serve(server, data, compression)
    RAW.validate(image, target)
    RAW.execute(image, target)
    assert read_uuid(disk) == UUID
    label = run("blkid", "--probe", "-s", "LABEL", "-o", "value", disk)
    assert label.strip() == "rootfs"
    with mounted(disk) as root:
        assert (root / "hello").read_text() == "world"
        space = os.statvfs(root)
        assert space.f_blocks * space.f_frsize > 480 * MIB


@pytest.mark.parametrize(
    ("name", "uuid"), [("vfat", "ABCD-1234"), ("swap", UUID)]
)
def test_what_does_not_grow_is_renewed(
    server: Server, loop_disk: LoopDisk, tmp_path: Path, name: str, uuid: str
) -> None:
    data = file_system(tmp_path / "fs", name, 64)
    disk = loop_disk(100)
    target = BlockTarget(disk, 100 * MIB, name, uuid, "ROOT")
    image = serve(server, data)
    RAW.validate(image, target)
    RAW.execute(image, target)
    assert read_uuid(disk) == uuid


def test_two_copies_of_an_image_are_mounted_side_by_side(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    image = serve(server, file_system(tmp_path / "fs", "xfs", 320))
    disks = loop_disk(400), loop_disk(400)
    for number, disk in enumerate(disks):
        uuid = UUID[:-1] + str(number)
        RAW.execute(image, BlockTarget(disk, 400 * MIB, "xfs", uuid))
    with mounted(disks[0]) as one, mounted(disks[1]) as two:
        assert (one / "hello").read_text() == (two / "hello").read_text()


@pytest.mark.parametrize(("change", "problem"), [
    ({"digest": "0" * 64}, r"its sha256 is [0-9a-f]{64}, not 0000"),
    ({"compression": "gzip"}, "its compression is none"),
])  # fmt: skip
def test_a_wrong_image_leaves_nothing_to_mount(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    change: dict[str, str],
    problem: str,
) -> None:
    image = serve(server, file_system(tmp_path / "fs", "ext4", 32))
    disk = loop_disk(64)
    target = BlockTarget(disk, 64 * MIB, "ext4", UUID)
    RAW.execute(image, target)
    with pytest.raises(ImageError, match=problem):
        RAW.execute(replace(image, **change), target)
    with Path(disk).open("rb") as written:
        assert not any(written.read(MIB))


def test_a_download_that_ends_for_good_leaves_nothing_to_mount(
    server: Server, loop_disk: LoopDisk
) -> None:
    image = replace(serve(server, patchy(8 * MIB)), digest=None)
    server.faults = Faults(cuts=[4 * MIB], statuses=[0, 404])
    disk = loop_disk(16)
    fill(disk, 16)
    with pytest.raises(ImageError, match="HTTP 404"):
        RAW.execute(image, BlockTarget(disk, 16 * MIB, "none", ""))
    with Path(disk).open("rb") as written:
        assert not any(written.read(MIB))


def test_the_first_mib_comes_last(server: Server, loop_disk: LoopDisk) -> None:
    disk = loop_disk(16)
    fill(disk, 16)
    data = b"\x01" * (8 * MIB)
    seen: list[tuple[bytes, bytes]] = []

    def approve(start: bytes, size_bytes: int) -> None:
        assert (start, size_bytes) == (data[:MIB], len(data))
        with Path(disk).open("rb") as written:
            seen.append((written.read(MIB), written.read(7 * MIB)))

    blocks = iter([memoryview(data)[: 4 * MIB], memoryview(data)[4 * MIB :]])
    device.write(disk, 16 * MIB, blocks, approve)
    assert seen == [(bytes(MIB), data[MIB:])]
    with Path(disk).open("rb") as written:
        assert written.read(8 * MIB) == data


@pytest.mark.parametrize(("file_system_name", "size_mib", "kind", "problem"), [
    ("ext4", 32, "xfs", "holds ext4, and .* declared to be xfs"),
    ("ext3", 32, "ext4", "holds ext3, and .* declared to be ext4"),
    ("ext4", 65, "ext4", "do not fit the 67108864 of /dev/loop"),
])  # fmt: skip
@pytest.mark.parametrize("compression", PACKERS)
def test_what_does_not_fit_is_known_before_anything_is_written(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    compression: str,
    file_system_name: str,
    size_mib: int,
    kind: str,
    problem: str,
) -> None:
    data = file_system(tmp_path / "fs", file_system_name, size_mib)
    image = serve(server, data, compression)
    disk = loop_disk(64)
    with pytest.raises(ImageError, match=problem):
        RAW.validate(image, BlockTarget(disk, 64 * MIB, kind, UUID))


@pytest.mark.parametrize(("data", "compression", "kind", "problem"), [
    (b"QFI\xfb" + bytes(9999), "none", "ext4", "holds qcow2"),
    (b"QFI\xfb" + bytes(9999), "zstd", "none", "is qcow2, not raw"),
    (bytes(65 * MIB), "none", "none", "68157440 bytes do not fit"),
    (bytes(65 * MIB), "zstd", "none", "68157440 bytes do not fit"),
    (bytes(9999), "none", "ext4", "holds no filesystem"),
    (b"", "none", "none", "is empty"),
    (gzip.compress(b"x"), "none", "none", "compression is gzip"),
])  # fmt: skip
def test_what_is_not_as_declared_is_known_before_anything_is_written(
    server: Server, data: bytes, compression: str, kind: str, problem: str
) -> None:
    image = serve(server, data, compression)
    with pytest.raises(ImageError, match=problem):
        RAW.validate(image, BlockTarget("/dev/null", 64 * MIB, kind, UUID))


def test_a_byte_too_many_is_an_error_where_no_size_was_known(
    server: Server, loop_disk: LoopDisk
) -> None:
    disk = loop_disk(4)
    image = serve(server, b"\x01" * (4 * MIB + 1), "gzip")
    target = BlockTarget(disk, 4 * MIB, "none", "")
    RAW.validate(image, target)
    with pytest.raises(ImageError, match="larger than the 4194304 bytes"):
        RAW.execute(image, target)


@pytest.mark.parametrize(("tail", "problem"), [
    (bytes(9 * MIB + 1), None),
    (bytes(40 * MIB), "larger than the"),
    (bytes(9 * MIB) + b"x", "larger than the"),
])  # fmt: skip
def test_zeroes_behind_a_filesystem_need_no_room(
    server: Server, loop_disk: LoopDisk, tmp_path: Path, tail: bytes,
    problem: str | None,
) -> None:  # fmt: skip
    data = file_system(tmp_path / "fs", "ext4", 32) + tail
    disk = loop_disk(32)
    target = BlockTarget(disk, 32 * MIB, "ext4", UUID)
    image = serve(server, data, "gzip")
    RAW.validate(image, target)
    if problem:
        with pytest.raises(ImageError, match=problem):
            RAW.execute(image, target)
        return
    RAW.execute(image, target)
    with mounted(disk) as root:
        assert (root / "hello").read_text() == "world"


@pytest.mark.parametrize("name", ["ext4", "xfs"])
def test_a_filesystem_that_was_not_unmounted_is_whole_or_refused(
    server: Server, loop_disk: LoopDisk, tmp_path: Path, name: str
) -> None:
    file_system(tmp_path / "fs", name, 320)
    with mounted(str(tmp_path / "fs"), "loop") as root:
        for number in range(50):
            (root / f"file{number}").write_text("x")
        run("sync", "--file-system", str(root))
        for number in range(50):
            (root / f"file{number}").rename(root / f"moved{number}")
        with (root / "moved1").open() as file:
            os.fsync(file.fileno())
        data = (tmp_path / "fs").read_bytes()
    disk = loop_disk(320)
    target = BlockTarget(disk, 320 * MIB, name, UUID)
    if name == "xfs":
        with pytest.raises(ImageError, match="was not unmounted"):
            RAW.execute(serve(server, data), target)
        assert subprocess.run(["blkid", "--probe", disk]).returncode == 2
    else:
        RAW.execute(serve(server, data), target)
        with mounted(disk) as root:
            assert (root / "moved1").read_text() == "x"


@pytest.mark.parametrize(("name", "options", "is_renewed"), [
    ("ext2", ("-r", "0"), True),
    ("ext3", ("-I", "128"), True),
    ("ext4", ("-O", "^metadata_csum,^64bit,^resize_inode"), True),
    ("ext4", ("-O", "metadata_csum_seed"), True),
    ("xfs", ("-m", "crc=0"), None),  # the kernel may not know it any more
    ("xfs", ("-m", "bigtime=0,finobt=0,reflink=0"), True),
    ("btrfs", ("-O", "^no-holes", "-R", "^free-space-tree"), True),
])  # fmt: skip
def test_an_old_filesystem_is_renewed_or_refused_by_name(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    name: str,
    options: tuple[str, ...],
    is_renewed: bool | None,
) -> None:
    (tmp_path / "fs").write_bytes(b"")
    os.truncate(tmp_path / "fs", 320 * MIB)
    run(*MKFS[name], *options, str(tmp_path / "fs"))
    image = serve(server, (tmp_path / "fs").read_bytes())
    disk = loop_disk(400)
    target = BlockTarget(disk, 400 * MIB, name, UUID)
    try:
        RAW.execute(image, target)
    except ImageError as error:
        assert is_renewed is None
        assert f"/x.raw: its {name} cannot be renewed" in str(error)
        assert subprocess.run(["blkid", "--probe", disk]).returncode == 2
        return
    with mounted(disk) as root:
        space = os.statvfs(root)
        assert space.f_blocks * space.f_frsize > 320 * MIB
    assert read_uuid(disk) == UUID


def test_the_boot_files_of_an_image_name_its_new_uuid(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    file_system(tmp_path / "fs", "ext4", 32)
    old = read_uuid(str(tmp_path / "fs"))
    with mounted(str(tmp_path / "fs"), "loop") as root:
        (root / "etc/kernel").mkdir(parents=True)
        (root / "etc/kernel/cmdline").write_text(f"root=UUID={old}")
    disk = loop_disk(64)
    target = BlockTarget(disk, 64 * MIB, "ext4", UUID)
    RAW.execute(serve(server, (tmp_path / "fs").read_bytes()), target)
    with mounted(disk) as root:
        text = (root / "etc/kernel/cmdline").read_text()
    assert text == f"root=UUID={UUID}"


def test_a_mounted_device_is_not_touched(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    image = serve(server, file_system(tmp_path / "fs", "ext4", 32))
    disk = loop_disk(64)
    target = BlockTarget(disk, 64 * MIB, "ext4", UUID)
    RAW.execute(image, target)
    with mounted(disk), pytest.raises(ActionError, match="busy"):
        RAW.execute(image, target)
    assert read_uuid(disk) == UUID


def test_progress_is_of_the_bytes_downloaded(
    server: Server, loop_disk: LoopDisk
) -> None:
    image = serve(server, patchy(8 * MIB), "gzip")
    size = (server.folder / "x.raw").stat().st_size
    seen: list[progress.Progress] = []
    with progress.listening(progress.Whole(seen.append, 1), "deploy", 1):
        RAW.execute(image, BlockTarget(loop_disk(16), 16 * MIB, "none", ""))
        meter = progress._current.get()
        assert meter is not None
        meter.tell()
    assert (seen[-1].bytes, seen[-1].total_bytes) == (size, size)


def test_a_file_of_sums_is_looked_into(
    server: Server, loop_disk: LoopDisk
) -> None:
    image = serve(server, patchy(MIB))
    (server.folder / "SUMS").write_text(f"{image.digest}  x.raw\n")
    target = BlockTarget(loop_disk(4), 4 * MIB, "none", "")
    listed = replace(
        image, algorithm=None, digest=None, sums_url=f"{server.url}/SUMS"
    )
    RAW.validate(listed, target)
    RAW.execute(listed, target)
    (server.folder / "SUMS").write_text(f"{'0' * 64}  x.raw\n")
    with pytest.raises(ImageError, match="its sha256 is"):
        RAW.execute(listed, target)
    (server.folder / "SUMS").write_text("")
    with pytest.raises(ImageError, match=r"SUMS: has no .* sum of x\.raw"):
        RAW.validate(listed, target)
