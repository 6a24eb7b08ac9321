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

"""Fail the build of a ramdisk that lacks a plug-in or a program of ours.

The agent only logs a plug-in that it cannot import, and a missing program is
noticed by the first document that needs it: both are found here instead.
Run by the agent's own interpreter, in the ramdisk.
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

# Several names: one will do. Red Hat calls GRUB's programs grub2-*.
PROGRAMS = (
    "blkdiscard", "blkid", "blockdev", "cryptsetup", "efibootmgr", "gpgv",
    "grub-editenv|grub2-editenv", "grub-install|grub2-install",
    "grub-script-check|grub2-script-check", "kmod", "losetup", "lvm",
    "mcopy", "mdadm", "mke2fs", "mkfs.vfat", "mkfs.xfs", "mkswap", "mount",
    "partx", "qemu-img", "resize2fs", "rsync", "sfdisk", "ssh",
    "systemd-cryptenroll", "tar", "thin_check", "tune2fs", "udevadm",
    "umount", "unsquashfs", "wipefs", "xfs_admin", "xfs_growfs", "xz",
    "zstd",
)  # fmt: skip

# Red Hat's kernels have neither.
NOT_RED_HAT = ("btrfs", "mkfs.btrfs", "make-bcache", "os-prober")

X86_FILES = (
    "/usr/lib/grub/i386-pc/modinfo.sh",
    "/usr/lib/grub/x86_64-efi/modinfo.sh",
)
GROUPS = (
    "ironic_python_agent.extensions",
    "ironic_python_agent.hardware_managers",
)


def missing_programs(red_hat: bool) -> Iterator[str]:
    """Yield the programs that are not on PATH."""
    for names in PROGRAMS + (() if red_hat else NOT_RED_HAT):
        if not any(shutil.which(name) for name in names.split("|")):
            yield f"the program {names.replace('|', ' or ')}"


def missing_files(machine: str) -> Iterator[str]:
    """Yield the files of boot loaders that are not there."""
    for name in X86_FILES if machine == "x86_64" else ():
        if not Path(name).is_file():
            yield f"the file {name}"
    from ipa_partitions.boot.efi import find_signed

    if find_signed() is None:
        yield "a signed shim and GRUB"


def broken_plugins() -> Iterator[str]:
    """Yield the plug-ins that are not installed or cannot be imported."""
    # The agent registers its options before it loads anything.
    import ironic_python_agent.config  # noqa: F401

    points = distribution("ipa-partitions").entry_points
    for group in GROUPS:
        if not points.select(group=group):
            yield f"a plug-in in {group}"
    for point in points:
        # What the conductor loads needs Ironic itself.
        if point.group.startswith(("ironic.", "tempest.")):
            continue
        try:
            point.load()
        except Exception as error:
            yield f"{point.group}: {point.name}: {error!r}"


def main() -> int:
    """Print everything that is missing; return 1 if something is."""
    # Root's, as the agent's service has it, whatever the chroot has.
    red_hat = Path("/etc/redhat-release").exists()
    missing = [
        *broken_plugins(),
        *missing_programs(red_hat),
        *missing_files(platform.machine()),
    ]
    for what in missing:
        print(f"ipa-partitions: missing in this ramdisk: {what}")
    if not missing:
        print("ipa-partitions: every plug-in and program is there")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
