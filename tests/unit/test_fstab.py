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

from dataclasses import replace

import pytest

from ipa_partitions.actions.fstab import (
    FstabLine,
    WriteFstab,
    _mounted_on,
    fstab_lines,
    fstab_quoted,
    render_fstab,
)
from ipa_partitions.layout import model
from ipa_partitions.resolved import System, Volume

IMAGE = model.Image(
    "$.images[0]", "debian", True, "debian", None, "file:///x", "/", "raw",
    "none", None, "auto", "os",
)  # fmt: skip


def volume(mount: str, file_system: str = "ext4", **content: object) -> Volume:
    name = mount.strip("/") or "root"
    return Volume(
        "$", name, f"/dev/{name}", 2**30,
        model.Content(file_system=file_system, mount=mount, **content),
        f"uuid-{name}",
    )  # fmt: skip


@pytest.mark.parametrize(("text", "quoted"), [
    ("/data",       "/data"),
    ("/my data",    r"/my\040data"),
    ("/a\tb\nc\\d", r"/a\011b\012c\134d"),
    ("/caf\u00e9",  "/caf\u00e9"),
    ("/a\u00a0b",   r"/a\302\240b"),
])  # fmt: skip
def test_a_text_becomes_one_field(text, quoted):
    assert fstab_quoted(text) == quoted


@pytest.mark.parametrize(("line", "text"), [
    (FstabLine("0a", "/", "ext4", "defaults", 1),
     "UUID=0a / ext4 defaults 0 1\n"),
    (FstabLine("0a", "/my data", "xfs", "noatime,x=a b", 0),
     "UUID=0a /my\\040data xfs noatime,x=a\\040b 0 0\n"),
    (FstabLine("0a", "none", "swap", "defaults", 0, enabled=False),
     "# UUID=0a none swap defaults 0 0\n"),
])  # fmt: skip
def test_a_line_has_six_fields(line, text):
    assert render_fstab([line]) == text


def test_a_system_mounts_its_volumes_in_order_and_swaps_last():
    system = System(
        IMAGE,
        (
            volume("/"),
            volume("/boot", "ext2"),
            volume("/boot/efi", "vfat", fstab_options="umask=0077"),
            volume("/srv", "xfs", fstab_enabled=False),
            volume("/var", "btrfs", fstab_options="noatime"),
        ),
        (volume("swap", "swap"),),
        deploys=True,
    )

    assert render_fstab(fstab_lines(system)) == (
        "UUID=uuid-root / ext4 defaults 0 1\n"
        "UUID=uuid-boot /boot ext2 defaults 0 2\n"
        "UUID=uuid-boot/efi /boot/efi vfat umask=0077 0 2\n"
        "# UUID=uuid-srv /srv xfs defaults 0 0\n"
        "UUID=uuid-var /var btrfs noatime 0 0\n"
        "UUID=uuid-swap none swap defaults 0 0\n"
    )


def test_each_mount_point_is_made_on_the_volume_that_it_lies_on():
    mounts = [volume(m) for m in ("/", "/srv/a", "/var", "/var/log/audit",
                                  "/variable")]  # fmt: skip

    made = {v.content.mount: _mounted_on(v, mounts) for v in mounts}

    assert made == {
        "/": ("srv/a", "var", "variable"),
        "/srv/a": (),
        "/var": ("log/audit",),
        "/var/log/audit": (),
        "/variable": (),
    }


def test_the_action_names_the_image_and_the_devices_it_works_on():
    system = System(IMAGE, (volume("/"),), (volume("swap", "swap"),), True)
    action = WriteFstab(system)

    assert str(action) == (
        "write /etc/fstab of debian, 2 volumes, to /dev/root"
    )
    assert action.devices == {"/dev/root"}


@pytest.mark.parametrize(("kind", "deploys", "count"), [
    ("os", True, 1), ("os", False, 0), ("data", True, 0),
    ("whole-disk", True, 0),
])  # fmt: skip
def test_only_an_operating_system_that_is_deployed_gets_one(
    kind, deploys, count
):
    system = System(replace(IMAGE, type=kind), (volume("/"),), (), deploys)

    class Resolved:
        bootable = tuple(s for s in [system] if s.image.type == "os")

    assert len(WriteFstab.plan(Resolved())) == count
