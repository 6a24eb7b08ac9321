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

from pathlib import Path

import pytest

from ipa_partitions.boot.command_line import (
    kernel_words,
    own_words,
    read_default_words,
    without_subvolume,
)
from ipa_partitions.boot.image_text import read_title
from ipa_partitions.boot.kernel_version import version_key
from ipa_partitions.boot.kernels import find_kernels
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError


@pytest.fixture
def make(tmp_path):
    """Return a function that makes a root of files, links and contents."""

    def make(*files: str, **contents: str) -> RootFs:
        for file in files:
            name, _, target = file.partition(" -> ")
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if target:
                path.symlink_to(target)
            else:
                path.touch()
        return RootFs(tmp_path)

    return make


def put(root: RootFs, path: str, text: str) -> None:
    file = root.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())


@pytest.mark.parametrize(("older", "newer"), [
    ("6.1.0-9-amd64",          "6.1.0-10-amd64"),
    ("6.9",                    "6.10"),
    ("5.15.0-1",               "6.1.0-1"),
    ("6.2~rc3",                "6.2"),
    ("6.2.0-rc3",              "6.2.0"),
    ("6.2-rc9",                "6.2-rc10"),
    ("6.2-rc1",                "6.2.1"),
    ("5.14.0-0.rc4.35.el9",    "5.14.0-1.el9"),
    ("5.14.0-70.el9.x86_64",   "5.14.0-70.13.1.el9.x86_64"),
    ("3.10.0-957.el7.x86_64",  "3.10.0-1160.el7.x86_64"),
    ("linux",                  "6.1"),
])  # fmt: skip
def test_kernel_versions_are_compared_by_their_numbers(older, newer):
    assert version_key(older) < version_key(newer)


@pytest.mark.parametrize(("files", "kernels"), [
    # Debian, two kernels and its links to them
    (["boot/vmlinuz-6.1.0-9-amd64", "boot/initrd.img-6.1.0-9-amd64",
      "boot/vmlinuz-6.1.0-10-amd64", "boot/initrd.img-6.1.0-10-amd64",
      "vmlinuz -> boot/vmlinuz-6.1.0-10-amd64",
      "initrd.img -> boot/initrd.img-6.1.0-10-amd64",
      "vmlinuz.old -> boot/vmlinuz-6.1.0-9-amd64"],
     [("/boot/vmlinuz-6.1.0-10-amd64", "/boot/initrd.img-6.1.0-10-amd64"),
      ("/boot/vmlinuz-6.1.0-9-amd64", "/boot/initrd.img-6.1.0-9-amd64")]),
    # Red Hat, the rescue kernel has the highest version of all
    (["boot/vmlinuz-4.18.0-80.el8", "boot/initramfs-4.18.0-80.el8.img",
      "boot/.vmlinuz-4.18.0-80.el8.hmac",
      "boot/vmlinuz-99-rescue-8a7f", "boot/initramfs-99-rescue-8a7f.img"],
     [("/boot/vmlinuz-4.18.0-80.el8", "/boot/initramfs-4.18.0-80.el8.img"),
      ("/boot/vmlinuz-99-rescue-8a7f",
       "/boot/initramfs-99-rescue-8a7f.img")]),
    # SUSE, and what lies beside a kernel but is none
    (["boot/vmlinuz-5.14.21-default", "boot/initrd-5.14.21-default",
      "boot/vmlinux-5.14.21-default.gz", "boot/vmlinuz-5.14.21-default.hmac",
      "boot/vmlinuz -> vmlinuz-5.14.21-default",
      "boot/initrd -> initrd-5.14.21-default"],
     [("/boot/vmlinuz-5.14.21-default", "/boot/initrd-5.14.21-default")]),
    # Gentoo, Arch
    (["boot/kernel-6.6.1", "boot/initramfs-6.6.1.img"],
     [("/boot/kernel-6.6.1", "/boot/initramfs-6.6.1.img")]),
    (["boot/vmlinuz-linux", "boot/initramfs-linux.img"],
     [("/boot/vmlinuz-linux", "/boot/initramfs-linux.img")]),
    (["boot/vmlinux-6.1", "boot/initrd-6.1.img"],
     [("/boot/vmlinux-6.1", "/boot/initrd-6.1.img")]),
    # only links, absolute ones too
    (["usr/k/bzImage", "usr/k/rd",
      "vmlinuz -> /usr/k/bzImage", "initrd.img -> usr/k/rd"],
     [("/usr/k/bzImage", "/usr/k/rd")]),
    # one that was saved comes last, one without initrd after one with
    (["boot/vmlinuz-7.0.old", "boot/initrd.img-7.0.old",
      "boot/vmlinuz-6.2", "boot/vmlinuz-6.1", "boot/initrd.img-6.1"],
     [("/boot/vmlinuz-6.1", "/boot/initrd.img-6.1"),
      ("/boot/vmlinuz-6.2",),
      ("/boot/vmlinuz-7.0.old", "/boot/initrd.img-7.0.old")]),
    # names that no distribution gives, and links out of the root
    (["boot/vmlinuz-6.1'}", "boot/vmlinuz-6 2", "boot/vmlinuz-",
      "boot/vmlinuz-9 -> ../../../../../../proc/version",
      "boot/vmlinuz-8 -> vmlinuz-8", "boot/vmlinuz-6.1"],
     [("/boot/vmlinuz-6.1",)]),
])  # fmt: skip
def test_kernels_are_found_newest_first_with_their_initrds(
    make, files, kernels
):
    found = find_kernels(make(*files), "debian", ["/"])

    assert [(k.path, *k.initrds) for k in found] == kernels
    assert {k.mount for k in found} == {"/"}


def test_a_boot_volume_has_paths_of_its_own(make):
    root = make("boot/vmlinuz-6.1", "boot/initrd.img-6.1")

    (kernel,) = find_kernels(root, "debian", ["/", "/boot", "/boot/efi"])

    assert (kernel.mount, kernel.path, kernel.initrds) == (
        "/boot", "/vmlinuz-6.1", ("/initrd.img-6.1",)
    )  # fmt: skip


def test_a_system_without_a_kernel_is_an_error_that_names_the_image(make):
    root = make("boot/initrd.img-6.1", "boot/config-6.1", "boot/efi/x")

    with pytest.raises(ImageError, match="'debian' holds no kernel"):
        find_kernels(root, "debian", ["/"])


ENTRY = """\
title Fedora Linux (6.5.6-300) 39
version 6.5.6-300
linux /vmlinuz-6.5.6-300
initrd /microcode.img /initramfs-6.5.6-300.img $tuned_initrd
options root=UUID=0a ro rootflags=subvol=root $tuned_params quiet
"""


@pytest.mark.parametrize("mounts", [["/"], ["/", "/boot"]])
def test_a_boot_loader_specification_entry_is_read(make, mounts):
    root = make("boot/vmlinuz-6.5.6-300", "boot/microcode.img",
                "boot/initramfs-6.5.6-300.img")  # fmt: skip
    put(root, "boot/loader/entries/0a-6.5.6-300.conf", ENTRY)
    put(root, "etc/default/grub", "GRUB_CMDLINE_LINUX=nosmt")

    (kernel,) = find_kernels(root, "fedora", mounts)

    prefix = "/boot" if mounts == ["/"] else ""
    assert kernel.path == f"{prefix}/vmlinuz-6.5.6-300"
    assert kernel.initrds == (
        f"{prefix}/microcode.img", f"{prefix}/initramfs-6.5.6-300.img"
    )  # fmt: skip
    assert kernel.words == ("rootflags=subvol=root", "quiet")


def test_entries_name_the_rescue_kernel_and_some_that_are_gone(make):
    root = make("boot/m/k", "boot/m/i", "boot/vmlinuz-6.0", "boot/initrd-6.0",
                "boot/vmlinuz-7.0")  # fmt: skip
    for name, text in {
        "1.conf": "title A (0-rescue-1)\nversion 9\nlinux /m/k\ninitrd /m/i",
        "2.conf": "title B\nversion 8\nlinux /gone\ninitrd /m/i",
        "3.conf": "title C\nlinux /boot/vmlinuz-7.0\ninitrd /gone",
        "4.conf": "title D\nversion\t5.0 \nlinux\t/boot/vmlinuz-6.0\n"
                  "initrd\t/boot/initrd-6.0\noptions $kernelopts\n",
        "5.conf": "",
        "6.conf": "linux $kernel",
        "7.conf": "linux ../../../../../../etc/passwd",
        "8.txt":  "linux /m/i",
    }.items():  # fmt: skip
        put(root, f"boot/loader/entries/{name}", text)
    put(root, "etc/default/grub", 'GRUB_CMDLINE_LINUX="nosmt"')

    found = find_kernels(root, "image", ["/"])

    assert [(k.path, k.version, k.words) for k in found] == [
        ("/boot/vmlinuz-6.0", "5.0", ("nosmt",)),
        ("/boot/vmlinuz-7.0", "7.0", ("nosmt",)),
        ("/boot/m/k", "9", ("nosmt",)),
    ]


@pytest.mark.parametrize(("text", "words"), [
    ('GRUB_CMDLINE_LINUX="a=1 b"',                   ("a=1", "b")),
    ("GRUB_CMDLINE_LINUX='a=1 b'",                   ("a=1", "b")),
    ("export GRUB_CMDLINE_LINUX=a # comment",        ("a",)),
    ('GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="net"',
     ("net", "quiet")),
    ('GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX="b"', ("b",)),
    ('GRUB_CMDLINE_LINUX="a \\\nb"',                 ("a", "b")),
    ('GRUB_CMDLINE_LINUX="root=/dev/sda1 resume=UUID=0 ro rw x"',
     ("rw", "x")),
    ('GRUB_CMDLINE_LINUX="$X a ${Y}b `id` c"',       ("a", "c")),
    ('GRUB_CMDLINE_LINUX="a $(touch /x) b"',         ("a", "b")),
    ('GRUB_CMDLINE_LINUX="dyndbg=\\"file a +p\\" b"', ("dyndbg=file a +p",
                                                       "b")),
    ('GRUB_CMDLINE_LINUX="unclosed',                 ()),
    ('#GRUB_CMDLINE_LINUX="a"',                      ()),
    ('GRUB_CMDLINE_LINUX_RECOVERY="single"',         ()),
    ("GRUB_CMDLINE_LINUX=\"a\0\x1bb\"",              ("ab",)),
    ("GRUB_CMDLINE_LINUX=" + "x" * 2**17,            ()),
])  # fmt: skip
def test_the_parameters_that_the_image_gives_its_kernels_are_data(
    make, text, words
):
    root = make()
    put(root, "etc/default/grub", text)

    assert read_default_words(root) == words


def test_a_later_file_of_defaults_wins(make):
    root = make()
    put(root, "etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=quiet")
    put(root, "etc/default/grub.d/50-cloud.cfg",
        'GRUB_CMDLINE_LINUX_DEFAULT="console=tty1 console=ttyS0"',
    )  # fmt: skip
    put(root, "etc/default/grub.d/60-x.dpkg-old",
        "GRUB_CMDLINE_LINUX_DEFAULT=old")  # fmt: skip

    assert read_default_words(root) == ("console=tty1", "console=ttyS0")


@pytest.mark.parametrize(("text", "words"), [
    ("",                    ()),
    ("  a  b=1\tc ",        ("a", "b=1", "c")),
    ('a="b c" d',           ("a=b c", "d")),
    ('"a=b c" d',           ("a=b c", "d")),
    ('a="b c',              ("a=b c",)),
    ("a=$X",                ("a=$X",)),
])  # fmt: skip
def test_a_command_line_is_split_as_the_kernel_splits_it(text, words):
    assert kernel_words(text) == words


@pytest.mark.parametrize("word", [
    "rd.lvm.lv=cl/root", "rd.lvm.vg=cl", "rd.md.uuid=1:2", "rd.dm.uuid=x",
    "rd.luks.uuid=luks-1", "rd.luks.name=1=x", "luks.key=1=/k", "rd.luks=1",
    "cryptdevice=UUID=1:x", "cryptopts=target=x", "rootfstype=btrfs",
    "resume=UUID=1", "root=/dev/sda1", "ro",
])  # fmt: skip
def test_what_names_the_image_s_own_storage_is_no_word_of_ours(word):
    assert own_words(f"quiet {word} splash") == ("quiet", "splash")


def test_only_a_filesystem_of_the_image_has_its_subvolume():
    words = ("a", "rootflags=subvol=root", "rootflags=x,subvolid=5",
             "rootflags=noatime")  # fmt: skip
    assert without_subvolume(words) == ("a", "rootflags=noatime")


def test_an_own_word_keeps_what_only_looks_like_the_root():
    assert own_words("rootdelay=5 roothash=0 root=x myroot=y") == (
        "rootdelay=5", "roothash=0", "myroot=y"
    )  # fmt: skip


@pytest.mark.parametrize(("files", "title"), [
    ({"etc/os-release": 'NAME="D"\nPRETTY_NAME="Debian GNU/Linux 12"\n'},
     "Debian GNU/Linux 12"),
    ({"usr/lib/os-release": "PRETTY_NAME='Fedora 39'"}, "Fedora 39"),
    ({"etc/os-release": "NAME=x", "usr/lib/os-release": "PRETTY_NAME=y"},
     "y"),
    ({"etc/redhat-release": "CentOS Linux release 7.1.1503 (Core) \n"},
     "CentOS Linux release 7.1.1503 (Core)"),
    ({"etc/os-release": "PRETTY_NAME=$(touch /x)"}, "$(touch"),
    ({"etc/os-release": 'PRETTY_NAME="a\x1b[2J\tb\x00"'}, "a[2Jb"),
    ({"etc/os-release": 'PRETTY_NAME="unclosed'}, "the image"),
    ({"etc/os-release": 'PRETTY_NAME="' + "x" * 2**17}, "the image"),
    ({"etc/os-release": 'PRETTY_NAME="' + "x" * 1000 + '"'}, "x" * 120),
    ({}, "the image"),
])  # fmt: skip
def test_a_system_is_called_what_it_says_or_as_its_image(make, files, title):
    root = make()
    for path, text in files.items():
        put(root, path, text)

    assert read_title(root, "the image") == title


def test_a_title_is_read_through_the_links_of_the_image_only(make):
    root = make("etc/os-release -> /usr/lib/os-release")
    put(root, "usr/lib/os-release", "PRETTY_NAME=Inside")

    assert read_title(root, "x") == "Inside"
    assert Path("/usr/lib/os-release").exists()  # and was not read
