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

"""Kernels that a system installs after it was deployed are booted.

The one that it was deployed with is gone by then.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa_partitions.disk.mount import mounted
from tests.vm import qemu
from tests.vm.two_systems import FIRST, attached, boot

NAMES = ("vmlinuz", "initrd.img")
LATER = "99.1-later"
MACHINE_ID = "0123456789abcdef0123456789abcdef"


def version(root: Path) -> str:
    """Return that of the one kernel that is there."""
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    return kernel.name.removeprefix("vmlinuz-")


def install_later(root: Path) -> None:
    """Have the same kernel under a version that comes later."""
    installed = version(root)
    for name in NAMES:
        path = root / "boot" / f"{name}-{installed}"
        later = path.with_name(f"{name}-{LATER}")
        later.write_bytes(path.read_bytes())
        path.unlink()


def link_later(root: Path) -> None:
    """Do what Debian's packages do."""
    install_later(root)
    for name in NAMES:
        link = root / name
        link.unlink()
        link.symlink_to(f"boot/{name}-{LATER}")


def list_kernel(root: Path, listed: str) -> None:
    """Do what kernel-install(8) does."""
    entries = root / "boot/loader/entries"
    entries.mkdir(parents=True, exist_ok=True)
    (entries / f"{MACHINE_ID}-{listed}.conf").write_text(
        f"title Debian\nversion {listed}\nlinux /boot/vmlinuz-{listed}\n"
        f"initrd /boot/initrd.img-{listed}\n"
        f"options root=/dev/x {qemu.KERNEL_PARAMS}\n"
    )


@pytest.mark.parametrize("firmware", ["bios", "secure"])
def test_links_lead_to_a_kernel_of_later(two_systems, firmware):
    with attached(two_systems) as device, mounted(f"{device}p{FIRST}") as root:
        link_later(root)

    facts = qemu.boot_disk(two_systems, firmware=firmware)

    assert facts.version == "12"
    assert "BOOT_IMAGE=/vmlinuz" in facts.cmdline.split()


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_an_entry_leads_to_a_kernel_of_later(two_systems, firmware):
    with attached(two_systems) as device:
        with mounted(f"{device}p{FIRST}") as root:
            for name in NAMES:
                (root / name).unlink()
            list_kernel(root, version(root))
        boot(device, "refresh")
        with mounted(f"{device}p{FIRST}") as root:
            install_later(root)
            list_kernel(root, LATER)

    facts = qemu.boot_disk(two_systems, firmware=firmware)

    assert facts.version == "12"
    assert f"BOOT_IMAGE=/boot/vmlinuz-{LATER}" in facts.cmdline.split()
