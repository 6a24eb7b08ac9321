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

"""The kernel of the test machine, fetched from Debian once and kept.

Besides the kernel: the modules that storage takes, and an initramfs that
mounts the root directory of this machine, read-only, under a layer of memory.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.kept import kept

# What the initramfs loads; what these need comes by itself.
FIRST = ("virtio_pci", "9p", "9pnet_virtio", "overlay")

MODULES = (
    *FIRST,
    "virtio_blk", "virtio_console", "virtio_rng", "virtio_scsi",
    "sd_mod", "nvme", "loop", "scsi_debug",
    "dm-mod", "dm-crypt", "dm-flakey", "dm-log-writes", "dm-mirror",
    "dm-multipath", "dm-raid", "dm-snapshot", "dm-thin-pool",
    "linear", "raid0", "raid1", "raid10", "raid456", "bcache",
    "aesni-intel", "algif_hash", "algif_skcipher", "xts",
    "btrfs", "efivarfs", "ext4", "fuse", "isofs", "squashfs", "vfat", "xfs",
    "nls_ascii", "nls_cp437", "nls_iso8859-1", "nls_utf8",
)  # fmt: skip

MOUNT_TAG = "root"

# The kernel hands $start, from its command line, to its first process.
INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done < /modules/order
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000,ro \\
    {MOUNT_TAG} /lower
mount -t tmpfs -o mode=755 upper /upper
mkdir /upper/files /upper/work
mount -t overlay root /root \\
    -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work
ifconfig lo up
for made in proc sys dev; do mount --move /$made /root/$made; done
exec switch_root /root /bin/sh "$start"
"""


@dataclass(frozen=True)
class Kernel:
    """A kernel, its initramfs, and the folder of its modules."""

    image: Path
    initramfs: Path
    modules: Path


def kernel() -> Kernel:
    """Return the kernel, fetched if it is not there yet."""
    folder = kept("vm/kernel", Path(__file__), _make)
    (modules,) = (folder / "lib/modules").iterdir()
    return Kernel(folder / "vmlinuz", folder / "initramfs", modules)


def _make(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="unpacked-") as scratch:
        unpacked = Path(scratch)
        _unpack("busybox-static", unpacked)
        _unpack(_newest("linux-image-amd64"), unpacked)
        (image,) = (unpacked / "boot").glob("vmlinuz-*")
        shutil.copy(image, folder / "vmlinuz")
        version = image.name.removeprefix("vmlinuz-")
        _keep_modules(unpacked, folder, version)
        _make_initramfs(folder, unpacked / "bin/busybox", version)


def _unpack(package: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        # As root, apt would fetch as a user who may not write here.
        _run(
            "apt-get", "--option", "APT::Sandbox::User=root",
            "download", package,
            folder=scratch,
        )  # fmt: skip
        (file,) = Path(scratch).iterdir()
        _run("dpkg-deb", "--extract", str(file), str(folder))


def _newest(package: str) -> str:
    """Return the package that ``package`` stands for."""
    told = _run("apt-cache", "depends", "--important", package)
    return told.split("Depends:")[1].split()[0]


def _keep_modules(unpacked: Path, folder: Path, version: str) -> None:
    source, target = (
        root / "lib/modules" / version for root in (unpacked, folder)
    )
    _run("depmod", "--basedir", str(unpacked), version)
    for file in _needed(unpacked, version, MODULES):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
        if copy.suffix == ".xz":
            _run("xz", "--decompress", str(copy))
    for name in ("modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(source / name, target)
    (target / "modules.order").touch()
    _run("depmod", "--basedir", str(folder), version)


def _needed(
    root: Path, version: str, names: tuple[str, ...]
) -> dict[Path, None]:
    """Return the files of the modules, each after those that it needs."""
    told = "".join(
        _run(
            "modprobe", "--config=/dev/null", "--show-depends",
            "--dirname", str(root), "--set-version", version, name,
        )
        for name in names
    )  # fmt: skip
    lines = (line.split(maxsplit=1) for line in told.splitlines())
    return {
        Path(words[1].strip()): None for words in lines if words[0] == "insmod"
    }


def _make_initramfs(folder: Path, busybox: Path, version: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name in (
            "bin", "modules", "proc", "sys", "dev", "root", "lower", "upper",
        ):  # fmt: skip
            (root / name).mkdir()
        shutil.copy(busybox, root / "bin")
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
        files = _needed(folder, version, FIRST)
        for file in files:
            shutil.copy(file, root / "modules")
        order = "".join(f"{file.name}\n" for file in files)
        (root / "modules/order").write_text(order)
        paths = "".join(f"{p.relative_to(root)}\n" for p in root.rglob("*"))
        with (folder / "initramfs").open("wb") as archive:
            subprocess.run(
                ["cpio", "--create", "--format=newc", "--quiet"],
                cwd=root, input=paths.encode(), stdout=archive, check=True,
            )  # fmt: skip


def _run(*argv: str, folder: str | None = None) -> str:
    ran = subprocess.run(
        argv, cwd=folder, check=False, capture_output=True, text=True
    )
    if ran.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def main() -> None:
    """Fetch it, or say where it is."""
    print(kernel().image.parent)


if __name__ == "__main__":
    main()
