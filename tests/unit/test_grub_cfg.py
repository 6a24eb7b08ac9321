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

from ipa_partitions.boot.grub_cfg import (
    Menu,
    MenuEntry,
    Serial,
    grub_quoted,
    render_menu,
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
