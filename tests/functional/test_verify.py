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

"""The policy ``verify``: all differences told, and what is kept is kept."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path

import pytest

from ipa_partitions.deploy import Request, capture, deploy, verify
from ipa_partitions.errors import DifferencesError, LayoutErrors
from tests import documents, file_server, tiny
from tests.digest import digest

DISK_MIB = 1000


def partition(name, size, **keys):
    return {"type": "partition", "name": name, "size": size, **keys}


def layout(device, **keys):
    return documents.one_disk(
        device,
        partition("one", "100 MiB", file_system="ext4", label="first"),
        partition("two", "40%", file_system="xfs"),
        partition("three", "remaining", file_system="swap"),
        **keys,
    )


def under_verify(image_info):
    return image_info | {"partitions_policy": "verify"}


def request(image_info):
    return Request(image_info, firmware="bios")


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
def laid_out(loop_disk):
    device = loop_disk(DISK_MIB)
    deploy(request(layout(device)))
    return device


def volumes(image_info):
    return image_info["partitions"][0]["volumes"]


def test_what_was_deployed_matches(laid_out):
    image_info = under_verify(layout(laid_out))
    assert verify(request(image_info)) == ()
    before = digest(laid_out)
    deploy(request(image_info))
    assert digest(laid_out) == before


def test_what_images_would_do_is_no_matter(laid_out):
    image_info = layout(laid_out) | {
        "images": [
            {"name": "one", "image_pull_url": "file:///nowhere.raw",
             "image_type": "data", "target": "/data", "deploy": "always"}
        ]
    }  # fmt: skip
    volumes(image_info)[0] |= {"mount": "/data"}
    assert verify(request(image_info)) == ()


@pytest.mark.parametrize(("change", "told"), [
    (lambda v: v[0].update(size="101 MiB"),
     ["p1 size: is 100 MiB, wanted 101 MiB",
      "p2 start: is 101 MiB, wanted 102 MiB",
      "p3 start: is 501 MiB, wanted 502 MiB",
      "p3 size: is 498 MiB, wanted 497 MiB"]),
    (lambda v: v[0].update(file_system="ext3"),
     ["p1 filesystem: is ext4, wanted ext3"]),
    (lambda v: v[0].update(label="other"),
     ["p1 label: is 'first', wanted 'other'"]),
    (lambda v: v[0].update(partition_guid="srv"),
     ["p1 type: is linux, wanted srv"]),
    (lambda v: v[2].update(size="100 MiB"),
     ["p3 size: is 498 MiB, wanted 100 MiB"]),
    (lambda v: v.insert(3, partition("four", "10%")),
     ["p3 size: is 498 MiB, wanted 398 MiB",
      "p4: is not there, wanted four of 100 MiB"]),
    (lambda v: v.pop(),
     [", partition 3: is swap of 498 MiB, wanted no partition"]),
    # Data that is not kept may be anything.
    (lambda v: v[0].update(file_system="ext3", keep_data=False), []),
])  # fmt: skip
def test_every_difference_is_told_and_nothing_written(laid_out, change, told):
    image_info = under_verify(layout(laid_out))
    change(volumes(image_info))
    before = digest(laid_out)
    found = verify(request(image_info))
    assert [f.removeprefix(laid_out) for f in found] == told
    if told:
        with pytest.raises(DifferencesError) as raised:
            deploy(request(image_info))
        assert raised.value.differences == found
    assert digest(laid_out) == before


@pytest.mark.parametrize("label", [
    "donn\u00e9es", "bob's", 'a"b', "a$b\\c", "a`b", "<a b>", "M-C",
])  # fmt: skip
def test_any_label_is_read_as_it_was_written(loop_disk, label):
    device = loop_disk(64)
    image_info = documents.one_disk(
        device, partition("one", "32 MiB", file_system="ext4", label=label)
    )
    deploy(request(image_info))
    assert verify(request(under_verify(image_info))) == ()
    (disk,) = capture([device])["partitions"]
    assert disk["volumes"][0]["label"] == label


def test_another_table_is_a_difference(laid_out):
    image_info = under_verify(layout(laid_out))
    image_info["partitions"][0]["table"] = "msdos"
    assert verify(request(image_info)) == (
        f"{laid_out}: is gpt, wanted msdos",
    )


def test_a_blank_disk_is_one_difference(loop_disk):
    device = loop_disk(DISK_MIB)
    assert verify(request(layout(device))) == (
        f"{device}: is without a table, wanted gpt",
    )


@pytest.mark.parametrize("kind", ["vfat", "ext4", "btrfs", "swap"])
def test_a_filesystem_is_no_table(loop_disk, kind):
    device = loop_disk(200)
    volume = partition("all", "100%", file_system=kind)
    image_info = documents.one_disk(device, volume)
    image_info["partitions"][0]["table"] = "none"
    deploy(request(image_info))
    assert verify(request(image_info)) == ()


def written_by_others(device, *lines):
    subprocess.run(
        ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", device],
        input="\n".join(("label: gpt", *lines, "")),
        text=True,
        check=True,
    )


@pytest.mark.parametrize(("start", "size", "differs"), [
    (2048 + 2047, 204800, False), (2048 + 2048, 204800, True),
    (2048, 204800 + 2047, False), (2048, 204800 + 2048, True),
    (2048, 204800 - 2047, False), (2048, 204800 - 2048, True),
])  # fmt: skip
def test_less_than_a_mib_off_is_the_same(loop_disk, start, size, differs):
    device = loop_disk(DISK_MIB)
    written_by_others(device, f"start={start}, size={size}")
    image_info = documents.one_disk(device, partition("one", "100 MiB"))
    assert bool(verify(request(image_info))) is differs


@pytest.mark.parametrize(("lines", "told"), [
    (["1: start=2048, size=204800", "3: start=206848, size=204800"],
     ["p2: is not there, wanted two of 100 MiB",
      ", partition 3: is a partition of 100 MiB, wanted no partition"]),
    (["1: start=206848, size=204800", "2: start=2048, size=204800"],
     ["p1 start: is 101 MiB, wanted 1 MiB",
      "p2 start: is 1 MiB, wanted 101 MiB"]),
])  # fmt: skip
def test_number_and_order_are_compared(loop_disk, lines, told):
    device = loop_disk(DISK_MIB)
    written_by_others(device, *lines)
    image_info = documents.one_disk(
        device, partition("one", "100 MiB"), partition("two", "100 MiB")
    )
    found = verify(request(image_info))
    assert [each.removeprefix(device) for each in found] == told


def test_only_what_is_not_kept_is_made_anew(laid_out, tmp_path):
    image_info = under_verify(layout(laid_out))
    volumes(image_info)[2]["keep_data"] = False
    with Path(f"{laid_out}p3").open("rb") as swap:
        swap_before = swap.read(4096)
    before = [digest(f"{laid_out}p{n}") for n in (1, 2)]
    deploy(request(image_info))
    assert [digest(f"{laid_out}p{n}") for n in (1, 2)] == before
    with Path(f"{laid_out}p3").open("rb") as swap:
        swap_after = swap.read(4096)
    # A swap again, with another UUID.
    assert swap_after[4086:4096] == swap_before[4086:4096] == b"SWAPSPACE2"
    assert swap_after != swap_before


def two_systems(device, images, url):
    roots = (
        partition(
            image.stem, "100 MiB", mount="/", images=[image.stem],
            file_system="ext4",
        )
        for image in images
    )  # fmt: skip
    data = partition(
        "data", "remaining", mount="/data", file_system="ext4",
        images=[image.stem for image in images],
    )  # fmt: skip
    return documents.one_disk(
        device, *roots, data,
        images=[tiny.image_entry(image, url) for image in images],
    )  # fmt: skip


def written(device, where, name, text=None):
    where.mkdir(exist_ok=True)
    run("mount", device, str(where))
    try:
        if text is not None:
            (where / name).write_text(text)
        return (where / name).read_text()
    finally:
        run("umount", str(where))


def test_one_system_of_two_is_replaced(loop_disk, tmp_path):
    device = loop_disk(DISK_MIB)
    images = [tiny.raw_system(tmp_path, name) for name in ("one", "two")]
    where = tmp_path / "look"
    with file_server.serving(*images) as url:
        image_info = two_systems(device, images, url)
        first = deploy(request(image_info))
        written(f"{device}p5", where, "mine", "precious")
        written(f"{device}p3", where, "own", "of the first")
        fstab = written(f"{device}p3", where, "etc/fstab")
        again = under_verify(copy.deepcopy(image_info))
        volumes(again)[1]["keep_data"] = False
        second = deploy(request(again))
    one, two = first.boot_info.elements
    still_one, new_two = second.boot_info.elements
    assert still_one.root_uuid == one.root_uuid
    assert new_two.root_uuid != two.root_uuid
    assert written(f"{device}p5", where, "mine") == "precious"
    assert written(f"{device}p3", where, "own") == "of the first"
    assert written(f"{device}p3", where, "etc/fstab") == fstab
    assert second.boot_info.multiboot_partition == (
        first.boot_info.multiboot_partition
    )


def test_a_block_image_never_replaces_what_is_kept(loop_disk, tmp_path):
    device = loop_disk(DISK_MIB)
    image_info = under_verify(
        documents.one_disk(
            device,
            partition("root", "remaining", mount="/"),
            images=[
                {
                    "name": "one",
                    "image_pull_url": "file:///one.raw",
                    "deploy": "always",
                }
            ],
        )
    )
    with pytest.raises(LayoutErrors, match=r"\$.images\[0\].deploy: "):
        deploy(request(image_info))
