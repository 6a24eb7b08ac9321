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

"""Stream raw images onto a loop disk: ours, dd, and the agent's own way.

Needs root, 20 GiB below --scratch, nginx, curl and ironic-python-agent.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import compare, nginx

MIB = 1024**2
GIB = 1024**3
SHARED = Path("/dev/shm")

Job = tuple[str, str, str]  # the disk, the image's URL, its sha256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, default=Path("/var/tmp"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dense-mib", type=int, default=2048)
    parser.add_argument("--skip-sparse", action="store_true")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        way, *rest = arguments.child
        CHILDREN[way](*rest)
        return
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = Path(scratch)
        with nginx.serving(folder) as url:
            how = (folder, url, arguments.rounds, arguments.dense_mib)
            rows = dense(*how) + part_of_it_data(*how)
            if not arguments.skip_sparse:
                rows += sparse(folder, url)
    print(compare.table(rows))


def dense(folder: Path, url: str, rounds: int, size_mib: int) -> compare.Rows:
    image, disk = folder / "dense.raw", folder / "disk"
    digest = hashlib.sha256()
    with image.open("wb") as file, disk.open("wb") as other:
        for _ in range(size_mib):
            data = os.urandom(MIB)
            digest.update(data)
            file.write(data)
            other.write(data)
    growth: list[float] = []
    with attached(disk) as device:
        job = (device, f"{url}/{image.name}", digest.hexdigest())

        def ours() -> float:
            result = child("ours", *job)
            growth.append(result["growth_bytes"])
            return float(result["seconds"])

        def agent() -> float:
            return float(child("agent", *job)["seconds"])

        what = f"dense raw, {size_mib} MiB, http, sha256, synced"
        rows = beside_dd(what, image, job, rounds, 1.2)
        # Both read from a server: only what they do is compared.
        seconds = compare.medians({"ours": ours, "agent": agent}, rounds)
        run("cmp", str(image), device)
    disk.unlink()
    image.unlink()
    kept = max(growth) / MIB
    return [
        *rows,
        *compare.against(
            (f"{what}; the server has it in memory: ours", seconds["ours"]),
            ("the agent's own stream", seconds["agent"]),
            "ours / agent",
            1 / 3,
        ),
        ("  memory grows by, MiB", f"{kept:.0f}", compare.verdict(kept, 64)),
    ]


def part_of_it_data(
    folder: Path, url: str, rounds: int, size_mib: int
) -> compare.Rows:
    image, disk = folder / "part.raw", folder / "disk"
    scatter(image, size_mib * MIB, size_mib * MIB * 4 // 10)
    digest = run("sha256sum", str(image)).split()[0]
    run("fallocate", "--length", f"{size_mib}MiB", str(disk))
    with attached(disk) as device:
        job = (device, f"{url}/{image.name}", digest)
        what = f"raw, {size_mib} MiB, 40 % of it data"
        rows = beside_dd(what, image, job, rounds, 1.0)
        run("cmp", str(image), device)
    disk.unlink()
    image.unlink()
    return rows


def beside_dd(
    what: str, image: Path, job: Job, rounds: int, limit: float
) -> compare.Rows:
    """Compare with dd, which has to read the disk: so has the server."""

    def ours() -> float:
        evict(image)
        return float(child("ours", *job)["seconds"])

    def dd() -> float:
        evict(image)
        started = time.perf_counter()
        run("dd", f"if={image}", f"of={job[0]}", "bs=4M",
            "oflag=direct", "conv=fsync", "status=none")  # fmt: skip
        return time.perf_counter() - started

    def fetch() -> float:
        evict(image)
        started = time.perf_counter()
        run("curl", "--silent", "--output", "/dev/null", job[1])
        return time.perf_counter() - started

    ways = {"ours": ours, "dd": dd, "fetch": fetch}
    seconds = compare.medians(ways, rounds)
    return [
        *compare.against(
            (f"{what}; the server reads its disk: ours", seconds["ours"]),
            ("dd oflag=direct conv=fsync from disk", seconds["dd"]),
            "ours / dd",
            limit,
        ),
        ("  fetching it alone, curl into /dev/null, s",
         f"{seconds['fetch']:.2f}", ""),
    ]  # fmt: skip


def sparse(folder: Path, url: str) -> compare.Rows:
    image, disk = folder / "sparse.raw", folder / "disk"
    data_bytes = scatter(image, 8 * GIB, GIB)
    ones = b"\xff" * (4 * MIB)
    with disk.open("wb") as file:
        for _ in range(8 * GIB // len(ones)):
            file.write(ones)
    digest = run("sha256sum", str(image)).split()[0]
    with attached(disk) as device:
        before = requested_bytes(device)
        result = child("ours", device, f"{url}/{image.name}", digest)
        requested = (requested_bytes(device) - before) / data_bytes
        run("cmp", str(image), device)
    # All of the disk was allocated; what was zeroed is given back.
    kept_bytes = disk.stat().st_blocks * 512
    ratio = max(result["written_bytes"], kept_bytes) / data_bytes
    kept = result["growth_bytes"] / MIB
    return [
        ("sparse raw, 8 GiB, 1 GiB of it data: ours, s",
         f"{result['seconds']:.2f}", ""),
        ("  bytes written / data", f"{ratio:.3f}",
         compare.verdict(ratio, 1.03)),
        ("  the same by /sys/block/*/stat, where zeroing counts as writing",
         f"{requested:.3f}", ""),
        ("  compares equal on a disk that was all ones", "yes", "yes"),
        ("  memory grows by, MiB", f"{kept:.0f}", compare.verdict(kept, 64)),
    ]  # fmt: skip


def scatter(image: Path, size_bytes: int, data_bytes: int) -> int:
    """Make a sparse file of extents as a filesystem has them."""
    dice = random.Random(4)
    done = 0
    with image.open("wb") as file:
        file.truncate(size_bytes)
        slot_bytes = size_bytes // 128
        for slot in range(128):
            extent = data_bytes // 128
            room = (slot_bytes - extent) // 4096
            file.seek(slot * slot_bytes + dice.randrange(room) * 4096)
            done += file.write(os.urandom(extent))
    return done


def child_ours(device: str, url: str, digest: str) -> None:
    from ipa_partitions.images.deployers import BlockTarget
    from ipa_partitions.images.deployers.raw import RAW
    from ipa_partitions.images.image import Image

    with open(device, "rb") as disk:  # noqa: PTH123
        size_bytes = disk.seek(0, os.SEEK_END)
    image = Image("bench", url, algorithm="sha256", digest=digest)
    target = BlockTarget(device, size_bytes, "none", "")
    # The plug-ins are looked up here, not in what is measured.
    RAW.validate(image, target)
    report(lambda: RAW.execute(image, target))


def child_agent(device: str, url: str, digest: str) -> None:
    from ironic_python_agent import config, disk_utils  # noqa: F401
    from ironic_python_agent.extensions import standby

    extension = standby.StandbyExtension()
    extension.partition_uuids = {}
    info = {
        "id": "bench",
        "urls": [url],
        "os_hash_algo": "sha256",
        "os_hash_value": digest,
        "disk_format": "raw",
        "image_type": "partition",
    }

    def stream() -> None:
        extension._stream_raw_image_onto_device(info, device)
        fd = os.open(device, os.O_WRONLY)
        os.fsync(fd)
        os.close(fd)

    # What comes after the stream looks for partitions and a filesystem.
    with (
        mock.patch.object(disk_utils, "fix_gpt_partition"),
        mock.patch.object(disk_utils, "block_uuid", return_value=""),
    ):
        report(stream)


CHILDREN: dict[str, Callable[..., None]] = {
    "ours": child_ours,
    "agent": child_agent,
}


def peak_kib() -> int:
    """Return the most memory that this program has had.

    Not what getrusage(2) says: that begins with what its parent had.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def report(job: Callable[[], None]) -> None:
    """Run ``job``, print its seconds and what memory it took, and keep."""
    tempfile.tempdir = str(SHARED)  # as in a ramdisk: all files are in memory
    before = peak_kib()
    written = written_bytes()
    done = threading.Event()
    peak: list[int] = [0]
    watcher = threading.Thread(target=watch, args=(done, peak))
    watcher.start()
    started = time.perf_counter()
    job()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    after = peak_kib()
    result = {
        "seconds": seconds,
        "growth_bytes": (after - before) * 1024,
        "tmpfs_bytes": peak[0],
        "written_bytes": written_bytes() - written,
    }
    print(json.dumps(result))


def watch(done: threading.Event, peak: list[int]) -> None:
    """Note the most that files in memory take more than at the start."""

    def used() -> int:
        room = os.statvfs(SHARED)
        return (room.f_blocks - room.f_bfree) * room.f_frsize

    before = used()
    while not done.wait(0.02):
        peak[0] = max(peak[0], used() - before)


def child(way: str, *job: str) -> dict[str, float]:
    said = run(sys.executable, __file__, "--child", way, *job)
    result: dict[str, float] = json.loads(said.splitlines()[-1])
    return result


@contextmanager
def attached(disk: Path) -> Iterator[str]:
    device = run(
        "losetup", "--find", "--show", "--direct-io=on", str(disk)
    ).strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


def written_bytes() -> int:
    """Return what this process has sent to disks: proc_pid_io(5)."""
    counts = Path("/proc/self/io").read_text().split()
    return int(counts[counts.index("write_bytes:") + 1])


def requested_bytes(device: str) -> int:
    """Return what a disk was asked to write, or to zero without data.

    The kernel counts both as writes: Documentation/block/stat.rst.
    """
    stat = Path("/sys/block", Path(device).name, "stat").read_text()
    return int(stat.split()[6]) * 512


def evict(file: Path) -> None:
    """Let ``file`` be read from its disk the next time."""
    fd = os.open(file, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def run(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    main()
