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

"""What a deployment costs beside the images, and what planning costs.

Four partitions on a loop disk: by ironic-python-agent's ``work_on_disk``,
which makes partitions and filesystems and deploys nothing; by us, the same;
and by us with two tiny systems, GRUB and boot-info. Needs root.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import compare
from tests import loops, tiny

DISK_BYTES = 8 * 1024**3
PLANNED_DISKS = 16
PLANNED_PARTITIONS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        way, *rest = arguments.child
        print(CHILDREN[way](*rest))
        return
    with tempfile.TemporaryDirectory() as scratch:
        rows = fixed(Path(scratch), arguments.rounds)
    seconds = compare.medians(
        {"plan": lambda: child("plan")}, arguments.rounds
    )["plan"]
    rows.append(
        (
            f"planning {PLANNED_DISKS} disks of {PLANNED_PARTITIONS}"
            " partitions, imports excluded: s",
            f"{seconds:.3f}",
            compare.verdict(seconds, 0.3),
        )
    )
    print(compare.table(rows))


def fixed(folder: Path, rounds: int) -> list[tuple[str, str, str]]:
    for name in ("one", "two"):
        tiny.raw_system(folder, name)
    disk = loops.blank_image(folder / "disk.img", DISK_BYTES)
    with loops.attached(disk) as device:
        seconds = compare.medians(
            {
                "agent": lambda: child("agent", device),
                "layout": lambda: child("layout", device),
                "whole": lambda: child("whole", device, str(folder)),
            },
            rounds,
        )
    layout = seconds["layout"] / seconds["agent"]
    whole = seconds["whole"] / seconds["agent"]
    return [
        ("the agent's work_on_disk, four partitions: s",
         f"{seconds['agent']:.2f}", ""),
        ("ours, the same four: s", f"{seconds['layout']:.2f}", ""),
        ("ours, with two tiny systems, GRUB and boot-info: s",
         f"{seconds['whole']:.2f}", ""),
        ("  the same four / agent", f"{layout:.2f}",
         compare.verdict(layout, 0.25)),
        ("  with systems and GRUB / agent", f"{whole:.2f}",
         compare.verdict(whole, 2.0)),
    ]  # fmt: skip


def child(*job: str) -> float:
    ran = subprocess.run(
        [sys.executable, __file__, "--child", *job],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(ran.stdout.splitlines()[-1])


def timed(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def child_agent(device: str) -> float:
    from ironic_python_agent import (
        config,  # noqa: F401
        disk_utils,
        partition_utils,
        utils,
    )

    # It polls until nobody has the disk open, which a loop disk always has.
    disk_utils.wait_for_disk_to_become_available = lambda disk: utils.execute(
        "fuser", disk, check_exit_code=[0, 1]
    )
    return timed(
        lambda: partition_utils.work_on_disk(
            device, 4096, 512, 1024, "ext4", None, "node",
            boot_mode="uefi", disk_label="gpt", cpu_arch="x86_64",
        )
    )  # fmt: skip


def child_layout(device: str) -> float:
    volumes = [
        {"type": "partition", "size": 550, "file_system": "vfat"},
        {"type": "partition", "size": 1024, "file_system": "ext4"},
        {"type": "partition", "size": 512, "file_system": "swap"},
        {"type": "partition", "size": 4096, "file_system": "ext4"},
    ]
    return deployed(document(device, volumes, []))


def child_whole(device: str, folder: str) -> float:
    volumes = [
        {"type": "partition", "size": 1024, "mount": "/", "images": ["one"]},
        {"type": "partition", "size": 4096, "mount": "/", "images": ["two"]},
        {"type": "partition", "size": 512, "mount": "swap"},
        {"type": "partition", "size": 1024, "file_system": "ext4"},
    ]
    images = [
        {
            "name": name,
            "image_pull_url": f"file://{folder}/{name}.raw",
            "checksum": tiny.sha256(Path(folder, f"{name}.raw")),
        }
        for name in ("one", "two")
    ]
    return deployed(document(device, volumes, images))


def document(device: str, volumes: object, images: object) -> object:
    return {
        "partitions_policy": "clean",
        "partitions": [
            {
                "type": "disk",
                "id": {"type": "name", "value": device},
                "volumes": volumes,
            }
        ],
        "images": images,
        "boot": {"firmware": "bios"},
    }


def deployed(image_info: object) -> float:
    from ipa_partitions import registry
    from ipa_partitions.deploy import Request, deploy

    # An agent has loaded its plug-ins when it is asked.
    for kind in ("actions", "sources", "deployers", "bootloaders"):
        registry.load(kind)
    return timed(lambda: deploy(Request(image_info)))


def child_plan() -> float:
    from ipa_partitions.deploy import Request, make_plan
    from ipa_partitions.disk.machine import Disk

    disks = tuple(
        Disk(f"/dev/nvme{n}n1", 10**12) for n in range(PLANNED_DISKS)
    )
    image_info = {
        "partitions_policy": "clean",
        "partitions": [
            {
                "type": "disk",
                "id": {"type": "name", "value": disk.device},
                "volumes": [
                    {
                        "type": "partition",
                        "size": "2%",
                        "file_system": "ext4",
                    }
                    for _ in range(PLANNED_PARTITIONS)
                ],
            }
            for disk in disks
        ],
    }
    request = Request(json.loads(json.dumps(image_info)), imagined=disks)
    # Once before: the plug-ins are loaded then.
    make_plan(request)
    return timed(lambda: make_plan(request))


CHILDREN: dict[str, Callable[..., float]] = {
    "agent": child_agent,
    "layout": child_layout,
    "whole": child_whole,
    "plan": child_plan,
}

if __name__ == "__main__":
    logging.disable()
    main()
