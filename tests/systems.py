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


"""Two really different operating systems to deploy, built once and kept.

Debian 12 as an ext4 filesystem (``raw``, and the same compressed), Debian 13
as a tar archive, with all it takes to have its root on LVM, arrays, btrfs or
LUKS. Neither lets anybody in: a system that is up prints what it sees of
itself on the first serial port, which is what the tests read, and powers off
when its kernel command line asks for it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.kept import kept

RECIPE = Path(__file__)

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# What the firmware and the boot loader see is 900 MiB; it grows to its volume.
RAW_SIZE = "900M"

PACKAGES = (
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "systemd-sysv",
    "udev",
    "mount",
    "e2fsprogs",
)

# Each puts into the initrd what it takes to find a root of its kind.
STORAGE = (
    "btrfs-progs",
    "cryptsetup-initramfs",
    "lvm2",
    "mdadm",
    "systemd-cryptsetup",
    # To have the TPM open a volume; systemd loads them if they are there.
    "libtss2-esys-3.0.2-0t64",
    "libtss2-mu-4.0.1-0t64",
    "libtss2-rc0t64",
    "libtss2-tcti-device0t64",
)

# An initrd of 60 drivers is a fraction of one of 600, to read and to unpack.
DRIVERS = (
    "virtio_pci virtio_blk ext4 xfs btrfs ahci sd_mod dm_mod dm_crypt raid1"
)

# The initrd has it where documents have it: it can open an encrypted root.
KEY = "/etc/ipa-partitions/data.key"

UP = "IPA-PARTITIONS-UP"
POWER_OFF = "ipa-partitions.poweroff"

FILES = {
    "etc/initramfs-tools/conf.d/small": "MODULES=list\nCOMPRESS=zstd\n",
    "etc/initramfs-tools/hooks/drivers": f"""#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
for driver in {DRIVERS}; do manual_add_modules "$driver"; done
copy_file key {KEY}
""",
    KEY[1:]: "a key for tests",
    "etc/systemd/system/tell.service": """[Unit]
Description=Tell the serial port what came up
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/tell
[Install]
WantedBy=multi-user.target
""",
    "usr/local/sbin/tell": f"""#!/bin/sh
# One line of JSON: which system this is, and what it mounted and swaps to.
. /etc/os-release
mounts=$(findmnt --real --json --list --bytes \\
    --output TARGET,SOURCE,FSTYPE,UUID,SIZE)
swaps=$(tail -n +2 /proc/swaps | while read -r device rest; do
    blkid --probe --match-tag UUID --output value "$device"
done)
line=$(printf '%s {{"id": "%s", "version": "%s", "kernel": "%s",
 "swaps": "%s", "failed": "%s", "cmdline": "%s", "mdstat": "%s",
 "findmnt": %s}}' \\
    {UP} "$ID" "$VERSION_ID" "$(uname -r)" "$(echo $swaps)" \\
    "$(systemctl list-units --failed --plain --no-legend | tr -d '"')" \\
    "$(cat /proc/cmdline)" "$(cat /proc/mdstat 2> /dev/null)" \\
    "$mounts" | tr '\\n\\t' '  ')
# What the kernel has to say would come in between.
dmesg --console-off
printf '\\n%s\\n' "$line" > /dev/ttyS0
dmesg --console-on
if grep -q -w {POWER_OFF} /proc/cmdline; then
    systemctl poweroff --no-block
fi
""",
    "etc/hostname": "deployed\n",
    "etc/machine-id": "",
    "etc/fstab": "/dev/nowhere / ext4 defaults 0 1\n",
}

LINKS = {
    "etc/systemd/system/multi-user.target.wants/tell.service": (
        "../tell.service"
    ),
    # Nobody logs in, and a prompt would be written between our lines.
    "etc/systemd/system/serial-getty@ttyS0.service": "/dev/null",
    "etc/systemd/system/getty@tty1.service": "/dev/null",
    "etc/systemd/system/apt-daily.timer": "/dev/null",
    "etc/systemd/system/apt-daily-upgrade.timer": "/dev/null",
}

USELESS = ("doc", "info", "lintian", "locale", "man", "bug")


@dataclass(frozen=True)
class SystemImage:
    """An image in the cache, and what the system says when it is up."""

    name: str
    version: str
    disk_format: str
    path: Path

    @property
    def sha256(self) -> str:
        """The digest of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def debian_12(compression: str = "zst") -> SystemImage:
    """Return Debian 12 as a filesystem, compressed or not (``""``)."""
    folder = kept("systems/bookworm", RECIPE, _make_raw)
    suffix = f".{compression}" if compression else ""
    return SystemImage(
        "debian-12", "12", "raw", folder / f"debian-12.raw{suffix}"
    )


def debian_13() -> SystemImage:
    """Return Debian 13 as a tar archive."""
    folder = kept("systems/trixie", RECIPE, _make_tar)
    return SystemImage("debian-13", "13", "tar", folder / "debian-13.tar.zst")


def _make_raw(folder: Path) -> None:
    tree = folder / "tree"
    _bootstrap("bookworm", PACKAGES, tree)
    image = folder / "debian-12.raw"
    _run("truncate", "--size", RAW_SIZE, str(image))
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image))
    shutil.rmtree(tree)
    _run("zstd", "-q", "-3", "-T0", "--keep", str(image))


def _make_tar(folder: Path) -> None:
    packages = (*PACKAGES, *STORAGE)
    _bootstrap("trixie", packages, folder / "debian-13.tar.zst")


def _bootstrap(suite: str, packages: tuple[str, ...], target: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        overlay = Path(scratch)
        _write_overlay(overlay)
        _run(
            "mmdebstrap", "--mode=root", "--variant=minbase", "--quiet",
            f"--include={','.join(packages)}",
            *(f"--dpkgopt=path-exclude=/usr/share/{u}/*" for u in USELESS),
            f"--essential-hook=sync-in {overlay} /",
            "--customize-hook=rm -rf $1/var/cache/debconf $1/var/log/*",
            # Or the first boot would bring caches up to date, for seconds.
            "--customize-hook=touch $1/etc/.updated $1/var/.updated",
            suite, str(target),
            *_sources(suite),
        )  # fmt: skip


def _write_overlay(overlay: Path) -> None:
    overlay.chmod(0o755)
    for name, text in FILES.items():
        file = overlay / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)
    for name, target in LINKS.items():
        link = overlay / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _sources(suite: str) -> tuple[str, ...]:
    """Return the machine's own Debian mirror, none for mmdebstrap's choice."""
    listed = subprocess.run(
        [
            "apt-get", "indextargets", "Created-By: Packages",
            "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)",
        ],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for line in listed.splitlines():
        origin, _, rest = line.partition(" ")
        label, _, uri = rest.partition(" ")
        if origin == label == "Debian" and uri.startswith("http"):
            return (f"deb [signed-by={KEYRING}] {uri} {suite} main",)
    return ()


def _run(*argv: str) -> None:
    ran = subprocess.run(argv, check=False, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {ran.stdout}{ran.stderr}")


def main() -> None:
    """Build both, or say where they are."""
    for build in (debian_12, debian_13):
        print(build().path, flush=True)


if __name__ == "__main__":
    main()
