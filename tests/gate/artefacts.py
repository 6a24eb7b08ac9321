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

"""What is booted: a ramdisk with our element, its boot loader, an image.

Made outside of the namespaces, where there is a network, and kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import IO, Self

from tests import systems
from tests.gate import places
from tests.kept import CACHE, kept

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ipa_partitions"
ELEMENT = ROOT / "dib-elements" / "ipa-partitions"
BUILD = ROOT / "tools" / "make-ramdisk"

# Where the boot loader of Ironic's virtual media finds its menu.
EARLY = """\
search --no-floppy --file --set=root /EFI/BOOT/grub.cfg
configfile ($root)/EFI/BOOT/grub.cfg
"""
MODULES = (
    "part_gpt", "part_msdos", "iso9660", "fat", "search", "search_fs_file",
    "normal", "configfile", "linux", "echo", "boot", "test",
)  # fmt: skip


_VARIABLES = ("GATE_KERNEL", "GATE_INITRAMFS", "GATE_ESP")


@dataclass(frozen=True)
class Artefacts:
    """Files that Ironic reads; handed into the namespaces by name."""

    kernel: Path
    initramfs: Path
    esp: Path

    @classmethod
    def from_environment(cls) -> Self:
        """Return those that ``to_environment`` has named."""
        return cls(*(Path(os.environ[name]) for name in _VARIABLES))

    def to_environment(self) -> dict[str, str]:
        """Return variables that name them."""
        return dict(zip(_VARIABLES, map(str, self.files), strict=True))

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.kernel, self.initramfs, self.esp)


def made() -> Artefacts:
    """Return them, and make what is missing."""
    systems.debian_12()
    systems.debian_13()
    base = _ramdisk()
    initramfs = places.STATE / "ipa.initramfs"
    initramfs.parent.mkdir(parents=True, exist_ok=True)
    with initramfs.open("wb") as target:
        with (base / "ipa.initramfs").open("rb") as source:
            shutil.copyfileobj(source, target, 1 << 20)
        if (base / "package").read_text() != digest([PACKAGE]):
            target.write(bytes(-target.tell() % 4))
            target.write(_overlay(base))
    return Artefacts(base / "ipa.kernel", initramfs, _esp() / "esp.img")


def digest(sources: Iterable[Path]) -> str:
    """Return a digest of what is in files and below folders."""
    sums = hashlib.sha256()
    for place in sources:
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in files:
            if file.is_file() and file.suffix != ".pyc":
                sums.update(str(file.relative_to(ROOT)).encode())
                sums.update(file.read_bytes())
    return sums.hexdigest()[:16]


def _ramdisk() -> Path:
    """Return the folder of a ramdisk that our element made.

    It is built anew when the element or how it is built has changed; with
    only the package changed that is laid over it.
    """
    folder = CACHE / f"ramdisk-{digest([ELEMENT, BUILD])}"
    if not (folder / "package").exists():
        shutil.rmtree(folder, ignore_errors=True)
        package = digest([PACKAGE])
        subprocess.run([BUILD, folder], check=True)
        shutil.rmtree(folder / "cache", ignore_errors=True)
        (folder / "installed").write_text(_entry_points(folder))
        (folder / "package").write_text(package)
    return folder


def _entry_points(folder: Path) -> str:
    """Return where the ramdisk has the entry points of our package."""
    argv = ["gzip", "--decompress", "--stdout", folder / "ipa.initramfs"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as unpacked:
        names = _output(["cpio", "--list", "--quiet"], stdin=unpacked.stdout)
    (installed,) = (
        name
        for name in names.splitlines()
        if "/ipa_partitions-" in name and name.endswith("/entry_points.txt")
    )
    return installed


def _overlay(base: Path) -> bytes:
    """Return a cpio archive of the package as it is, for ``base``."""
    installed = Path((base / "installed").read_text())
    entry_points = distribution("ipa-partitions").read_text("entry_points.txt")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        package = root / installed.parents[1] / "ipa_partitions"
        shutil.copytree(
            PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__")
        )
        (root / installed).parent.mkdir()
        (root / installed).write_text(entry_points or "")
        names = "\n".join(_below(root))
        ran = subprocess.run(
            ["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"],
            cwd=root, input=names.encode(), check=True, capture_output=True,
        )  # fmt: skip
        return ran.stdout


def _below(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        yield str(path.relative_to(root))


def _esp() -> Path:
    return kept("esp", Path(__file__), _make_esp)


def _make_esp(folder: Path) -> None:
    early = folder / "early.cfg"
    early.write_text(EARLY)
    loader = folder / "BOOTX64.EFI"
    _output([
        "grub-mkimage", "--format=x86_64-efi", f"--output={loader}",
        f"--config={early}", "--prefix=/EFI/BOOT", *MODULES,
    ])  # fmt: skip
    image = folder / "esp.img"
    with image.open("wb") as file:
        file.truncate(4 << 20)
    _output(["mkfs.vfat", str(image)])
    _output(["mmd", "-i", str(image), "::/EFI", "::/EFI/BOOT"])
    _output(["mcopy", "-i", str(image), str(loader), "::/EFI/BOOT/"])


def boot_files(folder: Path) -> tuple[Path, Path]:
    """Return kernel and initrd of Debian 13, taken out of its archive."""
    _output([
        "tar", "--extract", f"--directory={folder}", "--wildcards",
        f"--file={systems.debian_13().path}", "*boot/vmlinuz-*",
        "*boot/initrd.img-*",
    ])  # fmt: skip
    (kernel,) = folder.glob("boot/vmlinuz-*")
    (initrd,) = folder.glob("boot/initrd.img-*")
    return kernel, initrd


def _output(argv: list[str], stdin: IO[bytes] | None = None) -> str:
    ran = subprocess.run(
        argv, stdin=stdin, check=False, capture_output=True, text=True
    )
    if ran.returncode:
        sys.exit(f"{' '.join(argv)}: {ran.stdout}{ran.stderr}")
    return ran.stdout
