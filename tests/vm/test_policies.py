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

"""The policies, where partitions, arrays, groups and LUKS are mixed.

With tests/functional/test_policies.py, which says what is where.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from ipa_partitions.deploy import Request, deploy, make_plan, verify
from ipa_partitions.disk.mount import READ_ONLY, mounted
from ipa_partitions.errors import MachineErrors
from ipa_partitions.resolved import ResolvedLayout
from tests import everything, file_server, servers, tiny
from tests.deployed import output, tags, up
from tests.digest import digest
from tests.everything import disk, group, named, raid, volume

MIB = 1024**2


def request(document: everything.Document) -> Request:
    return Request(document, firmware="bios")


def under_verify(document: everything.Document) -> everything.Document:
    return {**copy.deepcopy(document), "partitions_policy": "verify"}


def planned(document: everything.Document) -> ResolvedLayout:
    """Return what is there, as the plan under verify has it."""
    return make_plan(request(under_verify(document))).resolved


def kernel_names(disks: tuple[str, ...]) -> list[str]:
    return [device.removeprefix("/dev/") for device in disks]


FRESH = ("root", "thin", "mirror", "secret", "swap")


@pytest.mark.disks(*everything.SIZES)
def test_only_what_is_not_kept_is_made_anew(
    disks: tuple[str, ...], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("a key")
    key.chmod(0o600)
    document = everything.document(kernel_names(disks), str(key))
    deploy(request(document))
    first = planned(document)
    with up(first):
        before = looked_at(first, "precious")
    again = under_verify(document)
    for name in FRESH:
        named(again, name)["keep_data"] = False
    deploy(request(again))
    second = planned(document)
    with up(second):
        after = looked_at(second)
    for name, (uuid, digested, mine) in after.items():
        if name in FRESH:
            assert (name, mine) == (name, None)
            assert uuid != before[name][0]
        else:
            assert (name, uuid, digested, mine) == (name, *before[name])
    uuids = [
        {v.name: v.luks.uuid for v in each.volumes if v.luks}
        for each in (first, second)
    ]
    assert uuids[0]["hidden"] == uuids[1]["hidden"]
    assert uuids[0]["secret"] != uuids[1]["secret"]


def looked_at(
    resolved: ResolvedLayout, text: str | None = None
) -> dict[str, tuple[str, str, str | None]]:
    """Return UUID, digest and own file of what is in every volume.

    A ``text`` is written to the file before.
    """
    found = {}
    for each in resolved.volumes:
        kind = each.content.file_system
        if kind == "none":
            continue
        if text and kind != "swap":
            with mounted(each.device) as root:
                (root / "mine").write_text(text)
        digested = digest(each.device)
        mine = None if kind == "swap" else own_file(each.device)
        found[each.name] = (tags(each.device)["UUID"], digested, mine)
    return found


def own_file(device: str, name: str = "mine") -> str | None:
    with mounted(device, READ_ONLY) as root:
        file = root / name
        return file.read_text() if file.exists() else None


@pytest.mark.parametrize("kind", ["tar.zst", "squashfs", "rsync"])
@pytest.mark.disks("600 MiB")
def test_a_root_in_a_group_is_updated_in_place(
    kind: str, disks: tuple[str, ...], tmp_path: Path
) -> None:
    (name,) = kernel_names(disks)
    document = {
        "partitions_policy": "clean",
        "partitions": [
            disk(name, volume("pv", 500, vg="vg0")),
            group("vg0", volume("lv", 300, name="root", mount="/")),
        ],
    }
    with tiny.served("one", kind, tmp_path) as image:
        document["images"] = [image | {"name": "it"}]
        first = deploy(request(document))
    layout = planned(document)
    (root,) = (v for v in layout.volumes if v.name == "root")
    with up(layout), mounted(root.device) as where:
        (where / "own").write_text("of the first")
    with tiny.served("two", kind, tmp_path) as image:
        document["images"] = [image | {"name": "it", "deploy": "always"}]
        second = deploy(request(under_verify(document)))
    assert second.root_uuid == first.root_uuid
    with up(layout), mounted(root.device) as where:
        assert (where / "boot/vmlinuz-1.0").read_text() == "the kernel of two"
        assert (where / "own").read_text() == "of the first"


@pytest.mark.disks("1 GiB")
def test_one_system_of_two_in_a_group_is_replaced(
    disks: tuple[str, ...], tmp_path: Path
) -> None:
    (name,) = kernel_names(disks)
    roots = (
        volume("lv", 150, name=each, mount="/", images=[each])
        for each in ("one", "two")
    )
    both = {"images": ["one", "two"]}
    swap = volume("lv", 40, name="swap", mount="swap", **both)
    data = volume("lv", 60, name="data", mount="/data", **both)
    document = {
        "partitions_policy": "clean",
        "partitions": [
            disk(name, {"type": "pv", "size": "remaining", "vg": "vg0"}),
            group("vg0", *roots, swap, data),
        ],
    }
    images = [tiny.raw_system(tmp_path, each) for each in ("one", "two")]
    with file_server.serving(*images) as url:
        document["images"] = [tiny.image_entry(i, url) for i in images]
        first = deploy(request(document))
        layout = planned(document)
        devices = {v.name: v.device for v in layout.volumes}
        with up(layout), mounted(devices["data"]) as where:
            (where / "mine").write_text("precious")
        with up(layout):
            before = digest(devices["one"])
        again = under_verify(document)
        named(again, "two")["keep_data"] = False
        again["images"][0]["deploy"] = "never"
        second = deploy(request(again))
    with up(layout):
        assert digest(devices["one"]) == before
        # The image may have files for it: it was mounted.
        assert own_file(devices["data"]) == "precious"
        assert own_file(devices["two"], "boot/vmlinuz-1.0")
    assert first.boot_info
    assert second.boot_info
    (kept, replaced), (old_kept, old_replaced) = (
        [e.root_uuid for e in info.elements]
        for info in (second.boot_info, first.boot_info)
    )
    assert kept == old_kept
    assert replaced != old_replaced


def by_id(device: str) -> str:
    """Return a path that stays when the kernel names disks otherwise."""
    links = Path("/dev/disk/by-id").iterdir()
    link = next(each for each in links if each.resolve() == Path(device))
    return str(link).removeprefix("/dev/")


def storage(disks: tuple[str, ...], pull_url: str) -> everything.Document:
    """Return six disks with three groups, an array, and partitions."""
    spread = {
        0: [volume("partition", 80, name="root", mount="/"),
            volume("pv", 60, vg="a")],
        1: [volume("pv", 60, vg="b"), volume("raid", 60, raid="md")],
        2: [volume("raid", 60, raid="md"), volume("pv", 60, vg="c")],
        3: [volume("pv", 60, vg="a"), volume("pv", 60, vg="b")],
        4: [volume("pv", 60, vg="c"),
            volume("partition", 40, name="srv", mount="/srv")],
        5: [volume("pv", 40, vg="a"), volume("pv", 40, vg="b"),
            volume("pv", 40, vg="c")],
    }  # fmt: skip
    entries = [
        disk("", *volumes) | {
            "id": {"type": "path", "value": by_id(disks[number])}
        }
        for number, volumes in spread.items()
    ]  # fmt: skip
    half = {"type": "lv", "size": "50%"}
    return {
        "partitions_policy": "clean",
        "partitions": [
            *entries,
            raid("md", 1, mount="/usr"),
            *(
                group(
                    name,
                    {**half, "name": "first", "mount": f"/var/{name}"},
                    {**half, "name": "second", "file_system": "ext4"},
                )
                for name in "abc"
            ),
        ],
        "images": [{"name": "tree", "image_pull_url": pull_url}],
    }


@pytest.mark.disks(*["200 MiB"] * 6)
def test_an_image_is_spread_over_partitions_groups_and_an_array(
    disks: tuple[str, ...], tmp_path: Path
) -> None:
    system = tiny.tree(tmp_path, "tree")
    for name in "abc":
        (system / "var" / name).mkdir()
        (system / "var" / name / "file").write_text(name)
    (system / "srv").mkdir()
    (system / "srv/file").write_text("srv")
    with servers.rsync_daemon(tmp_path, tmp_path) as host:
        document = storage(disks, f"rsync://{host}/images/tree.tree")
        deploy(request(document))
        assert verify(request(document)) == ()
        layout = planned(document)
    with up(layout):
        for group_ in layout.groups:
            first, second = (lv.volume.device for lv in group_.volumes)
            # Of 60 and 60 or 40 MiB: 14 and 14 and 9 extents of 4 MiB.
            assert size_bytes(first) == size_bytes(second) == 72 * MIB
            assert own_file(first, "file") == group_.name
            assert own_file(second, "file") is None
        assert own_file("/dev/md/md", "share/doc/readme") == "all about tree"
    assert own_file(f"{disks[4]}2", "file") == "srv"
    assert own_file(f"{disks[0]}2", "etc/fstab")
    assert own_file(f"{disks[0]}2", "srv/file") is None


@pytest.mark.disks("200 MiB", "200 MiB")
def test_what_something_else_stands_on_is_not_wiped(
    disks: tuple[str, ...],
) -> None:
    one, other = disks
    document = {
        "partitions_policy": "clean",
        "partitions": [
            disk(name, volume("partition", 100, name="mine"))
            for name in kernel_names((one,))
        ],
    }
    deploy(request(document))
    output("vgcreate", "vg", f"{one}1", other)
    output("lvcreate", "--yes", "--name=theirs", "--size=40M", "vg")
    again = under_verify(document)
    named(again, "mine")["keep_data"] = False
    before = digest(one)
    with pytest.raises(MachineErrors) as refused:
        deploy(request(again))
    assert str(refused.value) == (
        f"$.partitions[0].volumes[0]: {one}1 is to be wiped, but group vg,"
        " volume theirs stands on it"
    )
    assert digest(one) == before


def size_bytes(device: str) -> int:
    return int(output("blockdev", "--getsize64", device))


@pytest.mark.disks("300 MiB", "300 MiB")
def test_what_was_changed_on_the_disks_is_told(
    disks: tuple[str, ...], tmp_path: Path
) -> None:
    entries = (
        disk(name, volume("raid", 60, raid="md"), volume("pv", 200, vg="vg"))
        for name in kernel_names(disks)
    )
    document = {
        "partitions_policy": "clean",
        "partitions": [
            *entries,
            raid("md", 1, file_system="ext4"),
            group(
                "vg",
                volume("lv", 40, name="lost"),
                volume("lv", 40, name="kept", label="k", file_system="ext4"),
            ),
        ],
    }
    deploy(request(document))
    layout = planned(document)
    one, two = disks
    with up(layout):
        output("lvremove", "--yes", "vg/lost")
        output("lvcreate", "--yes", "--name=more", "--size=20M", "vg")
        output("lvextend", "--size=+8M", "vg/kept")
        output("e2label", "/dev/vg/kept", "mine")
    output("mdadm", "--zero-superblock", f"{two}1")
    before = [digest(each) for each in disks]
    assert sorted(verify(request(document))) == [
        "/dev/vg/kept label: is 'mine', wanted 'k'",
        "/dev/vg/kept size: is 48 MiB, wanted 40 MiB",
        "/dev/vg/lost: is not there, wanted linear of 40 MiB",
        "/dev/vg/more: is linear of 20 MiB, wanted no volume",
        f"array md members: is {one}1, wanted {one}1, {two}1",
    ]
    assert [digest(each) for each in disks] == before
