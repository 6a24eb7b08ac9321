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


"""Whole deployments onto loop disks, against each other.

Three images at once and one after the other; an update by rsync and the
first deployment; a second run that has nothing to do; what memory and what
writing an image of 4 GiB takes. Needs root, 24 GiB below --scratch, nginx,
rsync and qemu-img.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import compare, image_formats, nginx
from benchmarks.image_formats import digest, tree
from benchmarks.raw_stream import GIB, MIB, run, scatter
from tests import loops, servers

RATE = "60m"
NAMES = ("one", "two", "three")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, default=Path("/var/tmp"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(deployed(json.loads(arguments.child)))
        return
    rows: compare.Rows = []
    for name in arguments.only or PARTS:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
            rows += PARTS[name](Path(scratch), arguments.rounds)
    print(compare.table(rows))


def three(folder: Path, rounds: int) -> compare.Rows:
    """Three images, each for a disk of its own."""
    rows: compare.Rows = []
    with ExitStack() as stack:
        fast = stack.enter_context(nginx.serving(folder))
        slow = stack.enter_context(nginx.serving(folder, RATE))
        entries = []
        for name in NAMES:
            file = filesystem(folder / f"{name}.raw", 768)
            disk = loops.blank_image(folder / f"{name}.disk", 2 * GIB)
            device = stack.enter_context(loops.attached(disk))
            entries.append((name, device, digest(file)))
        for what, url, wanted in (
            (f"{RATE.upper()}B/s each", slow, 0.65),
            ("no limit", fast, 0.85),
        ):
            seconds = compare.medians(
                {
                    "at once": lambda url=url: took(document(url, entries)),
                    "apart": lambda url=url: sum(
                        took(document(url, [entry])) for entry in entries
                    ),
                },
                rounds,
            )
            rows += compare.against(
                (
                    f"three raw images, 768 MiB each, {what}: at once",
                    seconds["at once"],
                ),
                ("one after the other", seconds["apart"]),
                "at once / one after the other",
                wanted,
            )
    return rows


def update(folder: Path, rounds: int) -> compare.Rows:
    """A tree by rsync, and then again with one file in a hundred changed."""
    files = 60_000
    top = tree(folder, files)
    number = 0
    disk = loops.blank_image(folder / "disk", 8 * GIB)
    with (
        loops.attached(disk) as device,
        servers.rsync_daemon(top, folder) as host,
    ):
        layout = document("", [("one", device, "")])
        image = layout["images"][0]
        image["image_pull_url"] = f"rsync://{host}/images/"
        image["disk_format"] = "dir"
        del image["os_hash_algo"], image["os_hash_value"]
        again = layout | {"partitions_policy": "verify"}
        again["images"] = [image | {"deploy": "always"}]

        def first() -> float:
            return took(layout)

        def second() -> float:
            nonlocal number
            for each in range(number % 100, files, 100):
                path = top / f"{each % 97}" / f"{each % 61}" / f"file{each}"
                path.write_bytes(os.urandom(path.stat().st_size))
            number += 1
            return took(again)

        seconds = compare.medians({"second": second, "first": first}, rounds)
    return compare.against(
        (
            f"rsync of {files} files onto what is there, 1 % changed",
            seconds["second"],
        ),
        ("onto a new filesystem", seconds["first"]),
        "update / first",
        0.2,
    )


def nothing(folder: Path, rounds: int) -> compare.Rows:
    """A document that is on the disk already."""
    with ExitStack() as stack:
        url = stack.enter_context(nginx.serving(folder))
        entries = []
        for name in NAMES[:2]:
            file = filesystem(folder / f"{name}.raw", 1536)
            disk = loops.blank_image(folder / f"{name}.disk", 4 * GIB)
            device = stack.enter_context(loops.attached(disk))
            entries.append((name, device, digest(file)))
        layout = document(url, entries)
        again = layout | {"partitions_policy": "verify"}
        seconds = compare.medians(
            # Before the first turn is a warm-up, the other way round.
            {"second": lambda: took(again), "first": lambda: took(layout)},
            rounds,
        )
    return compare.against(
        (
            "two raw images of 1.5 GiB under verify, nothing to do",
            seconds["second"],
        ),
        ("the same before, under clean", seconds["first"]),
        "second / first",
        0.05,
    )


def memory(folder: Path, _: int) -> compare.Rows:
    """What images of 1 and 4 GiB of data take, of memory and of the disk."""
    rows: compare.Rows = []
    disk = loops.blank_image(folder / "disk", 10 * GIB)
    with nginx.serving(folder) as url, loops.attached(disk) as device:
        for size in (1, 4):
            raw, qcow2 = folder / "x.raw", folder / "x.qcow2"
            data_bytes = scatter(raw, 2 * size * GIB, size * GIB)
            run("qemu-img", "convert", "-O", "qcow2", str(raw), str(qcow2))
            for file in (raw, qcow2):
                run("blkdiscard", device)
                name = file.suffix[1:]
                job = (device, f"{url}/{file.name}", digest(file), name)
                result = image_formats.child("ours", *job)
                run("cmp", "-n", str(raw.stat().st_size), str(raw), device)
                held = disk.stat().st_blocks * 512
                wrote = max(result["written_bytes"], held) / data_bytes
                took = result["growth_bytes"] + result["tmpfs_bytes"]
                share = took / (size * GIB)
                rows += [
                    (f"{name}, {size} GiB of data in {2 * size}: memory and"
                     " tmpfs, MiB", f"{took / MIB:.0f}", ""),
                    ("  of the data", f"{share:.3f}",
                     compare.verdict(share, 0.03) if size == 4 else ""),
                    ("  bytes written / data", f"{wrote:.3f}",
                     compare.verdict(wrote, 1.03)),
                ]  # fmt: skip
            raw.unlink()
            qcow2.unlink()
    return rows


PARTS: dict[str, Callable[[Path, int], compare.Rows]] = {
    "three": three,
    "update": update,
    "nothing": nothing,
    "memory": memory,
}


def filesystem(file: Path, size_mib: int) -> Path:
    """Make an ext4 that is nearly full of random data."""
    with tempfile.TemporaryDirectory(dir=file.parent) as top:
        with (Path(top) / "data").open("wb") as data:
            for _ in range(size_mib * 9 // 10):
                data.write(os.urandom(MIB))
        run("mke2fs", "-q", "-t", "ext4", "-d", top, str(file),
            f"{size_mib}M")  # fmt: skip
    return file


def document(url: str, entries: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Return a layout with an image of ``url`` for each disk."""
    return {
        "partitions_policy": "clean",
        "partitions": [
            {
                "type": "disk",
                "id": {"type": "name", "value": device},
                "volumes": [
                    {
                        "type": "partition",
                        "size": "remaining",
                        "mount": "/",
                        "images": [name],
                    }
                ],
            }
            for name, device, _ in entries
        ],
        "images": [
            {
                "name": name,
                "image_type": "data",
                "image_pull_url": f"{url}/{name}.raw",
                "os_hash_algo": "sha256",
                "os_hash_value": digest,
            }
            for name, _, digest in entries
        ],
        "boot": {"loader": "none", "firmware": "bios"},
    }


def took(layout: dict[str, Any]) -> float:
    """Return the seconds that a deployment takes, in its own process."""
    said = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(layout)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(said.stdout.splitlines()[-1])


def deployed(layout: dict[str, Any]) -> float:
    from ipa_partitions import registry
    from ipa_partitions.deploy import Request, deploy

    # An agent has loaded its plug-ins when it is asked.
    registry.load_all()
    started = time.perf_counter()
    deploy(Request(layout))
    return time.perf_counter() - started


if __name__ == "__main__":
    logging.disable()
    main()
