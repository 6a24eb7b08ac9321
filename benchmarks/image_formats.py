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

"""Images of every format onto a loop disk: ours, and the usual ways.

Needs root, 12 GiB below --scratch, ironic-python-agent, curl, pigz, zstd,
xz, qemu-img, mksquashfs, nginx. Each row is of one run: the ways take turns.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import compare, nginx
from benchmarks.raw_stream import MIB, attached, report, run


@dataclass(frozen=True)
class Bench:
    """Where things are, and how often they are done."""

    folder: Path
    url: str
    device: str
    rounds: int
    size_mib: int
    files: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, default=Path("/var/tmp"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--files", type=int, default=60_000)
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        way, *rest = arguments.child
        CHILDREN[way](*rest)
        return
    rows: compare.Rows = []
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = Path(scratch)
        disk = folder / "disk"
        with disk.open("wb") as file:
            file.truncate(2 * arguments.size_mib * MIB)
        with nginx.serving(folder) as url, attached(disk) as device:
            bench = Bench(
                folder, url, device, arguments.rounds, arguments.size_mib,
                arguments.files,
            )  # fmt: skip
            for name in arguments.only or PARTS:
                rows += PARTS[name](bench)
    print(compare.table(rows))


def content(bench: Bench) -> Path:
    """Make an image with data in two fifths of it, half of that text."""
    dice = random.Random(4)
    words = [dice.randbytes(6).hex().encode() for _ in range(4000)]
    file = bench.folder / "plain.raw"
    with file.open("wb") as image:
        image.truncate(bench.size_mib * MIB)
        for at in range(0, bench.size_mib, 5):
            image.seek(at * MIB + dice.randrange(256) * 4096)
            image.write(dice.randbytes(MIB))
            text = b" ".join(dice.choices(words, k=MIB // 13))
            image.write(text[:MIB])
    return file


def qcow2(bench: Bench) -> compare.Rows:
    raw = content(bench)
    # What the disk takes for as much data, and no zeroes.
    dense = bench.folder / "dense"
    dense.write_bytes(os.urandom(raw.stat().st_blocks * 512))
    dd = (
        "dd", f"if={dense}", f"of={bench.device}", "bs=4M", "oflag=direct",
        "conv=fsync", "status=none",
    )  # fmt: skip
    rows: compare.Rows = []
    for name, flags, wanted in (
        ("qcow2", (), 5.0),
        ("qcow2, compressed (zlib)", ("-c",), 1.8),
        (
            "qcow2, compressed (zstd)",
            ("-c", "-o", "compression_type=zstd"),
            1.8,
        ),
    ):
        image = bench.folder / "x.qcow2"
        run("qemu-img", "convert", "-O", "qcow2", *flags, str(raw), str(image))
        job = (bench.device, f"{bench.url}/x.qcow2", digest(image))
        growth: list[float] = []

        def ours(job: tuple[str, ...] = job, growth: list[float] = growth):
            result = child("ours", *job, "qcow2")
            growth.append(result["growth_bytes"] / MIB)
            return result["seconds"]

        seconds = compare.medians(
            {
                "ours": ours,
                "agent": lambda job=job: child("agent", *job, "-")["seconds"],
                "dd": lambda: timed(*dd),
            },
            bench.rounds,
        )
        ours()
        run("cmp", "-n", str(raw.stat().st_size), str(raw), bench.device)
        ratio = seconds["agent"] / seconds["ours"]
        rows += [
            (f"{name}, {bench.size_mib} MiB: ours, s",
             f"{seconds['ours']:.2f}", ""),
            ("  the agent: download, hash, convert, sync, s",
             f"{seconds['agent']:.2f}", ""),
            ("  agent / ours", f"{ratio:.2f}",
             compare.at_least(ratio, wanted)),
            ("  dd oflag=direct conv=fsync of as much data, s",
             f"{seconds['dd']:.2f}", ""),
            ("  memory grows by, MiB", f"{max(growth):.0f}", ""),
        ]  # fmt: skip
    return rows


def packed(bench: Bench) -> compare.Rows:
    raw = content(bench)
    rows: compare.Rows = []
    for suffix, pack, unpack in (
        ("zst", ("zstd", "-q", "-3", "-k", "-f"), "zstd -dc"),
        ("gz", ("pigz", "-k", "-f"), "pigz -dc"),
        ("xz", ("xz", "-T0", "-0", "-k", "-f"), "xz -T0 -dc"),
    ):
        run(*pack, str(raw))
        image = bench.folder / f"plain.raw.{suffix}"
        url = f"{bench.url}/{image.name}"
        job = (bench.device, url, digest(image))
        pipe = (
            f"curl -s {url} | {unpack}"
            f" | dd of={bench.device} bs=4M iflag=fullblock oflag=direct"
            " conv=fsync status=none"
        )
        seconds = compare.medians(
            {
                "ours": lambda job=job: child("ours", *job, "raw")["seconds"],
                "pipe": lambda pipe=pipe: timed("bash", "-c", pipe),
            },
            bench.rounds,
        )
        run("cmp", "-n", str(raw.stat().st_size), str(raw), bench.device)
        rows += compare.against(
            (f"raw.{suffix}, {bench.size_mib} MiB: ours", seconds["ours"]),
            (f"curl | {unpack} | dd oflag=direct", seconds["pipe"]),
            "ours / pipe",
            1.05,
        )
    return rows


def tree(folder: Path, files: int) -> Path:
    """Make files of the sizes that those of a system have, ten a folder."""
    dice = random.Random(5)
    top = folder / "tree"
    block = dice.randbytes(8 * MIB)
    for number in range(files):
        below = top / f"{number % 97}" / f"{number % 61}"
        below.mkdir(parents=True, exist_ok=True)
        size = min(int(dice.lognormvariate(7.5, 1.8)), MIB)
        at = dice.randrange(len(block) - size)
        text = block[at : at + size // 2] + bytes(size - size // 2)
        (below / f"file{number}").write_bytes(text)
    return top


def squashfs(bench: Bench) -> compare.Rows:
    top = bench.folder / "tree"
    top = top if top.exists() else tree(bench.folder, bench.files)
    image = bench.folder / "x.squashfs"
    run("mksquashfs", str(top), str(image), "-comp", "zstd", "-no-progress",
        "-noappend", "-quiet", "-Xcompression-level", "3")  # fmt: skip
    job = (bench.device, f"{bench.url}/{image.name}", digest(image))
    bare = f"unsquashfs -q -n -f -d {{}} {image}"
    rsync = (
        f"mount -o loop,ro {image} {bench.folder}/mnt"
        f" && rsync -aXHAS {bench.folder}/mnt/ {{}}/"
        f" && umount {bench.folder}/mnt"
    )
    (bench.folder / "mnt").mkdir(exist_ok=True)
    seconds = compare.medians(
        {
            "ours": lambda: child("files", *job, "squashfs")["seconds"],
            "bare": lambda: onto_mounted(bench.device, bare),
            "rsync": lambda: onto_mounted(bench.device, rsync),
        },
        bench.rounds,
    )
    to_bare = seconds["ours"] / seconds["bare"]
    to_rsync = seconds["ours"] / seconds["rsync"]
    return [
        (f"squashfs (zstd), {bench.files} files, http, sha256: ours, s",
         f"{seconds['ours']:.2f}", ""),
        ("  unsquashfs of a local file, s", f"{seconds['bare']:.2f}", ""),
        ("  ours / unsquashfs", f"{to_bare:.2f}",
         compare.verdict(to_bare, 1.15)),
        ("  mount, rsync -aXHAS of a local file, s",
         f"{seconds['rsync']:.2f}", ""),
        ("  ours / rsync", f"{to_rsync:.2f}", compare.verdict(to_rsync, 0.3)),
    ]  # fmt: skip


def tar(bench: Bench) -> compare.Rows:
    top = bench.folder / "tree"
    top = top if top.exists() else tree(bench.folder, bench.files)
    image = bench.folder / "x.tar.zst"
    run("tar", "--zstd", "-cf", str(image), "-C", str(top), ".")
    job = (bench.device, f"{bench.url}/{image.name}", digest(image))
    bare = f"tar --zstd -xf {image} -C {{}}"
    # What it takes besides: the same bytes, fetched and hashed.
    piped = (
        f"curl -s {bench.url}/{image.name} | tee >(sha256sum >/dev/null)"
        " | tar --zstd --acls --xattrs --xattrs-include='*' -x -C {}"
    )
    seconds = compare.medians(
        {
            "ours": lambda: child("files", *job, "tar")["seconds"],
            "tar": lambda: onto_mounted(bench.device, bare),
            "piped": lambda: onto_mounted(bench.device, piped),
        },
        bench.rounds,
    )
    return [
        *compare.against(
            (
                f"tar.zst, {bench.files} files, http, sha256: ours",
                seconds["ours"],
            ),
            ("tar --zstd -x of a local file", seconds["tar"]),
            "ours / tar",
            1.05,
        ),
        ("  curl | tee >(sha256sum) | tar --zstd --acls --xattrs -x, s",
         f"{seconds['piped']:.2f}", ""),
    ]  # fmt: skip


PARTS: dict[str, Callable[[Bench], compare.Rows]] = {
    "qcow2": qcow2,
    "packed": packed,
    "squashfs": squashfs,
    "tar": tar,
}


def child_ours(device: str, url: str, digest: str, name: str) -> None:
    from ipa_partitions.images.deployers import BlockTarget, deployer_of
    from ipa_partitions.images.image import Image

    image = Image(
        "bench", url, name, packing(url), algorithm="sha256", digest=digest
    )
    with Path(device).open("rb") as disk:
        size_bytes = disk.seek(0, os.SEEK_END)
    target = BlockTarget(device, size_bytes, "none", "")
    deployer = deployer_of(image)
    assert deployer.kind == "block"
    deployer.validate(image, target)
    report(lambda: deployer.execute(image, target))


def child_files(device: str, url: str, digest: str, name: str) -> None:
    from ipa_partitions.disk.mount import mounted
    from ipa_partitions.images.deployers import FileTarget, deployer_of
    from ipa_partitions.images.image import Image

    image = Image(
        "bench", url, name, packing(url), algorithm="sha256", digest=digest
    )
    deployer = deployer_of(image)
    assert deployer.kind == "files"
    run("mkfs.ext4", "-q", "-F", device)
    with tempfile.TemporaryDirectory() as spare:

        def job() -> None:
            with mounted(device) as root:
                target = FileTarget(
                    root, 1 << 40, (), root, Path(spare), is_new=True
                )
                deployer.execute(image, target)

        report(job)


def child_agent(device: str, url: str, digest: str, _: str) -> None:
    tempfile.tempdir = "/dev/shm"  # the agent's own is in memory, too
    from ironic_python_agent import config, disk_utils  # noqa: F401
    from ironic_python_agent.extensions import standby

    info = {
        "id": f"bench-{os.getpid()}",
        "urls": [url],
        "os_hash_algo": "sha256",
        "os_hash_value": digest,
        "disk_format": "qcow2",
        "image_type": "partition",
    }
    file = f"/dev/shm/{info['id']}"

    def deploy() -> None:
        standby._download_image(info)
        found, _ = disk_utils.get_and_validate_image_format(file, "qcow2")
        disk_utils.populate_image(file, device, source_format=found)
        fd = os.open(device, os.O_WRONLY)
        os.fsync(fd)
        os.close(fd)

    try:
        report(deploy)
    finally:
        Path(file).unlink(missing_ok=True)


CHILDREN: dict[str, Callable[[str, str, str, str], None]] = {
    "ours": child_ours,
    "files": child_files,
    "agent": child_agent,
}


def packing(url: str) -> str:
    """Return the compression of a URL by its suffix."""
    known = {".zst": "zstd", ".gz": "gzip", ".xz": "xz"}
    return known.get(Path(url).suffix, "none")


def child(way: str, *job: str) -> dict[str, float]:
    said = run(sys.executable, __file__, "--child", way, *job)
    result: dict[str, float] = json.loads(said.splitlines()[-1])
    return result


def timed(*argv: str) -> float:
    import time

    started = time.perf_counter()
    run(*argv)
    return time.perf_counter() - started


def onto_mounted(device: str, command: str) -> float:
    """Run ``command`` for a fresh filesystem, until it is unmounted."""
    run("mkfs.ext4", "-q", "-F", device)
    with tempfile.TemporaryDirectory() as where:
        whole = f"mount {device} {where} && {command.format(where)}"
        return timed("bash", "-ec", f"{whole}; umount {where}")


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


if __name__ == "__main__":
    main()
