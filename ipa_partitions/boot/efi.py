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

"""The names and files of UEFI booting, of this processor and ramdisk."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ipa_partitions.boot.signature import is_enforced
from ipa_partitions.errors import MachineError

# Debian and Ubuntu; Red Hat and its kin, and what dib-elements/ puts aside.
_SIGNED = (
    (
        "usr/lib/shim/shim{suffix}.efi.signed",
        "usr/lib/shim/mm{suffix}.efi.signed",
        "usr/lib/grub/{target}-signed/grub{suffix}.efi.signed",
    ),
    *(
        tuple(
            f"{folder}/{name}{{suffix}}.efi" for name in ("shim", "mm", "grub")
        )
        for folder in ("boot/efi/EFI/*", "usr/lib/ipa-partitions/efi")
    ),
)
# GRUB was built to look for its files there.
_PREFIX = re.compile(rb"/EFI/([A-Za-z0-9_-]+)\0")


@dataclass(frozen=True)
class Architecture:
    """What UEFI and GRUB call a processor."""

    suffix: str
    target: str

    @property
    def removable(self) -> str:
        """The loader that firmware starts without a boot entry."""
        return f"BOOT{self.suffix.upper()}.EFI"

    @property
    def grub(self) -> str:
        """What shim starts."""
        return f"grub{self.suffix}.efi"

    @property
    def shim(self) -> str:
        """What firmware starts where loaders are signed."""
        return f"shim{self.suffix}.efi"

    @property
    def modules(self) -> Path:
        """Where GRUB's modules are installed."""
        return Path("/usr/lib/grub") / self.target


_ARCHITECTURES = {
    "x86_64": Architecture("x64", "x86_64-efi"),
    "aarch64": Architecture("aa64", "arm64-efi"),
}


def architecture() -> Architecture:
    """Return that of this machine. Raises MachineError for another one."""
    machine = platform.machine()
    try:
        return _ARCHITECTURES[machine]
    except KeyError:
        raise MachineError(
            "$.boot.firmware", f"UEFI is not supported on {machine}"
        ) from None


@dataclass(frozen=True)
class Signed:
    """The signed loaders of the ramdisk's distribution."""

    shim: Path
    mok_manager: Path
    grub: Path

    def vendor(self) -> str:
        """Return the folder below EFI where this GRUB looks for its files.

        Raises MachineError if it does not say.
        """
        match = _PREFIX.search(self.grub.read_bytes())
        if match is None:
            raise MachineError(
                "$.boot.secure_boot", f"{self.grub} has no prefix below /EFI"
            )
        return match[1].decode()


def find_signed(root: Path = Path("/")) -> Signed | None:
    """Return the signed loaders that are installed, None without any."""
    its = architecture()
    for patterns in _SIGNED:
        names = (
            p.format(suffix=its.suffix, target=its.target) for p in patterns
        )
        found = [_first(root.glob(name)) for name in names]
        if all(found):
            return Signed(*(path for path in found if path))
    return None


def choose_signed(secure_boot: str | bool) -> Signed | None:
    """Return the signed loaders if they are to be used: SPEC 2.7.

    ``auto`` uses them where they are there: they boot without Secure Boot,
    too. Raises MachineError if the machine could not boot then.
    """
    signed = find_signed() if secure_boot else None
    needs = secure_boot is True or is_enforced()
    if signed is None and needs:
        why = (
            "there is no signed shim and GRUB in this ramdisk"
            if secure_boot
            else "the firmware of this machine enforces Secure Boot"
        )
        raise MachineError("$.boot.secure_boot", why)
    return signed


def _first(paths: Iterator[Path]) -> Path | None:
    return min(paths, default=None)
