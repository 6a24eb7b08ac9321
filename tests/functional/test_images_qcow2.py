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

"""qcow2 images as QEMU makes them, on loop devices."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import zstandard

from ipa_partitions.disk.mount import mounted
from ipa_partitions.errors import ImageError
from ipa_partitions.images.deployers import BlockTarget
from ipa_partitions.images.deployers.block import read_uuid
from ipa_partitions.images.deployers.qcow2 import QCOW2
from ipa_partitions.images.image import Image
from tests.qcow2_files import Qcow2
from tests.servers import Server

MIB = 1024**2
UUID = "2abf123d-d52f-4f62-a351-7358221bc51f"
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "zstd": zstandard.compress,
}

LoopDisk = Callable[..., str]


def run(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout


def serve(server: Server, file: Path, compression: str = "none") -> Image:
    packed = PACKERS[compression](file.read_bytes())
    (server.folder / "x.qcow2").write_bytes(packed)
    return Image(
        "x",
        f"{server.url}/x.qcow2",
        "qcow2",
        compression,
        "sha256",
        hashlib.sha256(packed).hexdigest(),
    )


def converted(folder: Path, data: bytes, *options: str) -> Path:
    """Let QEMU make a qcow2 of ``data``."""
    (folder / "x.raw").write_bytes(data)
    run(
        "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-W", *options,
        str(folder / "x.raw"), str(folder / "x.qcow2"),
    )  # fmt: skip
    return folder / "x.qcow2"


def patchy(size_bytes: int) -> bytes:
    """Return noise, text and runs of zeroes of all lengths."""
    dice = random.Random(3)
    data = bytearray()
    while len(data) < size_bytes:
        count = dice.choice([512, 4096, 65536, 65537, 131072, MIB])
        data += dice.choice(
            [bytes(count), dice.randbytes(count), (b"text" * count)[:count]]
        )
    return bytes(data[:size_bytes])


def is_on(disk: str, data: bytes, size_mib: int) -> bool:
    """Tell whether the disk, ones before, has ``data`` and then ones."""
    with Path(disk).open("rb") as written:
        whole = written.read()
    rest = size_mib * MIB - len(data)
    return whole == data + b"\xff" * rest


@pytest.mark.parametrize(("options", "packed"), [
    *product(
        (
            "compat=0.10",
            "compat=1.1",
            "compression_type=zstd",
            "cluster_size=512",
            "cluster_size=2M",
        ),
        ((), ("-c",)),
    ),
    ("preallocation=metadata", ()),  # QEMU cannot compress into it
])  # fmt: skip
@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_a_disk_full_of_ones_becomes_what_is_inside(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    options: str,
    packed: tuple[str, ...],
    sector_bytes: int,
) -> None:
    data = patchy(3 * MIB + 1536)
    disk = loop_disk(6, sector_bytes)
    Path(disk).write_bytes(b"\xff" * (6 * MIB))
    image = serve(server, converted(tmp_path, data, "-o", options, *packed))
    target = BlockTarget(disk, 6 * MIB, "none", "")
    QCOW2.validate(image, target)
    QCOW2.execute(image, target)
    assert is_on(disk, data, 6)


@pytest.mark.parametrize("ways", ["file", "no range", "gzip", "zstd"])
@pytest.mark.parametrize("packed", [(), ("-c",)])
def test_it_comes_by_any_way(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    ways: str,
    packed: tuple[str, ...],
) -> None:
    data = patchy(9 * MIB)
    disk = loop_disk(12)
    Path(disk).write_bytes(b"\xff" * (12 * MIB))
    file = converted(tmp_path, data, "-o", "cluster_size=4k", *packed)
    image = serve(server, file, ways if ways in PACKERS else "none")
    if ways == "file":
        image = replace(image, url=f"file://{file}")
    server.faults.ignores_range = ways == "no range"
    target = BlockTarget(disk, 12 * MIB, "none", "")
    QCOW2.validate(image, target)
    QCOW2.execute(image, target)
    assert is_on(disk, data, 12)


def test_an_image_that_was_lived_in_keeps_all_of_it(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    file = converted(tmp_path, patchy(9 * MIB), "-o", "cluster_size=4k", "-c")
    dice = random.Random(5)
    commands = []
    for _ in range(200):
        verb = dice.choice(["write -P 7", "discard", "write -z"])
        at = dice.randrange(9 * 256) * 4096
        commands.append(f"{verb} {at} 4096")
    words = [word for command in commands for word in ("-c", command)]
    run("qemu-io", "-f", "qcow2", *words, str(file))
    # The L1 table, too, finds another place.
    run("qemu-img", "resize", "-q", str(file), "11M")
    run("qemu-img", "resize", "-q", str(file), "600M")
    run("qemu-img", "resize", "-q", "--shrink", str(file), "12M")
    run("qemu-img", "convert", "-O", "raw", str(file), str(tmp_path / "raw"))
    disk = loop_disk(12)
    Path(disk).write_bytes(b"\xff" * (12 * MIB))
    image = serve(server, file)
    target = BlockTarget(disk, 12 * MIB, "none", "")
    QCOW2.validate(image, target)
    QCOW2.execute(image, target)
    assert is_on(disk, (tmp_path / "raw").read_bytes(), 12)


def file_system(path: Path) -> bytes:
    """Return an ext4 with a file in it."""
    path.write_bytes(b"")
    os.truncate(path, 64 * MIB)
    run("mkfs.ext4", "-q", str(path))
    with mounted(str(path), "loop") as root:
        (root / "hello").write_text("world")
    return path.read_bytes()


def test_a_filesystem_is_renewed_and_grows(
    server: Server, loop_disk: LoopDisk, tmp_path: Path
) -> None:
    file = converted(tmp_path, file_system(tmp_path / "fs"), "-c")
    image = serve(server, file)
    disk = loop_disk(128)
    target = BlockTarget(disk, 128 * MIB, "ext4", UUID, "rootfs")
    QCOW2.validate(image, target)
    QCOW2.execute(image, target)
    assert read_uuid(disk) == UUID
    with mounted(disk) as root:
        assert (root / "hello").read_text() == "world"
        space = os.statvfs(root)
        assert space.f_blocks * space.f_frsize > 100 * MIB


@pytest.mark.parametrize(("kind", "size_mib", "problem"), [
    ("xfs", 64, "holds ext4, and .* declared to be xfs"),
    ("ext4", 63, "its 67108864 bytes do not fit the 66060288"),
])  # fmt: skip
def test_what_does_not_fit_is_known_before_anything_is_written(
    server: Server, tmp_path: Path, kind: str, size_mib: int, problem: str
) -> None:
    file = converted(tmp_path, file_system(tmp_path / "fs"))
    target = BlockTarget("/dev/null", size_mib * MIB, kind, UUID)
    with pytest.raises(ImageError, match=rf"/x\.qcow2: {problem}"):
        QCOW2.validate(serve(server, file), target)


def hostile(tmp_path: Path, what: str) -> Path:
    """Return a file that QEMU, or nobody, would make."""
    file = tmp_path / "x.qcow2"
    create = ("qemu-img", "create", "-q", "-f", "qcow2")
    (tmp_path / "base").write_bytes(bytes(MIB))
    if what == "backing file":
        run(*create, "-F", "raw", "-b", str(tmp_path / "base"), str(file))
    elif what == "data file":
        other = f"data_file={tmp_path / 'data'}"
        run(*create, "-o", other, str(file), "1M")
    elif what == "encrypted":
        run(
            *create, "--object", "secret,id=s,data=x", "-o",
            "encrypt.format=aes,encrypt.key-secret=s",
            str(file), "1M",
        )  # fmt: skip
    elif what == "oversized":
        run(*create, str(file), "1T")
    elif what == "extended":
        run(*create, "-o", "extended_l2=on", str(file), "1M")
    elif what == "snapshot":
        run(*create, str(file), "1M")
        run("qemu-img", "snapshot", "-c", "s", str(file))
    elif what == "table":
        data: list[bytes | None] = [b"x" * 512]
        file.write_bytes(Qcow2(9, data, entries={0: 1 << 40}).build())
    elif what == "raw":
        file.write_bytes(bytes(MIB))
    else:
        file.write_bytes(b"KDMV" + bytes(MIB))
    return file


@pytest.mark.parametrize(("what", "problem"), [
    ("backing file", "needs a backing file"),
    ("data file", "keeps its data in an external file"),
    ("encrypted", "is encrypted"),
    ("oversized", "its 1099511627776 bytes do not fit"),
    ("extended", "has extended L2 entries"),
    ("snapshot", "holds internal snapshots"),
    ("table", "has something beyond its end"),
    ("raw", "is something else, not qcow2"),
    ("vmdk", "is vmdk, not qcow2"),
])  # fmt: skip
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_hostile_image_is_refused_and_leaves_nothing_to_mount(
    server: Server,
    loop_disk: LoopDisk,
    tmp_path: Path,
    what: str,
    problem: str,
    compression: str,
) -> None:
    image = serve(server, hostile(tmp_path, what), compression)
    disk = loop_disk(64)
    run("mkfs.ext4", "-q", disk)
    target = BlockTarget(disk, 64 * MIB, "none", "")
    # What is packed cannot be asked for its tables.
    if (what, compression) != ("table", "gzip"):
        with pytest.raises(ImageError, match=rf"/x\.qcow2: {problem}"):
            QCOW2.validate(image, target)
    with pytest.raises(ImageError, match=rf"/x\.qcow2: {problem}"):
        QCOW2.execute(image, target)
    assert subprocess.run(["blkid", "--probe", disk]).returncode == 2


@pytest.mark.parametrize("problem", ["digest", "cut", "changed"])
def test_a_wrong_image_leaves_nothing_to_mount(
    server: Server, loop_disk: LoopDisk, tmp_path: Path, problem: str
) -> None:
    file = converted(tmp_path, file_system(tmp_path / "fs"))
    image = serve(server, file)
    disk = loop_disk(64)
    target = BlockTarget(disk, 64 * MIB, "ext4", UUID)
    QCOW2.execute(image, target)
    if problem == "digest":
        image = replace(image, digest="0" * 64)
        expected = "its sha256 is"
    elif problem == "cut":
        os.truncate(file, file.stat().st_size - MIB)
        image = serve(server, file)
        expected = "is cut|beyond its end"
    else:
        content = bytearray(file.read_bytes())
        content[-MIB] ^= 1
        (server.folder / "x.qcow2").write_bytes(content)
        expected = "its sha256 is"
    with pytest.raises(ImageError, match=expected):
        QCOW2.execute(image, target)
    assert subprocess.run(["blkid", "--probe", disk]).returncode == 2
