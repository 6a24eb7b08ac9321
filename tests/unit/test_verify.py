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

"""Policy verify, the comparing: every difference, and no other."""

from __future__ import annotations

import pytest

from ipa_partitions import layout
from ipa_partitions.disk import bcache, luks, lvm
from ipa_partitions.disk.contents import Contents, Filesystem
from ipa_partitions.disk.contents import Partition as FoundPartition
from ipa_partitions.disk.inventory import Array, Encrypted, Inventory
from ipa_partitions.disk.machine import Disk, Machine
from ipa_partitions.disk.size import exact_bytes
from ipa_partitions.resolve import resolve
from ipa_partitions.verify import differences, with_kept_ids
from tests import everything
from tests.differences import DIFFERENCES, TOGETHER, changed

DEVICES = ("/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd")
SEED = "00000000-0000-4000-8000-000000000001"
OTHER_SEED = "00000000-0000-4000-8000-000000000002"
# What only a try shows.
WRONG_KEY = "encryption with another key"


def resolved(document, seed=SEED):
    disks = zip(DEVICES, everything.SIZES, strict=True)
    machine = Machine(
        tuple(Disk(device, exact_bytes(size)) for device, size in disks),
        "bios",
    )
    return resolve(layout.parse(document), machine, seed, ())


def laid_out(wanted):
    """Return what is there when ``wanted`` was laid out."""
    found, encrypted = {}, {}
    for volume in wanted.volumes:
        content = volume.content
        inside = Filesystem(
            content.file_system, content.label or "", volume.uuid
        )
        place = places(wanted).get(volume.home, volume.home)
        found[place] = inside
        if volume.luks:
            found[place] = Filesystem("crypto_LUKS")
            found[volume.device] = inside
            header = luks.Header(place, 2, volume.luks.uuid, None, False)
            encrypted[place] = Encrypted(place, header, volume.device)
    return Inventory(
        disks={d.device: contents(d, found) for d in wanted.disks},
        arrays=tuple(map(array, wanted.arrays)),
        groups=tuple(map(group, wanted.groups)),
        bcaches=tuple(b for each in wanted.bcaches for b in blocks(each)),
        encrypted=encrypted,
        found=found,
        subvolumes={
            v.device: tuple(each.name for each in v.content.subvolumes)
            for v in wanted.volumes
        },
    )


def places(wanted):
    return {each.spec.device: each.spec.backing for each in wanted.bcaches}


def contents(disk, found):
    parts = tuple(
        FoundPartition(
            p.volume.home, p.number, p.volume.name, p.start_bytes,
            p.size_bytes, p.type_guid, found.get(p.volume.home),
        )
        for p in disk.partitions
    )  # fmt: skip
    return Contents(disk.device, disk.table, parts, Filesystem())


def array(wanted):
    spec = wanted.spec
    members = {member: at for at, member in enumerate(spec.members)}
    return Array(
        spec.device, spec.uuid, spec.name, spec.level, len(spec.members),
        spec.metadata, members | dict.fromkeys(spec.spares),
    )  # fmt: skip


def group(wanted):
    volumes = tuple(
        lvm.Volume(
            lv.spec.name, "", lv.spec.size_bytes, lv.spec.layout,
            lv.spec.stripes, lv.spec.mirrors, lv.spec.pool, True,
        )
        for lv in wanted.volumes
    )  # fmt: skip
    return lvm.Group(wanted.name, "", lvm.EXTENT_BYTES, wanted.pvs, volumes)


def blocks(wanted):
    spec = wanted.spec
    yield bcache.Superblock(
        spec.backing, "backing", "", spec.uuid, spec.mode, 0
    )
    for cache in spec.caches:
        yield bcache.Superblock(cache, "cache", "", spec.uuid)


DOCUMENT = everything.document(DEVICES, "/etc/key")


@pytest.mark.parametrize("name", [n for n in DIFFERENCES if n != WRONG_KEY])
def test_a_difference_is_told_and_no_other(name):
    there = laid_out(resolved(DOCUMENT))
    document, told = changed(DOCUMENT, [name], DEVICES)
    assert [*differences(resolved(document), there)] == told


def test_every_kind_of_difference_is_in_a_case_of_many():
    told = [name for names in TOGETHER for name in names]
    assert {*told} == {*DIFFERENCES} - {"nothing"}
    assert len(told) == len({*told})


@pytest.mark.parametrize("names", TOGETHER)
def test_differences_at_the_same_time_are_all_told(names):
    there = laid_out(resolved(DOCUMENT))
    names = [name for name in names if name != WRONG_KEY]
    document, told = changed(DOCUMENT, names, DEVICES)
    assert sorted(differences(resolved(document), there)) == sorted(told)


def redeployed(*names):
    """Return the volumes before, and those when these are not kept."""
    document, _ = changed(DOCUMENT, ["nothing"], DEVICES)
    for name in names:
        everything.named(document, name)["keep_data"] = False
    first = resolved(DOCUMENT)
    again = with_kept_ids(resolved(document, OTHER_SEED), laid_out(first))
    assert [a.spec.uuid for a in again.arrays] == [
        a.spec.uuid for a in first.arrays
    ]
    return ({v.name: v for v in each.volumes} for each in (first, again))


def test_what_is_kept_keeps_its_uuids_and_all_else_has_fresh_ones():
    fresh = ("swap", "secret", "data", "mirror")
    before, after = redeployed(*fresh)
    for name, volume in after.items():
        assert volume.is_new == (name in fresh)
        if volume.content.file_system != "none":
            is_same = volume.uuid == before[name].uuid
            assert is_same == (name not in fresh)
    assert after["hidden"].device == before["hidden"].device
    assert after["secret"].device != before["secret"].device


def staying(**changes):
    """Return a document whose system stays and whose other volumes do not."""
    swap = {"mount": "swap"}
    data = {"mount": "/srv", "encryption": LUKS}
    fixed = {"mount": "/fixed", "uuid": FIXED, "encryption": LUKS}
    other = {"mount": "/other", "file_system": "ext3", **changes}
    return {
        "partitions": [{
            "type": "disk",
            "id": {"type": "name", "value": "vda"},
            "volumes": [
                {"type": "partition", "size": "100 MiB", "mount": "/"},
                *(
                    {"type": "partition", "size": "100 MiB", **each,
                     "keep_data": False}
                    for each in (swap, data, fixed, other)
                ),
            ],
        }],
        "images": [{"name": "a", "image_pull_url": "file:///a.tar"}],
    }  # fmt: skip


LUKS = {"type": "luks2", "tpm2": True}
FIXED = "2abf123d-d52f-4f62-a351-7358221bc51f"


def test_what_a_staying_system_mounts_keeps_its_uuid_when_made_anew():
    before = resolved(staying())
    again = resolved(staying(file_system="ext4"), seed=OTHER_SEED)
    kept = with_kept_ids(again, laid_out(before))
    old, new = before.volumes, kept.volumes
    assert [v.is_new for v in new[-5:]] == [False, True, True, True, True]
    same = [a.uuid == b.uuid for a, b in zip(old, new, strict=True)]
    # What becomes another filesystem has nothing to keep.
    assert same == [*[True] * (len(old) - 1), False]
    for number in (-3, -2):
        assert old[number].luks.uuid == new[number].luks.uuid
        assert old[number].luks.device == new[number].luks.device
    assert new[-2].uuid == FIXED
    (system,) = kept.systems
    assert [v.uuid for v in system.swaps] == [old[-4].uuid]
    deployed = staying()
    deployed["images"][0]["deploy"] = "always"
    anew = with_kept_ids(resolved(deployed, OTHER_SEED), laid_out(before))
    assert anew.volumes[-4].uuid != old[-4].uuid
