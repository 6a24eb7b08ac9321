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

"""Documents planned on recorded machines, see tests/machines."""

from __future__ import annotations

from typing import Any

import pytest

from ipa_partitions.deploy import Request, make_plan
from ipa_partitions.errors import MachineErrors
from ipa_partitions.plan import Plan
from tests import machines

CEPH_HDDS = 56


def planned(machine: str, *ids: dict[str, Any], **keys: Any) -> Plan:
    """Return the plan for two partitions on each of the disks meant."""
    volumes = [
        {"type": "partition", "name": "one", "size": "1 GiB"},
        {"type": "partition", "name": "two", "size": "remaining"},
    ]
    document = {
        "partitions_policy": "clean",
        "partitions": [
            {"type": "disk", "id": each, "volumes": volumes, **keys}
            for each in ids
        ],
    }
    return make_plan(
        Request(
            document,
            seed="c0ffee00-0000-4000-8000-000000000000",
            imagined=machines.disks(machine),
        )
    )


@pytest.mark.parametrize(("machine", "seen"), [
    ("cciss", [
        "/dev/cciss/c0d0 (146778685440 B)",
        "/dev/cciss/c0d1 (1000171331584 B)",
    ]),
    ("emmc", [
        "/dev/mmcblk0 (29820 MiB)",
        "/dev/mmcblk0boot0 (4 MiB)",
        "/dev/mmcblk0boot1 (4 MiB)",
    ]),
    ("multipath", [
        "/dev/sdz (240057409536 B)",
        "/dev/mapper/mpatha (512000 MiB)",
    ]),
    ("nvme", ["/dev/nvme1n1 (524288 MiB)", "/dev/nvme0n1 (524288 MiB)"]),
    ("sas-4kn", ["/dev/sdb (8388608 MiB)"]),
    ("virtio", ["/dev/vda (20480 MiB)"]),
])  # fmt: skip
def test_every_disk_is_seen_and_nothing_else(machine, seen):
    assert [str(disk) for disk in machines.disks(machine)] == seen


def by(kind: str, value: object) -> dict[str, Any]:
    return {"type": kind, "value": value}


MULTIPATH = "/dev/mapper/mpatha"


@pytest.mark.parametrize(("machine", "id_", "device"), [
    ("nvme", by("name", "nvme0n1"), "/dev/nvme0n1"),
    ("nvme", by("path", "disk/by-id/nvme-QEMU_NVMe_Ctrl_S5GYNX0R400002"),
     "/dev/nvme1n1"),
    ("nvme", by("path", "/dev/disk/by-path/pci-0000:00:07.0-nvme-1"),
     "/dev/nvme0n1"),
    ("nvme", by("hints", {"serial": "S5GYNX0R400002"}), "/dev/nvme1n1"),
    ("sas-4kn", by("scsi", "1:0:7:0"), "/dev/sdb"),
    ("sas-4kn", by("hints", {"model": "ST8000NM0095", "vendor": "SEAGATE"}),
     "/dev/sdb"),
    ("sas-4kn", by("hints", {"wwn": "0x5000c50093f2a1b3"}), "/dev/sdb"),
    ("sas-4kn", by("hints", {"size": ">= 8000"}), "/dev/sdb"),
    ("virtio", by("path", "disk/by-path/virtio-pci-0000:00:09.0"), "/dev/vda"),
    ("cciss", by("name", "cciss/c0d0"), "/dev/cciss/c0d0"),
    ("cciss", by("name", "cciss/c0d1"), "/dev/cciss/c0d1"),
    ("cciss",
     by("path", "disk/by-id/cciss-3600508b1001037383941424344450a00"),
     "/dev/cciss/c0d0"),
    ("emmc", by("name", "mmcblk0"), "/dev/mmcblk0"),
    ("emmc", {"type": "os_install"}, "/dev/mmcblk0"),
    # Whichever way, it is the disk that all paths lead to.
    ("multipath", by("name", "mapper/mpatha"), MULTIPATH),
    ("multipath", by("name", "dm-0"), MULTIPATH),
    ("multipath", by("name", "sdc"), MULTIPATH),
    ("multipath", by("path", "disk/by-id/wwn-0x600a098038304437"), MULTIPATH),
    ("multipath", by("path", "disk/by-path/pci-0000:00:0c.0-scsi-0:0:3:1"),
     MULTIPATH),
    ("multipath", by("scsi", "1:0:3:1"), MULTIPATH),
    ("multipath", by("hints", {"serial": "600a098038304437415d4b6a59676d44"}),
     MULTIPATH),
    ("multipath", {"type": "os_install"}, "/dev/sdz"),
    ("ceph", by("name", "sdbd"), "/dev/sdbd"),
    ("ceph", {"type": "os_install"}, "/dev/nvme0n1"),
    ("ceph", by("hints", {"serial": "ZL200055"}), "/dev/sdbd"),
])  # fmt: skip
def test_a_disk_is_found(machine, id_, device):
    (disk,) = planned(machine, id_).resolved.disks
    assert disk.device == device


@pytest.mark.parametrize(("machine", "id_", "problem"), [
    ("multipath", by("name", "sdb"), "no disk is /dev/sdb; disks present:"
     " /dev/sdz (240057409536 B), /dev/mapper/mpatha (512000 MiB)"),
    ("nvme", by("name", "nvme0n1p1"), "no disk is /dev/nvme0n1p1"),
    ("nvme", by("hints", {"model": "QEMU NVMe Ctrl"}),
     "model QEMU NVMe Ctrl means /dev/nvme1n1 and /dev/nvme0n1"),
])  # fmt: skip
def test_none_or_several_are_an_error(machine, id_, problem):
    with pytest.raises(MachineErrors) as caught:
        planned(machine, id_)
    assert str(caught.value).startswith(f"$.partitions[0].id: {problem}")


def test_paths_to_one_disk_are_one_disk():
    with pytest.raises(MachineErrors, match=f"{MULTIPATH} is the disk of"):
        planned("multipath", by("name", "sda"), by("name", "sdc"))


@pytest.mark.parametrize(("machine", "disk", "partitions"), [
    ("nvme", "nvme0n1", ["/dev/nvme0n1p1", "/dev/nvme0n1p2"]),
    ("emmc", "mmcblk0", ["/dev/mmcblk0p1", "/dev/mmcblk0p2"]),
    ("cciss", "cciss/c0d0", ["/dev/cciss/c0d0p1", "/dev/cciss/c0d0p2"]),
    ("virtio", "vda", ["/dev/vda1", "/dev/vda2"]),
    ("sas-4kn", "sdb", ["/dev/sdb1", "/dev/sdb2"]),
    ("multipath", "mapper/mpatha", [
        "/dev/mapper/mpatha-part1", "/dev/mapper/mpatha-part2",
    ]),
])  # fmt: skip
def test_partitions_are_called_as_the_kernel_calls_them(
    machine, disk, partitions
):
    (resolved,) = planned(machine, by("name", disk)).resolved.disks
    assert [volume.device for volume in resolved.volumes] == partitions


def test_sixty_disks_are_planned_at_once():
    disks = machines.disks("ceph")
    assert len(disks) == CEPH_HDDS + 4
    plan = planned("ceph", *(by("name", disk.device[5:]) for disk in disks))
    assert {disk.sector_bytes for disk in plan.resolved.disks} == {512, 4096}
    last = plan.resolved.disks[CEPH_HDDS - 1]
    assert last.device == "/dev/sdbd"
    assert [volume.device for volume in last.volumes] == [
        "/dev/sdbd1", "/dev/sdbd2",
    ]  # fmt: skip
