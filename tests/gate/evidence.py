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

"""What is on the disk, read from outside, and what the agent left."""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.gate import places
from tests.gate.node import Node
from tests.vm.qemu import Facts

TWO = ("debian-12", "debian-13", "data")


def partitions() -> dict[str, int]:
    """Return where partitions begin, in bytes, by their names."""
    table = json.loads(_output("sfdisk", "--json", str(places.DISK)))
    sector = table["partitiontable"].get("sectorsize", 512)
    return {
        each.get("name", each["node"]): each["start"] * sector
        for each in table["partitiontable"].get("partitions", ())
    }


def partition_uuids() -> dict[str, str]:
    """Return the UUIDs of the systems' filesystems and of the data."""
    starts = partitions()
    return {
        name: _output(
            "blkid", "--probe", f"--offset={starts[name]}",
            "--match-tag=UUID", "--output=value", str(places.DISK),
        ).strip()
        for name in TWO
    }  # fmt: skip


def has_two_systems(node: Node) -> bool:
    """Tell whether the node is active with what story (a) deploys."""
    if node.shown()["provision_state"] != "active":
        return False
    return {*TWO} <= {*partitions()}


def boot_info_on_the_disk() -> dict[str, Any]:
    """Return boot-info.json, its default as GRUB's environment has it."""
    start = partitions()["multiboot"]
    info = json.loads(_debugfs(start, "cat /boot-info.json"))
    environment = _debugfs(start, "cat /grub/grubenv")
    for line in environment.splitlines():
        name, _, value = line.partition("=")
        if name == "saved_entry":
            info["current_element"] = int(value)
    return dict(info)


def write_to_data(name: str, text: str) -> None:
    """Write a file to the data partition; the machine must be off."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        _debugfs(partitions()["data"], f"write {file.name} {name}")


def read_from_data(name: str) -> str:
    """Return a file of the data partition."""
    return _debugfs(partitions()["data"], f"cat /{name}")


def collected_boot_info() -> Any:
    """Return boot-info.json from the newest logs of the agent."""
    for archive in sorted(
        (places.LOGS / "deploy").glob("*.tar.gz"),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    ):
        with tarfile.open(archive) as logs:
            for member in logs.getmembers():
                if Path(member.name).name == "boot-info.json":
                    file = logs.extractfile(member)
                    assert file
                    return json.loads(file.read())
    raise AssertionError("no boot-info.json among the collected logs")


def print_phases(node: Node, up: Facts) -> None:
    """Print how long the parts of a deployment took, power-on to active."""
    marks = _marks(node)
    print("   from power-on to active, by phase:")
    total = 0.0
    for (start, name), (end, _) in pairwise(marks):
        print(f"   {end - start:5.0f} s  {name}")
        total += end - start
    print(f"   {total:5.0f} s  in all; then {up.seconds:.0f} s to the system")


def _marks(node: Node) -> list[tuple[float, str]]:
    """Return when each phase began; the end is the last one."""
    phases = (
        ("power on", "firmware, ramdisk, first heartbeat"),
        ("deploy_partitions", "deploy_partitions"),
        ("prepare_instance_boot", "prepare the boot, collect logs, power"),
    )
    marks: list[tuple[float, str]] = []
    for word, name in phases:
        passed = next((p for p, now in node.trail if word in now), None)
        if passed is not None and (not marks or passed >= marks[-1][0]):
            marks.append((passed, name))
    return [*marks, (node.trail[-1][0], "active")]


def _debugfs(start: int, request: str) -> str:
    return _output(
        "debugfs", "-w" if request.startswith("write") else "-c",
        "-R", request, f"{places.DISK}?offset={start}",
    )  # fmt: skip


def _output(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, capture_output=True, text=True
    ).stdout
