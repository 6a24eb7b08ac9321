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

"""Where every byte goes on a machine that is only imagined: SPEC 2.4-3.2."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipa_partitions import layout
from ipa_partitions.actions.fstab import fstab_lines
from ipa_partitions.disk.machine import Disk, Machine
from ipa_partitions.disk.size import MIB
from ipa_partitions.errors import LayoutErrors, MachineErrors
from ipa_partitions.resolve import resolve
from ipa_partitions.resolved import SpaceRequest

SEED = "00000000-0000-0000-0000-000000000001"
DIGEST = "0123456789abcdef" * 4
GIB = 1024 * MIB


def machine(*sizes_mib, sector_bytes=512, firmware="bios"):
    names = [f"/dev/vd{letter}" for letter in "abcdefgh"]
    disks = [
        Disk(
            name,
            int(size * MIB),
            sector_bytes,
            links=(f"/dev/disk/by-id/virtio-{name[-1]}",),
            hctl=f"0:0:0:{number}",
        )
        for number, (name, size) in enumerate(
            zip(names, sizes_mib, strict=False)
        )
    ]
    return Machine(tuple(disks), firmware, imagined=True)


def disk(*volumes, name="vda", **keys):
    by_name = {"type": "name", "value": name}
    return {"type": "disk", "id": by_name, "volumes": [*volumes], **keys}


def volume(size, mount="none", *images, **keys):
    if images:
        keys["images"] = list(images)
    return {"type": "partition", "size": size, "mount": mount, **keys}


def image(name, url="file:///x.tar", **keys):
    url_keys = {"image_pull_url": url, "checksum": DIGEST}
    return {"name": name, **url_keys, **keys}


def document(*disks, images=(), policy="clean", **keys):
    return {
        "partitions": [*disks],
        "images": [*images],
        "partitions_policy": policy,
        **keys,
    }


def resolved(image_info, on, requests=()):
    return resolve(layout.parse(image_info), on, SEED, requests)


def mib(resolved_layout, index=0):
    """Return (name, start, size) of every partition, in MiB."""
    return [
        (p.volume.name, p.start_bytes / MIB, p.size_bytes / MIB)
        for p in resolved_layout.disks[index].partitions
    ]


@pytest.mark.parametrize(("volumes", "keys", "disk_mib", "expected"), [
    ([volume("40%")], {}, 100, [("partition", 1, 40)]),
    ([volume("40%"), volume("remaining")], {}, 100,
     [("partition", 1, 40), ("partition", 41, 58)]),
    ([volume("40%"), volume("remaining")], {"table": "msdos"}, 100,
     [("partition", 1, 40), ("partition", 41, 59)]),
    ([volume("remaining")], {}, 100.75, [("partition", 1, 98)]),
    ([volume("50%"), volume("50%")], {"size": "50 MiB"}, 100,
     [("partition", 1, 25), ("partition", 26, 23)]),
    ([volume("remaining")], {"size": "10 MB"}, 100, [("partition", 1, 8)]),
    ([volume("remaining", "/home"), volume("1 GB", "swap")], {}, 10000,
     [("home", 1, 9044), ("swap", 9045, 954)]),
])  # fmt: skip
@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_partitions_follow_each_other(
    volumes, keys, disk_mib, expected, sector_bytes
):
    on = machine(disk_mib, sector_bytes=sector_bytes)
    assert mib(resolved(document(disk(*volumes, **keys)), on)) == expected


ONE = [image("a")]
TWO = [image("a"), image("b")]
ROOTS = [volume(1000, "/", "a"), volume(1000, "/", "b")]


@pytest.mark.parametrize(("disks", "images", "expected"), [
    # One image: only where BIOS finds its loader.
    ([disk(volume(1000, "/"))], ONE,
     [("bios_boot", 1, 1), ("root", 2, 1000)]),
    # Two: the shared boot loader as well.
    ([disk(*ROOTS)], TWO,
     [("bios_boot", 1, 1), ("multiboot", 2, 100), ("root", 102, 1000),
      ("root", 1102, 1000)]),
    # msdos has a gap before the first partition.
    ([disk(*ROOTS, table="msdos")], TWO,
     [("multiboot", 1, 100), ("root", 101, 1000), ("root", 1101, 1000)]),
    # Nothing to boot, or nobody to do it.
    ([disk(volume(1000, "/"))], [], [("root", 1, 1000)]),
    # A volume of the service type stays where it stands.
    ([disk(*ROOTS, {"type": "bios_boot"})], TWO,
     [("multiboot", 1, 100), ("root", 101, 1000), ("root", 1101, 1000),
      ("bios_boot", 2101, 1)]),
    ([disk({"type": "multiboot", "size": "200 MiB"}, *ROOTS)], TWO,
     [("bios_boot", 1, 1), ("multiboot", 2, 200), ("root", 202, 1000),
      ("root", 1202, 1000)]),
    ([disk(*ROOTS, volume(150, "multiboot"))], TWO,
     [("bios_boot", 1, 1), ("root", 2, 1000), ("root", 1002, 1000),
      ("multiboot", 2002, 150)]),
    # What the relative volumes give way to is also the loader's.
    ([disk(volume("50%", "/", "a"), volume("50%", "/", "b"))], TWO,
     [("bios_boot", 1, 1), ("multiboot", 2, 100), ("root", 102, 2500),
      ("root", 2602, 2397)]),
])  # fmt: skip
def test_service_partitions_come_first(disks, images, expected):
    found = resolved(document(*disks, images=images), machine(5000))
    assert mib(found) == expected


def test_no_loader_needs_no_partition():
    described = document(
        disk(volume(1000, "/")), images=ONE, boot={"loader": "none"}
    )
    assert mib(resolved(described, machine(5000))) == [("root", 1, 1000)]


@pytest.mark.parametrize(("boots", "expected"), [
    ([None, None],   ["/dev/vda"]),
    ([None, True],   ["/dev/vdb"]),
    ([True, True],   ["/dev/vda", "/dev/vdb"]),
    ([False, None],  ["/dev/vdb"]),
])  # fmt: skip
def test_the_loader_is_on_the_first_disk_or_those_named(boots, expected):
    disks = [disk(volume(1000, "/")), disk(volume(100), name="vdb")]
    for each, boot in zip(disks, boots, strict=True):
        if boot is not None:
            each["boot"] = boot
    found = resolved(document(*disks, images=ONE), machine(5000, 5000))
    assert [each.device for each in found.boot_disks] == expected


@pytest.mark.parametrize(("disk_mib", "keys", "volumes", "error"), [
    (100, {}, [volume(99)],
     "$.partitions[0]: the sizes exceed the space by 1 MiB"),
    (100, {}, [volume("60%"), volume("60%")],
     "$.partitions[0]: the sizes exceed the space by 22 MiB"),
    (100, {}, [volume("98"), volume("remaining")],
     "$.partitions[0].volumes[1].size: nothing remains for it"),
    (100, {"size": "200 MiB"}, [volume(1)],
     "$.partitions[0].size: 200 MiB is more than /dev/vda (100 MiB)"),
    (100, {"size": "1 GiB", "table": "none"}, [volume("remaining")],
     "$.partitions[0].size: 1024 MiB is more than /dev/vda (100 MiB)"),
    (100, {"size": "50 MiB", "table": "none"}, [volume("remaining")],
     "$.partitions[0].size: without a table the volume takes all of"),
    (3 * 1024**2, {"table": "msdos"}, [volume("remaining")],
     "$.partitions[0].table: msdos ends at 2097152 MiB"),
])  # fmt: skip
def test_what_does_not_fit_this_disk_is_refused(
    disk_mib, keys, volumes, error
):
    with pytest.raises(MachineErrors) as raised:
        resolved(document(disk(*volumes, **keys)), machine(disk_mib))
    assert str(raised.value).startswith(error)


def test_what_fits_no_disk_is_the_documents_fault():
    described = document(disk(volume(100), size="100 MiB"))
    with pytest.raises(LayoutErrors, match="exceed the space by 2 MiB"):
        resolved(described, machine(5000))


def test_what_service_partitions_leave_too_little_of_an_msdos_table():
    four = [*ROOTS, volume(10), volume(10)]
    described = document(disk(*four, table="msdos"), images=TWO)
    with pytest.raises(LayoutErrors, match=r"multiboot.* 5 partitions"):
        resolved(described, machine(5000))


def test_what_does_not_fit_is_told_in_the_words_of_the_classic_form():
    described = {
        "urls": ["file:///x.raw"], "root_mb": 9, "swap_mb": 9,
        "ephemeral_mb": 9, "configdrive": "H4sI", "disk_label": "msdos",
        "deploy_boot_mode": "uefi",
    }  # fmt: skip
    with pytest.raises(LayoutErrors, match=r"^\$\.disk_label: with esp 5"):
        resolved(described, machine(5000))


@pytest.mark.parametrize(("wanted", "device"), [
    ({"type": "name", "value": "vdb"},                        "/dev/vdb"),
    ({"type": "name", "value": "/dev/vdb"},                   "/dev/vdb"),
    ({"type": "path", "value": "disk/by-id/virtio-b"},        "/dev/vdb"),
    ({"type": "path", "value": "/dev/disk/by-id/virtio-b"},   "/dev/vdb"),
    ({"type": "scsi", "value": "0:0:0:1"},                    "/dev/vdb"),
    ({"type": "hints", "value": {"size": ">= 5"}},            "/dev/vdb"),
    ({"type": "hints", "value": {"hctl": "0:0:0:1"}},         "/dev/vdb"),
    # The smallest that is large enough.
    ({"type": "os_install"},                                  "/dev/vdb"),
])  # fmt: skip
def test_a_disk_is_found(wanted, device):
    described = document(disk(volume(1)) | {"id": wanted})
    found = resolved(described, machine(1000, 8000))
    assert found.disks[0].device == device


@pytest.mark.parametrize("wanted", [
    {"type": "name", "value": "vd"},
    {"type": "name", "value": "vdc"},
    {"type": "path", "value": "disk/by-id/virtio"},
    {"type": "scsi", "value": "0:0:0:9"},
    {"type": "hints", "value": {"size": "< 100"}},
    {"type": "hints", "value": {"serial": "x"}},
])  # fmt: skip
def test_no_disk_or_several_is_an_error_that_lists_those_present(wanted):
    described = document(disk(volume(1)) | {"id": wanted})
    with pytest.raises(MachineErrors) as raised:
        resolved(described, machine(1000, 8000))
    assert str(raised.value).startswith("$.partitions[0].id: ")
    assert "/dev/vda (1000 MiB), /dev/vdb (8000 MiB)" in str(raised.value)


def test_a_hint_that_does_not_go_with_what_a_disk_says_means_none():
    wanted = {"type": "hints", "value": {"size": "<in> 5"}}
    with pytest.raises(MachineErrors, match=r"\$.partitions\[0\].id: "):
        resolved(document(disk(volume(1)) | {"id": wanted}), machine(1000))


def test_two_entries_that_mean_one_disk_are_an_error():
    other = disk(volume(1)) | {"id": {"type": "scsi", "value": "0:0:0:0"}}
    with pytest.raises(MachineErrors, match=r"\$.partitions\[1\].id: "):
        resolved(document(disk(volume(1)), other), machine(1000))


def test_every_missing_disk_is_told_at_once():
    described = document(
        disk(volume(1), name="vdx"), disk(volume(1), name="vdy")
    )
    with pytest.raises(MachineErrors) as raised:
        resolved(described, machine(1000))
    assert len(raised.value.errors) == 2


def test_no_disk_hides_what_is_wrong_with_another():
    small = disk(volume(600), name="vda", size="500 MiB")
    large = disk(volume(2000), name="vdb")
    none = disk(volume(1), name="vdx")
    with pytest.raises(LayoutErrors) as raised:
        resolved(document(small, large, none), machine(1000, 1000))
    assert [each.at for each in raised.value.errors] == [
        "$.partitions[2].id", "$.partitions[0]", "$.partitions[1]",
    ]  # fmt: skip


@pytest.mark.parametrize(("booted", "asked", "roles", "tells"), [
    ("bios", "auto", ["bios_boot", "partition"],        False),
    ("uefi", "auto", ["esp", "partition"],              True),
    ("bios", "uefi", ["esp", "partition"],              False),
    ("uefi", "bios", ["bios_boot", "partition"],        False),
    ("uefi", "both", ["bios_boot", "esp", "partition"], True),
    ("bios", "both", ["bios_boot", "esp", "partition"], False),
])  # fmt: skip
def test_the_firmware_decides_what_is_there_to_boot_from(
    booted, asked, roles, tells
):
    found = resolved(
        document(disk(volume(9, "/")), images=ONE, boot={"firmware": asked}),
        machine(1000, firmware=booted),
    )
    assert [p.role for p in found.disks[0].partitions] == roles
    assert len(found.esps) == ("esp" in roles)
    assert found.tells_firmware == tells


def test_what_a_block_image_makes_useless_is_a_warning():
    root = volume(9, "/", mkfs_options=["-m", "0"])
    raw = image("a", "file:///x.raw")
    for one, is_told in ((raw, True), (image("a"), False)):
        found = resolved(document(disk(root), images=[one]), machine(1000))
        told = [w for w in found.warnings if "mkfs_options: the image" in w]
        assert bool(told) == is_told


@pytest.mark.parametrize(("keys", "warning"), [
    ({"boot": {"fallback": True}},
     "$.boot.fallback: there is no second system"),
    ({"boot": {"secure_boot": True}},
     "$.boot.secure_boot: BIOS has no Secure Boot"),
    ({"configdrive": "http://conductor/configdrive"},
     "$.configdrive: comes over plain http and cannot be checked"),
])  # fmt: skip
def test_what_has_no_effect_or_is_not_safe_is_a_warning(keys, warning):
    found = resolved(
        document(disk(volume(9, "/")), images=ONE, **keys), machine(1000)
    )
    assert [w for w in found.warnings if w.startswith(warning)]


def test_kernels_of_two_systems_in_one_boot_are_a_warning():
    shared = document(
        disk(
            volume(9, "/", "a"),
            volume(9, "/", "b"),
            volume(9, "/boot", "a", "b"),
        ),
        images=TWO,
    )
    assert [w for w in resolved(shared, machine(999)).warnings if "/boot" in w]
    shared["partitions"][0]["volumes"][2]["images"] = ["a"]
    assert resolved(shared, machine(999)).warnings == ()


def test_the_menu_of_one_system_is_in_its_own_boot():
    asked = [volume(150, "multiboot"), volume(9, "/", *"a")]
    one = resolved(document(disk(*asked), images=[image("a")]), machine(999))
    assert one.multiboot is None
    asked.append(volume(9, "/", "b"))
    images = [image("a"), image("b")]
    two = resolved(document(disk(*asked), images=images), machine(999))
    assert two.multiboot is not None


@pytest.mark.parametrize(("kind", "least"), [("xfs", 300), ("btrfs", 109)])
def test_a_filesystem_needs_its_room(kind, least):
    for size in (least, least - 1):
        described = document(disk(volume(size, "/d", file_system=kind)))
        if size == least:
            assert resolved(described, machine(999)).volumes
            continue
        with pytest.raises(MachineErrors, match=f"size: {kind} needs {least}"):
            resolved(described, machine(999))


def test_the_esp_is_in_fstab_but_not_in_the_tree():
    found = resolved(
        document(
            disk(volume(100, "/boot/efi"), volume(9, "/")),
            images=ONE,
            boot={"firmware": "uefi"},
        ),
        machine(1000),
    )
    (system,) = found.systems
    assert [v.content.mount for v in system.mounts] == ["/"]
    assert [line.mount for line in fstab_lines(system)] == ["/", "/boot/efi"]


def test_a_block_image_needs_a_volume_for_its_own():
    described = document(
        disk(volume(100, "/")), images=[image("a", "file:///a.raw",
                                              target="/srv")]
    )  # fmt: skip
    with pytest.raises(LayoutErrors, match=r"\$.images\[0\].target: a raw"):
        resolved(described, machine(1000))


def test_an_action_may_ask_for_a_partition():
    described = document(disk(volume("remaining", "/")), images=ONE)
    request = SpaceRequest("extra", layout.model.CONFIG_DRIVE_SIZE)
    found = resolved(described, machine(1000), [request])
    assert mib(found) == [
        ("bios_boot", 1, 1), ("extra", 2, 64), ("root", 66, 933),
    ]  # fmt: skip


@pytest.mark.parametrize("keys", [
    {}, {"images": ONE, "boot": {"loader": "none"}},
])  # fmt: skip
def test_what_is_asked_for_comes_also_with_nothing_to_boot(keys):
    described = document(disk(volume("remaining", "/")), **keys)
    request = SpaceRequest("extra", layout.model.CONFIG_DRIVE_SIZE)
    found = resolved(described, machine(1000), [request])
    assert mib(found) == [("extra", 1, 64), ("root", 65, 934)]


@pytest.mark.parametrize(("volumes", "expected"), [
    # Neither an action's nor service partitions are what was asked for.
    ([volume("50%", "/"), volume("50%")],
     [("bios_boot", 1, 1), ("extra", 2, 64), ("root", 66, 500),
      ("partition", 566, 433)]),
    ([{"type": "esp"}, volume("50%", "/"), volume("50%")],
     [("bios_boot", 1, 1), ("extra", 2, 64), ("esp", 66, 512),
      ("root", 578, 420), ("partition", 998, 1)]),
    ([{"type": "esp", "size": "1%"}, volume("99%", "/")],
     [("bios_boot", 1, 1), ("extra", 2, 64), ("esp", 66, 10),
      ("root", 76, 923)]),
    ([{"type": "esp", "size": 512}, volume("50%", "/"), volume("50%")],
     [("bios_boot", 1, 1), ("extra", 2, 64), ("esp", 66, 512),
      ("root", 578, 420), ("partition", 998, 1)]),
    ([volume(1), volume("100%", "/")], None),
])  # fmt: skip
def test_relative_volumes_give_way_to_what_was_not_asked_for(
    volumes, expected
):
    described = document(disk(*volumes), images=ONE)
    request = SpaceRequest("extra", layout.model.CONFIG_DRIVE_SIZE)
    if expected is None:
        with pytest.raises(MachineErrors, match="the sizes exceed the space"):
            resolved(described, machine(1000), [request])
        return
    assert mib(resolved(described, machine(1000), [request])) == expected


def test_what_is_asked_for_is_never_left_out():
    described = document(disk(volume("remaining"), boot=False))
    request = SpaceRequest("extra", layout.model.CONFIG_DRIVE_SIZE)
    with pytest.raises(LayoutErrors, match="no disk for the partition"):
        resolved(described, machine(1000), [request])


def test_a_volume_of_the_document_takes_the_place_of_what_is_asked_for():
    described = document(
        disk(volume("remaining", "/"), volume(32, name="extra")), images=ONE
    )
    request = SpaceRequest("extra", layout.model.CONFIG_DRIVE_SIZE)
    found = resolved(described, machine(1000), [request])
    assert [name for name, *_ in mib(found)] == ["bios_boot", "root", "extra"]


def test_each_image_mounts_its_own_parents_first():
    described = document(
        disk(
            volume(10, "/var/log", "a", "b"),
            volume(10, "/", "b"),
            volume(10, "swap", "a"),
            volume(10, "/", "a"),
            volume(10, "/var", "a"),
        ),
        images=[*TWO[:1], image("b", boot=True)],
    )
    found = resolved(described, machine(1000))
    a, b = found.systems
    assert [v.content.mount for v in a.mounts] == ["/", "/var", "/var/log"]
    assert [v.content.mount for v in b.mounts] == ["/", "/var/log"]
    assert [len(a.swaps), len(b.swaps)] == [1, 0]
    assert found.default_system == 1


def test_uuids_come_from_the_seed_and_are_never_the_same():
    described = document(disk(*ROOTS, volume(100, file_system="vfat")),
                         images=TWO)  # fmt: skip
    on = machine(5000)
    once, again = resolved(described, on), resolved(described, on)
    other = resolve(layout.parse(described), on, SEED[:-1] + "2")
    assert once == again
    uuids = [
        [p.uuid for p in r.disks[0].partitions]
        + [v.uuid for v in r.volumes if v.uuid]
        + [r.disks[0].uuid]
        for r in (once, other)
    ]
    assert len(set(uuids[0] + uuids[1])) == len(uuids[0]) * 2
    assert len(once.volumes[-1].uuid) == len("ABCD-1234")


def test_classic_form_is_laid_out_as_ironic_does():
    described = {
        "id": "1234",
        "urls": ["http://h/x.raw"],
        "os_hash_algo": "sha256",
        "os_hash_value": DIGEST,
        "root_mb": 2000,
        "swap_mb": "100",
        "ephemeral_mb": 300,
        "ephemeral_format": "xfs",
        "configdrive": "H4sI",
        "unknown": 1,
    }
    asked = [SpaceRequest("config-2", layout.model.CONFIG_DRIVE_SIZE)]
    found = resolved(described, machine(8000), asked)
    assert mib(found) == [
        ("bios_boot", 1, 1),
        ("ephemeral0", 2, 300),
        ("swap1", 302, 100),
        ("config-2", 402, 64),
        ("root", 466, 2000),
    ]
    assert [v.content.file_system for v in found.volumes] == [
        "none", "xfs", "swap", "none", "ext4",
    ]  # fmt: skip


@pytest.mark.parametrize(("url", "disk_format", "expected"), [
    ("https://h/x.qcow2", None, "qcow2"),
    ("https://h/x.qcow2", "raw", "raw"),
    ("https://h/x", None, "raw"),
])  # fmt: skip
def test_the_url_of_the_classic_form_declares_the_format(
    url, disk_format, expected
):
    described = {"urls": [url], "disk_format": disk_format, "root_gb": 1}
    (image,) = layout.parse(described).images
    assert image.disk_format == expected


VOLUMES = st.lists(
    st.one_of(
        st.integers(1, 3000).map(volume),
        st.integers(1, 999).map(lambda n: volume(f"{n / 10}%")),
    ),
    max_size=8,
)


@given(VOLUMES, st.sampled_from([512, 4096]), st.integers(3, 10**4))
def test_partitions_never_overlap_and_stay_aligned(volumes, sector, size):
    described = document(disk(*copy.deepcopy(volumes)))
    try:
        found = resolved(described, machine(size, sector_bytes=sector))
    except MachineErrors:
        return
    end = MIB
    for partition in found.disks[0].partitions:
        assert partition.start_bytes == end
        assert partition.size_bytes >= MIB
        assert partition.size_bytes % MIB == 0
        end += partition.size_bytes
    assert end <= (size - 1) * MIB


@pytest.mark.parametrize(("url", "accepted"), [
    ("oci://registry/name:tag", True),
    ("https://server/name.raw", False),
])  # fmt: skip
def test_what_only_a_registry_knows_is_no_block_image_yet(url, accepted):
    root = {
        "type": "partition",
        "size": "1 GiB",
        "file_system": "btrfs",
        "subvolumes": [{"name": "@", "mount": "/"}],
    }
    entry = image("one", url)
    wanted = document(disk(root), images=[entry], policy="verify")
    if accepted:
        assert resolved(wanted, machine(4000)).systems
    else:
        with pytest.raises(LayoutErrors, match="no subvolumes"):
            resolved(wanted, machine(4000))
