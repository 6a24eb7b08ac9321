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

"""A menu that the system has made itself is what GRUB shows from then on.

It is one as Debian's ``update-grub`` writes it, with the modules that it asks
for.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipa_partitions.disk.mount import mounted
from tests import documents, loops, program, systems
from tests.vm import qemu
from tests.vm.two_systems import attached

DISK_BYTES = 3 * 1024**3
# After the code for BIOS and the ESP.
ROOT = 3

WORD = "made-by-update-grub"

MENU = """\
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
function load_video {{
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  else
    insmod efi_gop
    insmod vga
  fi
}}
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=1
menuentry 'Debian GNU/Linux' --class debian --class os {{
    load_video
    insmod gzio
    if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
    insmod part_gpt
    insmod ext2
    search --no-floppy --fs-uuid --set=root {uuid}
    echo 'Loading Linux {version} ...'
    linux /boot/vmlinuz-{version} root=UUID={uuid} ro {word} {params}
    echo 'Loading initial ramdisk ...'
    initrd /boot/initrd.img-{version}
}}
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a disk with one system, whose kernel was updated since."""
    disk = loops.blank_image(
        tmp_path_factory.mktemp("own") / "disk.img", DISK_BYTES
    )
    with loops.attached(disk) as device:
        document = documents.one_disk(
            device,
            {"type": "partition", "size": "remaining", "mount": "/"},
            images=[
                {
                    "name": "one",
                    "image_pull_url": f"file://{systems.debian_12().path}",
                }
            ],
            boot={"firmware": "both"},
        )
        result = program.output(
            "deploy", "--yes", "-", stdin=json.dumps(document)
        )
    with attached(disk) as device, mounted(f"{device}p{ROOT}") as root:
        (kernel,) = (root / "boot").glob("vmlinuz-*")
        text = MENU.format(
            uuid=result["root_uuid"],
            version=kernel.name.removeprefix("vmlinuz-"),
            word=WORD,
            params=qemu.KERNEL_PARAMS,
        )
        (root / "boot/grub/grub.cfg").write_text(text)
    return disk


@pytest.mark.parametrize("firmware", ["bios", "uefi", "secure"])
def test_it_boots_by_its_own_menu(disk, firmware):
    facts = qemu.boot_disk(disk, firmware=firmware)

    assert WORD in facts.cmdline.split()
    assert facts.failed_units == ""
