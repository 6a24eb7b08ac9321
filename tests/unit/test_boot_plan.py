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

from __future__ import annotations

import pytest

from ipa_partitions.actions.boot import InstallBootLoader
from ipa_partitions.boot.confirmation import render_script
from ipa_partitions.boot.entries import Bootable
from ipa_partitions.boot.esp import Esp
from ipa_partitions.boot.loader import Target
from ipa_partitions.plan import Phase
from tests.unit.plans import document, planned


def told(**boot: object) -> list[str]:
    """Return what is planned for booting, but for boot-info.json."""
    plan = planned(boot=boot)
    return [
        str(action).split(",")[0]
        for action in plan.actions
        if action.phase >= Phase.BOOT or "confirm" in str(action)
    ][:-1]


@pytest.mark.parametrize(("boot", "wanted"), [
    ({"firmware": "bios"}, ["install grub on /dev/vda"]),
    ({"firmware": "uefi"},
     ["install grub on the ESP /dev/vda1",
      "make UEFI boot /dev/vda1 first"]),
    ({"firmware": "both"},
     ["install grub on /dev/vda", "make UEFI boot /dev/vda2 first"]),
    ({"fallback": True},
     ["have one confirm that it is up", "have two confirm that it is up",
      "install grub on /dev/vda"]),
    ({"loader": "none"}, []),
    ({"loader": "none", "firmware": "uefi"}, []),
])  # fmt: skip
def test_what_is_done_to_boot(boot, wanted):
    assert told(**boot) == wanted


GROUP = {
    "type": "vg",
    "id": "vg0",
    "volumes": [
        {"type": "lv", "name": "root", "size": 900, "mount": "/"},
        {"type": "lv", "name": "usr", "size": 900, "mount": "/usr"},
        {"type": "lv", "name": "srv", "size": 99, "mount": "/srv"},
    ],
}
DISK = {
    "type": "disk",
    "id": {"type": "name", "value": "vda"},
    "volumes": [
        {"type": "partition", "size": 300, "mount": "/boot"},
        {"type": "pv", "size": "remaining", "vg": "vg0"},
    ],
}


def bootable(image_pull_url: str) -> Bootable:
    image = {"name": "one", "image_pull_url": image_pull_url}
    plan = planned(partitions=[DISK, GROUP], images=[image])
    (action,) = (a for a in plan.actions if isinstance(a, InstallBootLoader))
    (one,) = action.bootables
    return one


def test_an_initrd_is_told_of_what_it_has_to_mount():
    assert bootable("file:///one.tar").root_words == (
        "rd.lvm.lv=vg0/root", "rd.lvm.lv=vg0/usr",
    )  # fmt: skip


@pytest.mark.parametrize(("end", "brings"), [("raw", True), ("tar", False)])
def test_a_block_image_brings_the_subvolume_of_its_root(end, brings):
    assert bootable(f"file:///one.{end}").brings_root == brings


@pytest.mark.parametrize(("firmware", "target"), [
    ("bios", (("/dev/vda",), ())),
    ("uefi", ((), (Esp("/dev/vda1", "/dev/vda", 1),))),
    ("both", (("/dev/vda",), (Esp("/dev/vda2", "/dev/vda", 2),))),
])  # fmt: skip
def test_where_the_loader_goes(firmware, target):
    plan = planned(boot={"firmware": firmware, "secure_boot": False})
    (action,) = (a for a in plan.actions if isinstance(a, InstallBootLoader))
    multiboot = plan.resolved.multiboot
    assert multiboot is not None
    assert action.target == Target(*target, multiboot.uuid, "", False)


def test_imagined_disks_are_not_looked_into():
    """It would start a program, which fails here."""
    plan = planned(
        partitions_policy="verify",
        boot={"firmware": "uefi", "secure_boot": True},
    )
    assert plan.warnings == planned(boot={"firmware": "uefi"}).warnings


def test_data_needs_no_root_for_the_loader_to_be_planned():
    changed = document(partitions_policy="verify")
    changed["images"][1] |= {"image_type": "data", "target": "/srv"}
    del changed["partitions"][0]["volumes"][1]
    assert any(
        isinstance(action, InstallBootLoader)
        for action in planned(**changed).actions
    )


@pytest.mark.parametrize("grub_id", [0, 11])
def test_the_script_of_a_system_knows_its_number(grub_id):
    script = render_script("1-2", grub_id)
    assert f"\nmine={grub_id}\n" in script
    assert "UUID=1-2 " in script
