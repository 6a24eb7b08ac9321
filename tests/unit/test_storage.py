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

"""Groups, arrays, sets and subvolumes: what a document may say of them, and
where every extent of it goes."""

from __future__ import annotations

import pytest

from ipa_partitions import layout
from ipa_partitions.disk.machine import Disk, Machine
from ipa_partitions.disk.size import MIB
from ipa_partitions.errors import LayoutErrors, MachineErrors
from ipa_partitions.resolve import resolve

SEED = "00000000-0000-0000-0000-000000000001"
IMAGES = [
    {"name": "a", "image_pull_url": "file:///a.tar"},
    {"name": "b", "image_pull_url": "file:///b.tar"},
]
KEY = {"type": "luks2", "key_file": "/etc/key"}


def disk(name, *volumes, **keys):
    by_name = {"type": "name", "value": name}
    return {"type": "disk", "id": by_name, "volumes": [*volumes], **keys}


def part(size, mount="none", **keys):
    return {"type": "partition", "size": size, "mount": mount, **keys}


def pv(size="remaining", vg="vg0"):
    return {"type": "pv", "size": size, "vg": vg}


def lv(name, size, **keys):
    return {"type": "lv", "name": name, "size": size, **keys}


def vg(*volumes, name="vg0"):
    return {"type": "vg", "id": name, "volumes": [*volumes]}


def member(array=None, size=100, **keys):
    named = {"raid": array} if array else {}
    return {"type": "raid", "size": size, **named, **keys}


def raid(name="md0", level=1, **keys):
    return {"type": "raid", "id": name, "level": level, **keys}


def document(*entries, images=(), **keys):
    return {
        "partitions_policy": "clean",
        "partitions": [*entries],
        "images": [*images],
        **keys,
    }


def problems(described):
    with pytest.raises(LayoutErrors) as raised:
        layout.parse(described)
    return [str(error) for error in raised.value.errors]


def resolved(described, *sizes_mib, sectors_bytes=(512,) * 8):
    names = (f"/dev/vd{letter}" for letter in "abcdefgh")
    disks = (
        Disk(name, int(size * MIB), sector)
        for name, size, sector in zip(
            names, sizes_mib, sectors_bytes, strict=False
        )
    )
    machine = Machine(tuple(disks), "bios", imagined=True)
    return resolve(layout.parse(described), machine, SEED)


TWO_PVS = (disk("vda", pv()), disk("vdb", pv()))
TWO_MEMBERS = (disk("vda", member("md0")), disk("vdb", member("md0")))
LV = "$.partitions[2].volumes[0]"


@pytest.mark.parametrize(("entries", "problem"), [
    ((*TWO_PVS, vg(lv("a_rimage_0", 1))), f"{LV}.name: LVM keeps names"),
    ((*TWO_PVS, vg(lv("pvmove0", 1))), f"{LV}.name: LVM keeps names"),
    ((*TWO_PVS, vg(lv("x" * 120, 1))), f"{LV}.name: with its group's"),
    *(((*TWO_PVS, vg(lv(None, 1, mount=mount))),
       f"{LV}.mount: makes the name {name!r}: give it another name")
      for mount, name in (("/var/my log", "var-my log"), ("/é", "é"),
                          ("/-x", "-x"))),
    ((*TWO_PVS, vg(lv(None, 1, id="x" * 120))), f"{LV}.id: with its group's"),
    ((*TWO_PVS, vg(lv("a", 1), lv(None, 1, id="a"))),
     "$.partitions[2].volumes[1].id: a second 'a' in the group"),
    ((*TWO_PVS, vg(lv("a", 1), lv("a", 1))),
     "$.partitions[2].volumes[1].name: a second 'a' in the group"),
    ((*TWO_PVS, vg(lv("a", 1, stripes=2))),
     f"{LV}.stripes: is for the layout striped alone"),
    ((*TWO_PVS, vg(lv("a", 1, layout="striped", stripes=3))),
     f"{LV}.stripes: striped takes 3 pvs, the group has 2"),
    ((*TWO_PVS, vg(lv("a", 1, layout="raid1", mirrors=2))),
     f"{LV}.mirrors: raid1 takes 3 pvs, the group has 2"),
    ((*TWO_PVS, vg(lv("a", 1, layout="thin", pool="p"))),
     f"{LV}.pool: there is no thin-pool 'p' in the group; there is none"),
    ((*TWO_PVS, vg(lv("p", 1, layout="thin-pool"),
                   *(lv(name, "remaining", layout="thin", pool="p")
                     for name in "ab"))),
     f"$.partitions[2].volumes[2].size: {LV.replace('[0]', '[1]')} is 'rem"),
    ((*TWO_PVS, vg(lv("a", 1, layout="thin"))),
     f"{LV}.pool: is required for the layout thin"),
    ((*TWO_PVS, vg(lv("p", 1, layout="thin-pool", mount="/"))),
     f"{LV}: a thin-pool holds thin volumes, no filesystem"),
    ((*TWO_PVS, vg(lv("p", 1, layout="thin-pool", keep_data=False))),
     f"{LV}.keep_data: a thin-pool holds none of its own"),
    ((disk("vda", {**pv(), "keep_data": False}), vg(lv("a", 1))),
     "$.partitions[0].volumes[0]: keep_data: a pv holds none of its own"),
    ((*TWO_MEMBERS, raid(level=0, spares=1)),
     "$.partitions[2].spares: level 0 can use no spare"),
    ((*TWO_MEMBERS, raid(level=0, metadata="0.90")),
     "$.partitions[2].metadata: 0.90 has no room for the layout of level 0"),
    ((disk("vda", *[member("md0")] * 28), raid(metadata="0.90")),
     "$.partitions[1].metadata: 0.90 has room for 27 members"),
    ((*TWO_MEMBERS, raid(spares=1)),
     "$.partitions[2].level: level 1 with 1 spares takes 3 members, here"),
    ((*TWO_MEMBERS, raid(vg="vg0", mount="/x"), vg(lv("a", 1))),
     "$.partitions[2].vg: the array has a content of its own already"),
    ((disk("vda", member("md0", mount="/x")), disk("vdb", member("md0")),
      raid()),
     "$.partitions[0].volumes[0]: the array 'md0' has the filesystem"),
    ((disk("vda", member("x" * 28)), disk("vdb", member("x" * 28)),
      raid("x" * 28)),
     f"$.partitions[2].id: '{'x' * 28}' is longer than the 27"),
    ((*TWO_MEMBERS, {**raid(), "name": "x"}),
     "$.partitions[2]: the name 'x' is not the id, 'md0'"),
    ((disk("vda"), {"type": "bcache", "id": "c", "name": "x"}),
     "$.partitions[1]: the name 'x' is not the id, 'c'"),
    # Bareon's short form
    ((disk("vda", member(mount="/x")),),
     "$.partitions[0].volumes[0].mount: level 1 with 0 spares takes 2"),
    ((disk("vda", member(mount="/x")),
      disk("vdb", member(mount="/x", label="y"))),
     "$.partitions[1].volumes[0]: is not described as $.partitions[0]"),
    ((disk("vda", member(mount="/x"), member(mount="/x")),),
     "$.partitions[0].volumes[0].mount: two members of one array are on"),
    *(((disk("vda", member(mount=mount)), disk("vdb", member(mount=mount))),
       f"$.partitions[0].volumes[0].mount: {problem}")
      for mount, problem in (("/my data", "makes the name 'my data': give"),)),
    ((disk("vda", member(mount="/"), member("root")),
      disk("vdb", member(mount="/"))),
     "$.partitions[0].volumes[1].raid: there is no raid 'root'; there is"),
    # multiboot, and what firmware reads
    ((*TWO_PVS, vg(lv("a", 1, mount="multiboot"))),
     f"{LV}.mount: only a partition can be multiboot"),
    ((*TWO_MEMBERS, raid(mount="multiboot")),
     "$.partitions[2].mount: only a partition can be multiboot"),
    ((disk("vda", part(1)),
      {"type": "bcache", "id": "c", "mount": "multiboot"}),
     "$.partitions[1].mount: only a partition can be multiboot"),
    ((disk("vda", member(mount="multiboot")),
      disk("vdb", member(mount="multiboot"))),
     "$.partitions[0].volumes[0].mount: only a partition can be multiboot"),
    ((disk("vda", member("md0", mount="multiboot")),
      disk("vdb", member("md0")), raid()),
     "$.partitions[0].volumes[0]: the array 'md0' has the filesystem"),
    # bcache
    ((disk("vda", {"type": "bcache_cache", "size": 200, "bcache": "c"}),
      {"type": "bcache", "id": "c"}),
     "$.partitions[1].id: a set has exactly one bcache_backing"),
    # btrfs
    ((disk("vda", part(200, subvolumes=[{"name": "@"}])),),
     "$.partitions[0].volumes[0].subvolumes: none has none, btrfs has"),
    ((disk("vda", part(200, file_system="btrfs",
                       subvolumes=[{"name": "@"}, {"name": "@"}])),),
     "$.partitions[0].volumes[0].subvolumes[1].name: a second '@'"),
    ((disk("vda", part(200, file_system="btrfs",
                       subvolumes=[{"name": "../x"}])),),
     "$.partitions[0].volumes[0].subvolumes[0].name: '../x' is not a path"),
])  # fmt: skip
def test_bad_storage_is_refused_with_the_path(entries, problem):
    found = problems(document(*entries))
    assert any(each.startswith(problem) for each in found), found


@pytest.mark.parametrize(("entries", "reason"), [
    ((disk("vda", part(500, "/", encryption=KEY)),), "is encrypted"),
    ((disk("vda", part(500, "/"), part(90, "/boot", encryption=KEY)),),
     "is encrypted"),
    ((disk("vda", part(90, "/srv"), pv()),
      vg(lv("p", 500, layout="thin-pool"),
         lv("root", 500, layout="thin", pool="p", mount="/"))), "is thin"),
    ((disk("vda", part(1), {"type": "bcache_backing", "size": 500,
                            "bcache": "c"}),
      {"type": "bcache", "id": "c", "mount": "/"}), "is cached"),
])  # fmt: skip
def test_grub_must_be_able_to_read_the_kernel(entries, reason):
    (problem,) = problems(document(*entries, images=IMAGES[:1]))
    assert f"{reason}, so GRUB cannot read the kernel of 'a'" in problem


ESP = {"size": 90, "mount": "/boot/efi", "file_system": "vfat"}


@pytest.mark.parametrize(("entries", "at"), [
    ((*TWO_PVS, vg(lv("a", **ESP))), LV),
    ((disk("vda", member(**ESP)), disk("vdb", member(**ESP))),
     "$.partitions[0].volumes[0]"),
    ((disk("vda", part(90, file_system="btrfs", subvolumes=[
        {"name": "e", "mount": "/boot/efi"}])),),
     "$.partitions[0].volumes[0].subvolumes[0]"),
])  # fmt: skip
def test_firmware_must_be_able_to_read_the_esp(entries, at):
    root = disk("vdc", part(900, "/"))
    described = document(*entries, root, images=IMAGES[:1])
    assert problems(described) == [
        f"{at}.mount: firmware reads an ESP from a partition"
    ]
    layout.parse(described | {"boot": {"firmware": "bios"}})
    layout.parse(described | {"boot": {"loader": "none"}})


def test_an_encrypted_root_boots_with_a_boot_volume_of_its_own():
    layout.parse(
        document(
            disk("vda", part(90, "/boot"), part(500, "/", encryption=KEY)),
            images=IMAGES[:1],
        )
    )


@pytest.mark.parametrize(("wanted", "sizes_mib"), [
    # Two pvs of 998 MiB have (998 - 1) // 4 = 249 extents each.
    ([lv("a", "remaining")],                       [1992]),
    ([lv("a", "100%")],                            [1992]),
    ([lv("a", "50%"), lv("b", "remaining")],       [996, 996]),
    ([lv("a", "10 MiB")],                          [12]),
    ([lv("a", "1%")],                              [16]),
    ([lv("a", "33.3%")],                           [660]),
    ([lv("a", "10 MiB", layout="striped")],        [16]),
    ([lv("a", "50%", layout="striped")],           [992]),
    # One extent of metadata for each copy.
    ([lv("a", "remaining", layout="raid1")],       [992]),
    ([lv("a", 500, layout="raid1"), lv("b", "remaining")], [500, 984]),
    ([lv("a", "50%", layout="raid1")],             [992]),
    # What is thin is a part of its pool, and may be more than that.
    ([lv("p", 400, layout="thin-pool"),
      lv("a", "50%", layout="thin", pool="p"),
      lv("b", "3 GiB", layout="thin", pool="p")],  [400, 200, 3072]),
    ([lv("p", 400, layout="thin-pool"),
      lv("a", 100, layout="thin", pool="p"),
      lv("b", "remaining", layout="thin", pool="p")], [400, 100, 300]),
    ([lv("p", "remaining", layout="thin-pool"),
      lv("a", "remaining", layout="thin", pool="p")], [1984, 1984]),
])  # fmt: skip
def test_volumes_are_shared_out_in_extents(wanted, sizes_mib):
    # A group comes with a whole disk each: 1 MiB more at either end.
    (group,) = resolved(document(*TWO_PVS, vg(*wanted)), 1000, 1000).groups
    assert group.size_bytes == 1992 * MIB
    assert [lv.spec.size_bytes // MIB for lv in group.volumes] == sizes_mib


@pytest.mark.parametrize(("wanted", "problem"), [
    ([lv("a", "2 GiB")], "$.partitions[2]: the sizes exceed the space by 56"),
    ([lv("a", "60%"), lv("b", "60%")], "$.partitions[2]: the sizes exceed"),
    ([lv("a", "100%"), lv("b", "remaining")],
     f"{LV.replace('[0]', '[1]')}.size: nothing remains"),
    ([lv("a", 996, layout="raid1")], "$.partitions[2]: the sizes exceed"),
])  # fmt: skip
def test_what_does_not_fit_a_group_is_refused(wanted, problem):
    with pytest.raises(MachineErrors) as raised:
        resolved(document(*TWO_PVS, vg(*wanted)), 1000, 1000)
    assert str(raised.value.errors[0]).startswith(problem)


def test_parts_that_must_be_apart_need_space_apart():
    entries = (disk("vda", pv()), disk("vdb", pv(40)))
    wanted = vg(lv("a", 100, layout="raid1"))
    with pytest.raises(MachineErrors, match="on pvs of their own"):
        resolved(document(*entries, wanted), 1000, 1000)


@pytest.mark.parametrize(("level", "spares", "members", "size_mib"), [
    (0, 0, [100, 200], 298),
    (1, 0, [100, 200], 99),
    (1, 1, [100, 100, 100], 99),
    (4, 0, [100, 100, 100], 198),
    (5, 1, [100, 100, 100, 100], 198),
    (6, 0, [100, 100, 100, 100], 198),
    (10, 0, [100, 100, 100, 100], 198),
    (10, 0, [100, 100, 100], 148),
])  # fmt: skip
def test_an_array_is_as_large_as_its_members_allow(
    level, spares, members, size_mib
):
    disks = (
        disk(f"vd{letter}", member("md0", size))
        for letter, size in zip("abcd", members, strict=False)
    )
    entry = raid(level=level, spares=spares)
    (array,) = resolved(document(*disks, entry), *[1000] * 4).arrays
    assert array.size_bytes == size_mib * MIB
    assert len(array.spec.spares) == spares


def test_an_array_of_the_short_form_has_a_name_that_mdadm_takes():
    long = "/srv/" + "x" * 60
    volumes = [member(mount=f"{long}{n}", file_system="ext4") for n in "ab"]
    described = document(disk("vda", *volumes), disk("vdb", *volumes))
    names = [array.id for array in layout.parse(described).arrays]
    assert len({*names}) == 2
    assert all(len(name) <= 27 for name in names)


def test_the_short_form_is_a_raid1_array_for_each_mount():
    short = document(
        *(
            disk(
                name,
                member(mount="/", size=500),
                member(mount="/", size=500, images=["b"]),
                member(mount="swap", size=50),
            )
            for name in ("vda", "vdb")
        ),
        images=IMAGES,
    )
    arrays = resolved(short, 2000, 2000).arrays
    assert [
        (a.spec.name, a.spec.level, a.spec.members, a.volume.content.images)
        for a in arrays
    ] == [
        ("root", 1, ("/dev/vda3", "/dev/vdb2"), ("a",)),
        ("root-2", 1, ("/dev/vda4", "/dev/vdb3"), ("b",)),
        ("swap", 1, ("/dev/vda5", "/dev/vdb4"), ("a",)),
    ]


@pytest.mark.parametrize(("entries", "boots"), [
    ((disk("vda", part(500, "/")), disk("vdb", part(9))), ["/dev/vda"]),
    ((disk("vda", member("md0", 500)), disk("vdb", part(9)),
      disk("vdc", member("md0", 500)), raid(mount="/")),
     ["/dev/vda", "/dev/vdc"]),
    # The loader's first disk is the first one, the mirrors come with it.
    ((disk("vda", part(9)), disk("vdb", member("md0", 500)),
      disk("vdc", member("md0", 500)), raid(mount="/")),
     ["/dev/vda", "/dev/vdb", "/dev/vdc"]),
    ((disk("vda", member("md0", 500)), disk("vdb", member("md0", 500)),
      raid(vg="vg0"), vg(lv("root", 400, mount="/"))),
     ["/dev/vda", "/dev/vdb"]),
    ((disk("vda", part(400, "/"), member("md0")), disk("vdb", member("md0")),
      raid(mount="/srv")), ["/dev/vda"]),
    ((disk("vda", member("md0", 500)), disk("vdb", member("md0", 500),
                                            boot=True), raid(mount="/")),
     ["/dev/vdb"]),
    ((disk("vda", member("md0", 500)), disk("vdb", member("md0", 500),
                                            boot=False), raid(mount="/")),
     ["/dev/vda"]),
])  # fmt: skip
def test_the_loader_goes_to_every_mirror(entries, boots):
    described = document(*entries, images=IMAGES[:1])
    result = resolved(described, 1000, 1000, 1000)
    assert [disk.device for disk in result.boot_disks] == boots


def test_a_subvolume_is_a_place_in_the_tree_of_its_own():
    volume = part(
        500,
        file_system="btrfs",
        subvolumes=[
            {"name": "@", "mount": "/"},
            {"name": "@home", "mount": "/home"},
            {"name": "@snapshots"},
        ],
    )
    result = resolved(document(disk("vda", volume), images=IMAGES[:1]), 1000)
    (system,) = result.systems
    assert [volume.place for volume in system.mounts] == [
        ("/dev/vda2", "/", ("subvol=@",)),
        ("/dev/vda2", "/home", ("subvol=@home",)),
    ]


@pytest.mark.parametrize("entries", [
    (disk("vda", pv(4)), vg(lv("a", 4))),
    (disk("vda", member("md0", 1)), disk("vdb", member("md0", 1)), raid()),
    (disk("vda", part(16, encryption=KEY)),),
    (disk("vda", {"type": "bcache_cache", "size": 256, "bcache": "c"},
          {"type": "bcache_backing", "size": 99, "bcache": "c"}),
     {"type": "bcache", "id": "c"}),
])  # fmt: skip
def test_what_is_too_small_to_hold_anything_is_refused(entries):
    with pytest.raises(MachineErrors) as raised:
        resolved(document(*entries), 1000, 1000)
    assert ".size: " in str(raised.value.errors[0])


@pytest.mark.parametrize(("array", "size_mib", "problem"), [
    (raid(level=0, metadata="1.0"), 1000.5, "of whole MiB, /dev/vda is not"),
    (raid(level=0, metadata="1.0"), 1000, None),
    (raid(level=0, metadata="1.2"), 1000.5, None),
    (raid(level=1, metadata="1.0"), 1000.5, None),
    (raid(metadata="0.90"), 4 * 1024**2, None),
    (raid(metadata="0.90"), 4 * 1024**2 + 1, "0.90 takes members of"),
    (raid(metadata="1.0"), 4 * 1024**2 + 1, None),
])  # fmt: skip
def test_mdadm_must_be_able_to_make_the_array(array, size_mib, problem):
    whole = {**member("md0", "100%")}
    disks = (disk(name, whole, table="none") for name in ("vda", "vdb"))
    described = document(*disks, array)
    sizes_mib = [size_mib, size_mib]
    if problem is None:
        assert resolved(described, *sizes_mib).arrays
        return
    with pytest.raises(MachineErrors) as raised:
        resolved(described, *sizes_mib)
    assert str(raised.value.errors[0]).startswith("$.partitions[2].metadata: ")
    assert problem in str(raised.value.errors[0])


@pytest.mark.parametrize("entries", [
    (*TWO_PVS, vg(lv("a", 1))),
    (disk("vda", pv(100), member("md0")), disk("vdb", member("md0")),
     raid(vg="vg0"), vg(lv("a", 1))),
])  # fmt: skip
def test_a_group_has_sectors_of_one_size(entries):
    described = document(*entries)
    for both in (512, 512), (4096, 4096):
        assert resolved(described, 1000, 1000, sectors_bytes=both).groups
    with pytest.raises(MachineErrors) as raised:
        resolved(described, 1000, 1000, sectors_bytes=(512, 4096))
    at = f"$.partitions[{len(entries) - 1}]"
    (problem,) = raised.value.errors
    assert str(problem).startswith(f"{at}: the group vg0 would mix sectors")
    # One that is there already was allowed to.
    kept = described | {"partitions_policy": "verify"}
    assert resolved(kept, 1000, 1000, sectors_bytes=(512, 4096)).groups


def test_an_encrypted_volume_is_opened_by_its_own_uuid():
    described = document(disk("vda", part(500, "none", encryption=KEY)))
    (volume,) = resolved(described, 1000).volumes
    assert volume.home == "/dev/vda1"
    assert volume.device == f"/dev/mapper/luks-{volume.luks.uuid}"
    assert volume.inner_bytes == (500 - 16) * MIB
