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

import re
from dataclasses import replace

import pytest

from ipa_partitions.boot.grub_cfg import (
    grub_quoted,
    render_menu,
    render_stub,
)
from ipa_partitions.boot.menu import (
    ChainEntry,
    Listing,
    Menu,
    MenuEntry,
    OtherKernel,
    Serial,
)

ROOT = "2abf123d-d52f-4f62-a351-7358221bc51f"

DEBIAN = MenuEntry(
    name="debian",
    title="Debian (on /dev/vda3)",
    boot_uuid=ROOT,
    kernel="/boot/vmlinuz-6.1",
    initrds=("/boot/early.img", "/boot/initrd.img-6.1"),
    command_line=(f"root=UUID={ROOT}", "ro", "dyndbg=file a +p"),
)
PLAIN = MenuEntry("bob's", "Bob's }\n", "0a", "/vmlinuz", (), ())

MENU = f"""\
# Written by ipa-partitions. To boot another entry by default:
# grub-editenv grubenv set saved_entry=NUMBER
if [ "$grub_platform" = efi ]; then
  insmod all_video
  set gfxpayload=keep
fi
if serial --unit=1 --speed=9600; then
  terminal_input console serial
  terminal_output console serial
fi
set default=1
if [ -s "$prefix/grubenv" ]; then
  load_env saved_entry next_entry
fi
if [ -n "$saved_entry" ]; then
  set default="$saved_entry"
fi
if [ -n "$next_entry" ]; then
  set fallback="$default"
  set default="$next_entry"
  set next_entry=
  save_env next_entry
fi
set timeout_style=menu
set timeout=7
menuentry 'Debian (on /dev/vda3)' --id 'debian' {{
  search --fs-uuid --set=root '{ROOT}'
  linux '/boot/vmlinuz-6.1' 'root=UUID={ROOT}' 'ro' 'dyndbg=file a +p'
  initrd '/boot/early.img' '/boot/initrd.img-6.1'
}}
menuentry 'Bob'\\''s }}
' --id 'bob'\\''s' {{
  search --fs-uuid --set=root '0a'
  linux '/vmlinuz'
}}
"""


@pytest.mark.parametrize(("text", "quoted"), [
    ("",              "''"),
    ("a b",           "'a b'"),
    ("it's",          r"'it'\''s'"),
    ("'",             r"''\'''"),
    ("$x `id` \\ \"", "'$x `id` \\ \"'"),
    ("}; reboot #",   "'}; reboot #'"),
])  # fmt: skip
def test_a_text_becomes_one_word(text, quoted):
    assert grub_quoted(text) == quoted


def test_the_menu_has_an_entry_per_system_in_order():
    menu = Menu((DEBIAN, PLAIN), 1, 7, Serial(1, 9600), saves=True)

    assert render_menu(menu) == MENU


LINKED = replace(
    PLAIN,
    name="a",
    title="A",
    command_line=("ro",),
    links=("/vmlinuz", "/initrd.img"),
    kernel="/boot/vmlinuz-6.1",
    initrds=("/boot/initrd.img-6.1",),
    others=(OtherKernel("6.0", "/boot/vmlinuz-6.0", (), ("ro",)),),
)
LISTED = replace(
    LINKED,
    links=(),
    others=(),
    listing=Listing(
        "/loader/entries", "/vmlinuz-{}", "/initramfs-{}.img", "5.14-1"
    ),
)
CHAIN = ChainEntry("foreign-1A-2B", "Other", "1A-2B", "/EFI/x.efi")


@pytest.mark.parametrize(("entry", "text"), [
    (LINKED, """\
menuentry 'A' --id 'a' {
  search --fs-uuid --set=root '0a'
  if linux '/vmlinuz' 'ro'; then
    initrd '/initrd.img'
  else
    linux '/boot/vmlinuz-6.1' 'ro'
    initrd '/boot/initrd.img-6.1'
  fi
}
submenu 'A: other kernels' {
  menuentry 'A: 6.0' {
    search --fs-uuid --set=root '0a'
    linux '/boot/vmlinuz-6.0' 'ro'
  }
}
"""),
    (LISTED, """\
menuentry 'A' --id 'a' {
  search --fs-uuid --set=root '0a'
  insmod regexp
  set version='5.14-1'
  for entry in '/loader/entries/'*.conf; do
    set found=
    regexp --set=1:found '/[0-9a-f]{32}-([^/]+)[.]conf$' "$entry"
    if [ -n "$found" -a -f '/vmlinuz-'"$found" \
-a -f '/initramfs-'"$found"'.img' ]; then
      if [ ! -f '/vmlinuz-'"$version" \
-o '/vmlinuz-'"$found" -nt '/vmlinuz-'"$version" ]; then
        set version="$found"
      fi
    fi
  done
  linux '/vmlinuz-'"$version" 'ro'
  initrd '/initramfs-'"$version"'.img'
}
"""),
    (CHAIN, """\
menuentry 'Other' --id 'foreign-1A-2B' {
  search --fs-uuid --set=root '1A-2B'
  chainloader '/EFI/x.efi'
}
"""),
    (replace(CHAIN, path=""), """\
menuentry 'Other' --id 'foreign-1A-2B' {
  search --fs-uuid --set=root '1A-2B'
  chainloader '+1'
}
"""),
])  # fmt: skip
def test_an_entry_follows_what_the_system_has(entry, text):
    own, foreign = (entry,), ()
    if isinstance(entry, ChainEntry):
        own, foreign = foreign, own
    menu = Menu(own, 0, 5, None, saves=True, foreign=foreign)
    assert render_menu(menu).endswith(f"set timeout=5\n{text}")


def test_foreign_systems_count_on_and_other_kernels_come_last():
    menu = Menu((LINKED, PLAIN), 0, 5, None, True, (), (CHAIN,))
    tops = re.findall(
        "^(?:menuentry|submenu) '(.+?)'", render_menu(menu), re.M
    )
    assert tops == ["A", "Bob", "Other", "A: other kernels"]


def test_the_stub_leads_to_the_menu_or_its_copy():
    assert (
        render_stub("1-2", "/boot/grub")
        == """\
# Written by ipa-partitions.
if search --fs-uuid --set=root '1-2'; then
  set prefix=($root)'/boot/grub'
  configfile "$prefix/grub.cfg"
else
  configfile "$prefix/menu.cfg"
fi
"""
    )


@pytest.mark.parametrize(("serial", "saves", "absent"), [
    (None,           True,  "serial"),
    (Serial(0, 9600), False, "save_env"),
    (Serial(0, 9600), False, 'default="$next_entry"'),
])  # fmt: skip
def test_what_the_machine_cannot_do_is_not_in_the_menu(serial, saves, absent):
    assert absent not in render_menu(Menu((DEBIAN,), 0, 5, serial, saves))


@pytest.mark.parametrize(("console", "serial"), [
    ("ttyS0,115200", Serial(0, 115200)),
    ("ttyS1,9600",   Serial(1, 9600)),
    ("ttyS0",        None),
    ("ttyAMA0,9600", None),
    ("ttyS0,9600; reboot", None),
])  # fmt: skip
def test_the_serial_console_is_one_of_a_pc(console, serial):
    if serial is None:
        with pytest.raises(ValueError, match="ttyS0,115200"):
            Serial.parse(console)
    else:
        assert Serial.parse(console) == serial
