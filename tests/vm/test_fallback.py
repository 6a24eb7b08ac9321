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

"""The story of a switch that goes well, and of those that do not.

The second system is broken in every way that a person would not survive
without a console, and the machine ends up in the first one again.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ipa_partitions.disk.mount import mounted
from tests.vm import qemu
from tests.vm.two_systems import SECOND, attached, boot

# A panic restarts the machine, what hangs takes all of it.
PANIC_TIMEOUT_S = qemu.TIMEOUT_S
HANG_TIMEOUT_S = 180

EXIT = bytes.fromhex("b83c00000031ff0f05")
PAUSE = bytes.fromhex("b8220000000f05ebf7")


@pytest.fixture
def disk(two_systems: Path) -> Path:
    """Return a disk that boots Debian 12, and next, on trial, 13."""
    with attached(two_systems) as device:
        chosen = boot(device, "set", "debian-13")
    assert (chosen["current_element"], chosen["trial_element"]) == (0, 1)
    return two_systems


def listed(disk: Path) -> tuple[int, int | None]:
    with attached(disk) as device:
        info = boot(device, "list")
    return info["current_element"], info.get("trial_element")


def program_of(code: bytes) -> bytes:
    """Return the smallest program that is these instructions."""
    start = 0x400000
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1", 2, 62, 1, start + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    size = 120 + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 4096)
    return head + segment + code


def initrd_of(code: bytes) -> Callable[[Path], None]:
    """Return what puts a program in the place of the initrd's."""

    def spoil(root: Path) -> None:
        (initrd,) = (root / "boot").glob("initrd.img-*")
        folder = root / "tmp/initrd"
        folder.mkdir()
        (folder / "init").write_bytes(program_of(code))
        (folder / "init").chmod(0o755)
        with initrd.open("wb") as file:
            subprocess.run(
                ["cpio", "--create", "--format=newc", "--quiet"],
                cwd=folder, input=b"init\n", stdout=file, check=True,
            )  # fmt: skip

    return spoil


def broken_kernel(root: Path) -> None:
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    kernel.write_bytes(b"no kernel" * 1000)


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_system_that_comes_up_stays(disk, firmware):
    first = qemu.boot_disk(disk, firmware=firmware, snapshot=False)
    assert first.version == "13"
    assert first.failed_units == ""
    assert listed(disk) == (1, None)

    assert qemu.boot_disk(disk, firmware=firmware).version == "13"


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.parametrize(("spoil", "says", "timeout_s"), [
    pytest.param(initrd_of(EXIT), "Attempted to kill init", PANIC_TIMEOUT_S,
                 id="panic"),
    pytest.param(initrd_of(PAUSE), "Run /init", HANG_TIMEOUT_S,
                 id="hanging initrd"),
])  # fmt: skip
def test_the_next_boot_after_one_that_fails_is_the_system_before(
    disk, firmware, spoil, says, timeout_s
):
    with attached(disk) as device, mounted(f"{device}p{SECOND}") as root:
        spoil(root)
    with pytest.raises(qemu.BootError) as failed:
        qemu.boot_disk(
            disk, firmware=firmware, snapshot=False, timeout_s=timeout_s
        )
    assert says in failed.value.console
    assert listed(disk) == (0, 1)

    second = qemu.boot_disk(disk, firmware=firmware, snapshot=False)

    assert second.version == "12"
    assert listed(disk) == (0, None)


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_kernel_that_cannot_be_loaded_is_left_at_once(disk, firmware):
    with attached(disk) as device, mounted(f"{device}p{SECOND}") as root:
        broken_kernel(root)

    booted = qemu.boot_disk(disk, firmware=firmware, snapshot=False)

    assert booted.version == "12"
    assert listed(disk) == (0, None)
