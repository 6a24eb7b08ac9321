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

"""The cases of Bareon's functional tests, for disks with partitions.

=====================================  =====================================
matches what was laid out              test_verify.py,
                                       test_what_was_laid_out_matches
one more partition in the document,    test_verify.py,
or on the disk; other sizes            test_every_difference_is_told_...
the same, on one disk of several       here
one filesystem of several is wiped     here; swap: test_verify.py
clean makes all anew                   test_layouts.py, every layout
a disk is too small                    here
two disks, one without a table         test_layouts.py, two-disks
a disk by its path in /dev/disk        tests/vm/test_policies.py
groups, and partitions beside them     tests/vm/test_policies.py
two systems, one is replaced,          test_verify.py,
the fstab of the other stays           test_one_system_of_two_is_replaced
an image over several filesystems      here, by rsync; by all that brings
                                       files: test_images_files.py
the flags of rsync reach it            here
an update in place                     here, by all that brings files
=====================================  =====================================
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager

import pytest

from ipa_partitions.deploy import deploy, verify
from ipa_partitions.disk.mount import mounted
from ipa_partitions.errors import DifferencesError, MachineErrors
from tests import documents, servers, tiny
from tests.digest import digest
from tests.functional.test_verify import (
    partition,
    request,
    under_verify,
    written,
)

DISK_MIB = 600


def disk(device, *volumes):
    (entry,) = documents.one_disk(device, *volumes)["partitions"]
    return entry


def of(*disks, **keys):
    return {"partitions_policy": "clean", "partitions": [*disks], **keys}


ONE = partition("one", "100 MiB", file_system="ext4")
TWO = partition("two", "remaining", file_system="xfs")


def test_differences_of_all_disks_are_told_and_others_are_ignored(loop_disk):
    devices = [loop_disk(DISK_MIB) for _ in range(3)]
    first, second, unmentioned = devices
    deploy(request(of(disk(first, ONE, TWO), disk(second, ONE))))
    subprocess.run(["mkfs.ext4", "-q", unmentioned], check=True)
    before = [digest(device) for device in devices]
    changed = under_verify(of(disk(first, ONE), disk(second, ONE, TWO)))
    told = (
        f"{first}, partition 2: is xfs of 498 MiB, wanted no partition",
        f"{second}p2: is not there, wanted two of 498 MiB",
    )
    assert verify(request(changed)) == told
    with pytest.raises(DifferencesError) as raised:
        deploy(request(changed))
    assert raised.value.differences == told
    assert [digest(device) for device in devices] == before


def test_one_filesystem_of_several_is_wiped(loop_disk, tmp_path):
    device = loop_disk(DISK_MIB)
    names = ("ext4", "btrfs", "ext3")
    volumes = [partition(n, "120 MiB", file_system=n) for n in names]
    deploy(request(of(disk(device, *volumes))))
    parts = [f"{device}p{number}" for number in (1, 2, 3)]
    for part in parts:
        written(part, tmp_path / "look", "mine", "precious")
    before = [digest(part) for part in parts]
    again = [{**v, "keep_data": v["name"] != "btrfs"} for v in volumes]
    deploy(request(under_verify(of(disk(device, *again)))))
    after = [digest(part) for part in parts]
    assert [after[0], after[2]] == [before[0], before[2]]
    with mounted(parts[1]) as root:
        assert [*root.iterdir()] == []


@pytest.mark.parametrize(("sizes", "told"), [
    (["99 MiB"],               "exceed the space by 1 MiB"),
    (["50 MiB", "50 MiB"],     "exceed the space by 2 MiB"),
    (["10 GiB", "remaining"],  "exceed the space by 10142 MiB"),
])  # fmt: skip
@pytest.mark.parametrize("policy", ["clean", "verify"])
def test_a_disk_that_is_too_small_is_left_alone(
    loop_disk, policy, sizes, told
):
    device = loop_disk(100)
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    before = digest(device)
    volumes = [partition(f"v{n}", size) for n, size in enumerate(sizes)]
    image_info = of(disk(device, *volumes)) | {"partitions_policy": policy}
    with pytest.raises(MachineErrors, match=told):
        deploy(request(image_info))
    assert digest(device) == before


def rsync_layout(first, second, host, flags="-a -A -X", **image):
    """Return a system on two disks that comes from an rsync daemon."""
    return of(
        disk(
            first,
            partition("root", "200 MiB", mount="/"),
            partition("var", "remaining", mount="/var", file_system="xfs"),
        ),
        disk(second, partition("doc", "remaining", mount="/usr/share")),
        images=[
            {
                "name": "tree",
                "image_pull_url": f"rsync://{host}/images/tree",
                **image,
            }
        ],
        image_deploy_flags={"rsync_flags": flags},
        boot={"firmware": "bios"},
    )


@contextmanager
def served_tree(folder):
    tiny.tree(folder, "tree").rename(folder / "tree")
    with servers.rsync_daemon(folder, folder) as host:
        yield host


def files_of(device):
    with mounted(device) as root:
        return {
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.is_file()
        }


def test_a_tree_is_spread_over_two_disks(loop_disk, tmp_path):
    devices = [loop_disk(DISK_MIB), loop_disk(DISK_MIB)]
    with served_tree(tmp_path) as host:
        deploy(request(rsync_layout(*devices, host)))
    root = files_of(f"{devices[0]}p2")
    assert {"boot/vmlinuz-1.0", "etc/fstab", "etc/os-release"} <= root
    assert not any(name.startswith(("var/", "usr/share/")) for name in root)
    assert files_of(f"{devices[0]}p3") == {"log/first"}
    assert files_of(f"{devices[1]}p1") == {"doc/readme"}


def test_a_dry_run_of_rsync_copies_nothing(loop_disk, tmp_path):
    devices = [loop_disk(DISK_MIB), loop_disk(DISK_MIB)]
    flags = "-a -A -X --dry-run"
    with served_tree(tmp_path) as host:
        image_info = rsync_layout(*devices, host, flags, image_type="data")
        deploy(request(image_info))
    assert files_of(f"{devices[0]}p1") == set()
    assert files_of(f"{devices[1]}p1") == set()


@pytest.mark.parametrize("kind", ["rsync", "tar.zst", "squashfs"])
def test_an_update_in_place_replaces_files_and_leaves_others(
    kind, loop_disk, tmp_path
):
    device, look = loop_disk(DISK_MIB), tmp_path / "look"
    root = f"{device}p2"
    image_info = documents.one_disk(
        device,
        partition("root", "remaining", mount="/"),
        boot={"firmware": "bios"},
    )
    with tiny.served("one", kind, tmp_path) as image:
        image_info["images"] = [image | {"name": "it"}]
        first = deploy(request(image_info))
    written(root, look, "own", "of the first")
    with tiny.served("two", kind, tmp_path) as image:
        image_info["images"] = [image | {"name": "it", "deploy": "always"}]
        second = deploy(request(under_verify(image_info)))
    assert second.root_uuid == first.root_uuid
    assert written(root, look, "boot/vmlinuz-1.0") == "the kernel of two"
    assert written(root, look, "own") == "of the first"
    assert first.root_uuid in written(root, look, "etc/fstab")


def test_what_mirrors_the_root_deletes_nothing_of_other_kept_volumes(
    loop_disk, tmp_path
):
    device, look = loop_disk(DISK_MIB), tmp_path / "look"
    image_info = documents.one_disk(
        device,
        partition("root", "300 MiB", mount="/"),
        partition("data", "remaining", mount="/[d]ata"),
        boot={"firmware": "bios"},
        image_deploy_flags={"rsync_flags": "-a -A -X --delete"},
    )
    with tiny.served("one", "rsync", tmp_path) as image:
        image_info["images"] = [image | {"name": "it"}]
        deploy(request(image_info))
        written(f"{device}p2", look, "own", "goes")
        written(f"{device}p3", look, "mine", "precious")
        image_info["images"][0]["deploy"] = "always"
        deploy(request(under_verify(image_info)))
    assert written(f"{device}p3", look, "mine") == "precious"
    with mounted(f"{device}p2") as root:
        assert not (root / "own").exists()
