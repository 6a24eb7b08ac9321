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

"""GRUB for UEFI: onto ESPs, signed or made of modules."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ipa_partitions.boot.efi import Signed, architecture, choose_signed
from ipa_partitions.boot.esp import write_files
from ipa_partitions.boot.grub_cfg import MODULES, render_stub
from ipa_partitions.boot.loader import Target
from ipa_partitions.run import run

# Firmware without an entry looks into the first, ours leads to the other.
_REMOVABLE = "EFI/BOOT"
_NAMED = "EFI/ipa-partitions"


def install(
    directory: Path, path: str, name: str, target: Target, menu: str
) -> None:
    """Put GRUB, called ``name``, on the ESPs of ``target``.

    It finds its menu and modules in ``directory``, ``path`` for GRUB; the
    text of the menu is copied for when that filesystem is gone.
    """
    signed = choose_signed(target.secure_boot)
    its = architecture()
    if its.modules.is_dir():
        # A menu that the system makes itself may ask for any of them.
        shutil.copytree(
            its.modules,
            directory / its.target,
            ignore=shutil.ignore_patterns("monolithic"),
            copy_function=shutil.copyfile,
        )
    stub = render_stub(target.uuid, path)
    files = _signed(signed) if signed else {its.grub: _made(name)}
    first = its.grub if signed is None else its.shim
    prefix = f"EFI/{signed.vendor()}" if signed else _REMOVABLE
    contents = {
        f"{prefix}/menu.cfg": menu.encode(),
        f"{prefix}/grub.cfg": stub.encode(),
        **{f"{_NAMED}/{file}": data for file, data in files.items()},
        **{
            f"{_REMOVABLE}/{file}": data
            for file, data in files.items()
            if file != first
        },
        # What makes it boot is the last.
        f"{_REMOVABLE}/{its.removable}": files[first],
    }
    for each in target.esps:
        write_files(each.device, contents)


def path(signed: Signed | None) -> str:
    """Return what UEFI is to start, as a path of the ESP."""
    its = architecture()
    first = its.shim if signed else its.grub
    return "\\" + f"{_NAMED}/{first}".replace("/", "\\")


def _signed(signed: Signed) -> dict[str, bytes]:
    its = architecture()
    return {
        its.grub: signed.grub.read_bytes(),
        f"mm{its.suffix}.efi": signed.mok_manager.read_bytes(),
        its.shim: signed.shim.read_bytes(),
    }


def _made(name: str) -> bytes:
    its = architecture()
    there = [m for m in MODULES if (its.modules / f"{m}.mod").is_file()]
    with tempfile.NamedTemporaryFile() as image:
        run(
            f"{name}-mkimage",
            "--format", its.target,
            "--directory", str(its.modules),
            "--prefix", f"/{_REMOVABLE}",
            "--output", image.name,
            *there,
        )  # fmt: skip
        return Path(image.name).read_bytes()
