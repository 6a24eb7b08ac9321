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

from ipa_partitions.boot import menu_file
from ipa_partitions.boot.entries import Bootable, Place
from ipa_partitions.boot.menu import (
    ChainEntry,
    Listing,
    Menu,
    MenuEntry,
    OtherKernel,
    Serial,
)
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError

SYSTEM = Bootable(
    "a",
    "/dev/vda3",
    "0a",
    (Place("/", "0a", "@"), Place("/boot", "0b")),
    ("rootflags=subvol=@",),
    ("quiet",),
)
ENTRY = MenuEntry(
    "a", "A", "0b", "/vmlinuz-6.1", ("/initrd.img-6.1",), ("root=UUID=0a",),
    ("/vmlinuz", "/initrd.img"),
    Listing("/loader/entries", "/{}", "/i{}", "1"),
    (OtherKernel("6.0", "/vmlinuz-6.0", (), ("ro",)),),
)  # fmt: skip
CHAIN = ChainEntry("foreign-1", "Other", "1-2", "")
FILE = menu_file.MenuFile(
    (SYSTEM,),
    Menu((ENTRY,), 0, 5, Serial(0, 9600), True, ("lvm",), (CHAIN, ENTRY)),
    fallback=True,
)


def test_what_is_written_is_read(tmp_path):
    menu_file.write(tmp_path, FILE)
    assert menu_file.read(tmp_path) == FILE


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"systems": 1}'])
def test_a_damaged_file_is_an_error_with_its_name(tmp_path, text):
    (tmp_path / menu_file.NAME).write_text(text)
    with pytest.raises(ImageError, match=r"boot-menu\.json"):
        menu_file.read(tmp_path)


@pytest.mark.parametrize(("subvolume", "prefix"), [("", ""), ("@", "/@")])
def test_grub_sees_all_of_a_filesystem(tmp_path, subvolume, prefix):
    for name in ("boot/vmlinuz-6.1", "boot/initrd.img-6.1",
                 "boot/vmlinuz-6.0"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("vmlinuz", "initrd.img"):
        (tmp_path / name).symlink_to(f"boot/{name}-6.1")
    system = Bootable("a", "/dev/x", "0a", (Place("/", "0a", subvolume),))

    entry = system.entry(RootFs(tmp_path))

    assert entry.title == "a (on /dev/x)"
    assert entry.root_uuid == entry.boot_uuid == "0a"
    assert entry.kernel == f"{prefix}/boot/vmlinuz-6.1"
    assert entry.links == (f"{prefix}/vmlinuz", f"{prefix}/initrd.img")
    assert [o.kernel for o in entry.others] == [f"{prefix}/boot/vmlinuz-6.0"]


@pytest.mark.parametrize(("links", "mounts", "found"), [
    # Ubuntu has them in /boot, which may be a volume
    ({"boot/vmlinuz": "vmlinuz-6.1", "boot/initrd.img": "initrd.img-6.1"},
     ["/"], ("/boot/vmlinuz", "/boot/initrd.img")),
    ({"boot/vmlinuz": "vmlinuz-6.1", "boot/initrd.img": "initrd.img-6.1"},
     ["/", "/boot"], ("/vmlinuz", "/initrd.img")),
    # SUSE
    ({"boot/vmlinuz": "vmlinuz-6.1", "boot/initrd": "initrd.img-6.1"},
     ["/"], ("/boot/vmlinuz", "/boot/initrd")),
    # out of the filesystem that GRUB reads
    ({"vmlinuz": "boot/vmlinuz-6.1", "initrd.img": "boot/initrd.img-6.1"},
     ["/", "/boot"], ()),
    ({"boot/vmlinuz": "/boot/vmlinuz-6.1",
      "boot/initrd.img": "/boot/initrd.img-6.1"}, ["/", "/boot"], ()),
    # only one, or to another
    ({"vmlinuz": "boot/vmlinuz-6.1"}, ["/"], ()),
    ({"vmlinuz": "boot/vmlinuz-6.1", "initrd.img": "boot/other"}, ["/"], ()),
])  # fmt: skip
def test_links_are_followed_where_grub_comes_to_the_same(
    tmp_path, links, mounts, found
):
    for name in ("vmlinuz-6.1", "initrd.img-6.1", "other"):
        (tmp_path / "boot").mkdir(exist_ok=True)
        (tmp_path / "boot" / name).touch()
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    places = tuple(Place(mount, f"of {mount}") for mount in mounts)

    entry = Bootable("a", "/dev/x", "0a", places).entry(RootFs(tmp_path))

    assert entry.links == found
