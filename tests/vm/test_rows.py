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

"""Rows of the document that the other tests of this folder have no use for.

How disks are told, tables, budgets, and where service partitions go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions.deploy import Request, deploy, verify
from tests.deployed import output, tags
from tests.everything import volume

MIB = 1024**2


def laid_out(*entries: dict[str, Any]) -> None:
    """Lay disks out, and see that they are what the document says."""
    document = {"partitions_policy": "clean", "partitions": [*entries]}
    deploy(Request(document, firmware="bios"))
    assert verify(Request(document, firmware="bios")) == ()


def entry(kind: str, value: object, *volumes: Any, **keys: Any) -> Any:
    by = {"type": kind, "value": value} if value else {"type": kind}
    return {"type": "disk", "id": by, "volumes": [*volumes], **keys}


def seen(disk: str) -> Iterator[str]:
    """Yield what is on a disk: number, start, size in MiB, what is in it."""
    table = json.loads(output("sfdisk", "--json", disk))["partitiontable"]
    yield table["label"]
    unit = int(output("blockdev", "--getss", disk))
    for part in table["partitions"]:
        start, size = (part[key] * unit / MIB for key in ("start", "size"))
        found = tags(part["node"])
        what = [found.get(key, "-") for key in ("TYPE", "LABEL")]
        number = part["node"].removeprefix(disk)
        yield f"{number} {start:g}+{size:g} {' '.join(what)}"


@pytest.mark.disks("300 MiB", "350 MiB", "400 MiB", "300 MiB")
def test_a_disk_is_found_however_it_is_told(disks: tuple[str, ...]) -> None:
    address = Path("/sys/class/block", Path(disks[0]).name, "device")
    serial = output("lsblk", "-ndo", "SERIAL", disks[1]).strip()
    link = output("udevadm", "info", "--query=symlink", disks[2]).split()[0]
    laid_out(
        entry(
            "scsi", address.resolve().name,
            {**volume("partition", 0, name="half", file_system="ext4",
                      label="half"), "size": "50%"},
            {"type": "partition", "size": "remaining", "mount": "swap"},
            size="200 MiB",
        ),
        entry(
            "hints", {"serial": f"s== {serial}"},
            volume("partition", 100, file_system="ext3", mount="/srv",
                   label="srv"),
            {"type": "partition", "size": "remaining"},
            table="msdos",
        ),
        entry(
            "path", link,
            {"type": "partition", "size": "100%", "file_system": "vfat",
             "label": "FAT"},
            table="none",
        ),
    )  # fmt: skip
    assert [*seen(disks[0])] == [
        "gpt", "1 1+100 ext4 half", "2 101+98 swap -",
    ]  # fmt: skip
    assert [*seen(disks[1])] == [
        "dos", "1 1+100 ext3 srv", "2 101+249 - -",
    ]  # fmt: skip
    found = tags(disks[2])
    assert (found["TYPE"], found["LABEL"]) == ("vfat", "FAT")
    # Nobody spoke of it.
    assert output("wipefs", disks[3]) == ""


@pytest.mark.disks("5 GiB", "4 GiB", "3 GiB", sector_bytes=4096)
def test_service_partitions_are_where_the_document_has_them(
    disks: tuple[str, ...],
) -> None:
    """On the disk that Ironic would take, which is the second one."""
    laid_out(
        entry(
            "os_install", None,
            volume("partition", 120, name="first", file_system="btrfs"),
            volume("esp", 300, label="EFI"),
            {"type": "bios_boot"},
            {"type": "multiboot"},
        )
    )  # fmt: skip
    assert [*seen(disks[1])] == [
        "gpt",
        "1 1+120 btrfs -",
        "2 121+300 vfat EFI",
        "3 421+1 - -",
        "4 422+100 ext4 multiboot",
    ]
    for other in (disks[0], disks[2]):
        assert output("wipefs", other) == ""
