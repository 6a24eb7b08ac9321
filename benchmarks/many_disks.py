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

"""What twelve disks cost at once, against the same one after another.

Each has an ext4, an xfs and a btrfs, on loop devices; images take no part.
What their files hold afterwards shows that filesystems are initialised
lazily and that what is free is not written. Needs root.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import compare
from ipa_partitions.deploy import Request, deploy
from tests import loops

DISKS = 12
DISK_BYTES = 16 * 1024**3
VOLUMES = [
    {"type": "partition", "size": size, "file_system": kind}
    for size, kind in (("8 GiB", "ext4"), ("4 GiB", "xfs"), ("3 GiB", "btrfs"))
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        files = [
            loops.blank_image(Path(scratch) / f"{n}.img", DISK_BYTES)
            for n in range(DISKS)
        ]
        devices = [stack.enter_context(loops.attached(f)) for f in files]
        seconds = compare.medians(
            {
                "together": lambda: timed(devices),
                "apart": lambda: sum(timed([device]) for device in devices),
            },
            rounds,
        )
        held = sum(file.stat().st_blocks * 512 for file in files)
    ratio = seconds["together"] / seconds["apart"]
    share = held / (DISKS * DISK_BYTES)
    print(
        compare.table(
            [
                (f"{DISKS} disks one after another: s",
                 f"{seconds['apart']:.2f}", ""),
                (f"{DISKS} disks at once: s",
                 f"{seconds['together']:.2f}", ""),
                ("  at once / one after another", f"{ratio:.2f}",
                 compare.verdict(ratio, 0.75)),
                ("  written, of all that the disks hold", f"{share:.4f}",
                 compare.verdict(share, 0.01)),
            ]
        )
    )  # fmt: skip


def timed(devices: list[str]) -> float:
    request = Request(document(devices), firmware="bios")
    started = time.perf_counter()
    deploy(request)
    return time.perf_counter() - started


def document(devices: list[str]) -> dict[str, Any]:
    return {
        "partitions_policy": "clean",
        "partitions": [
            {
                "type": "disk",
                "id": {"type": "name", "value": device},
                "volumes": VOLUMES,
            }
            for device in devices
        ],
    }


if __name__ == "__main__":
    main()
