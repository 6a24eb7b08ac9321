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

"""Disks as others lay them out, described as a document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipa_partitions import deploy, layout
from ipa_partitions.capture import capture
from ipa_partitions.disk import bcache
from ipa_partitions.disk.contents import Contents, Filesystem, Partition
from ipa_partitions.disk.inventory import Inventory
from ipa_partitions.disk.machine import Disk, Machine
from ipa_partitions.disk.size import MIB
from ipa_partitions.errors import MachineErrors
from ipa_partitions.layout.values import TYPE_GUIDS
from ipa_partitions.resolve import resolve
from ipa_partitions.verify import differences

DEVICE = "/dev/vda"
SECTOR = 512
SEED = "00000000-0000-4000-8000-000000000001"
LINUX, ESP = TYPE_GUIDS["linux"], TYPE_GUIDS["esp"]
NOTHING = Filesystem()
EXT4 = Filesystem("ext4", "", "11111111-0000-4000-8000-000000000001")
VFAT = Filesystem("vfat", "EFI", "ABCD-1234")


def found(*rows, table="gpt", **more):
    """Return a disk with (start, size in bytes, type, filesystem) rows."""
    partitions = tuple(
        Partition(f"{DEVICE}{n}", n, f"no. {n}", *row)
        for n, row in enumerate(rows, start=1)
    )
    return Inventory(
        {DEVICE: Contents(DEVICE, table, partitions, NOTHING)},
        found={each.device: each.filesystem for each in partitions},
        **more,
    )


def again(inventory, size_bytes):
    """Return how the disk differs from what is captured of it."""
    document = capture(inventory, {DEVICE: size_bytes})
    machine = Machine((Disk(DEVICE, size_bytes),), "bios")
    resolved = resolve(layout.parse(document), machine, SEED)
    return differences(resolved, inventory)


@given(
    size=st.integers(2000 * MIB // SECTOR, 4000 * MIB // SECTOR),
    start=st.sampled_from([34, 63, 2048]),
    sizes=st.lists(
        st.integers(100 * MIB // SECTOR, 400 * MIB // SECTOR), max_size=4
    ),
)
def test_partitions_side_by_side_are_within_a_mib(size, start, sizes):
    rows = []
    for each in sizes:
        rows.append((start * SECTOR, each * SECTOR, LINUX, NOTHING))
        start += each
    assert again(found(*rows), size * SECTOR) == ()


@pytest.mark.parametrize(("size_bytes", "is_same"), [
    (10_000 * MIB, True),
    (500_107_862_016, False),  # 40 KiB more than whole MiB
])  # fmt: skip
def test_the_last_partition_ends_where_a_document_lets_it(size_bytes, is_same):
    end = size_bytes - 33 * SECTOR
    different = again(found((MIB, end - MIB, LINUX, EXT4)), size_bytes)
    assert [each.partition(": ")[0] for each in different] == (
        [] if is_same else [f"{DEVICE}1 size"]
    )


def test_an_esp_is_found_again_by_its_uuid():
    inventory = found((MIB, 100 * MIB, ESP, VFAT))
    (disk,) = capture(inventory, {DEVICE: 200 * MIB})["partitions"]
    assert disk["volumes"] == [
        {
            "type": "esp",
            "name": "no. 1",
            "label": "EFI",
            "uuid": "ABCD-1234",
            "size": "100 MiB",
        }
    ]


def test_an_esp_without_a_filesystem_is_a_partition():
    assert again(found((MIB, 100 * MIB, ESP, NOTHING)), 200 * MIB) == ()


CACHE = bcache.Superblock(f"{DEVICE}1", "cache", "3", SEED)


@pytest.mark.parametrize(("inventory", "problem"), [
    (found((MIB, 9 * MIB, LINUX, EXT4), (10 * MIB, 9 * MIB, LINUX, EXT4)),
     "is at $.partitions[0].volumes[0].uuid already"),
    (found((MIB, 9 * MIB, ESP, VFAT), (10 * MIB, 9 * MIB, ESP, VFAT)),
     "a second esp on the disk"),
    (found((MIB, 9 * MIB, LINUX, NOTHING), bcaches=(CACHE,)),
     "volumes[0].bcache: '' is not a name"),
])  # fmt: skip
def test_what_no_document_says_is_an_error(inventory, problem):
    with pytest.raises(MachineErrors) as raised:
        capture(inventory, {DEVICE: 200 * MIB})
    first = str(raised.value.errors[0])
    assert problem in first
    assert first.endswith(", which no document says")


@pytest.mark.parametrize("name", [
    "vda", "/dev/vda", "disk/by-id/a-b", "/dev/disk/by-id/a-b",
])  # fmt: skip
def test_a_disk_is_captured_however_it_is_called(monkeypatch, name):
    disk = Disk(DEVICE, 200 * MIB, links=("/dev/disk/by-id/a-b",))
    monkeypatch.setattr(deploy, "probe", lambda: Machine((disk,), "bios"))
    monkeypatch.setattr(deploy, "with_private_mounts", lambda job: job())
    monkeypatch.setattr(deploy, "read_inventory", lambda _disks: found())
    (entry,) = deploy.capture([name])["partitions"]
    assert entry["id"]["value"] == "vda"
