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


"""A virtual machine that boots disks and is read on its serial port.

It has virtio disks, no network and no reboot: a machine that restarts or
powers off has ended. Its time is bounded, and it is always ended.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests import systems
from tests.kept import CACHE
from tests.vm import tpm as tpms
from tests.vm.kernel import kernel

# Under emulation on two cores a system is up in less than half a minute; what
# else the machine is at may take it that long.
TIMEOUT_S = 900

# A kernel that runs by KVM says so long before.
PROBE_TIMEOUT_S = 20

# QEMU 7.2 gets the flags wrong after CMPXCHG16B, which Linux 6.12 allocates
# memory with: half of its boots crash. Without that instruction none does.
# And it clears memory byte by byte for a kernel that takes that to be quick.
EMULATED = (
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max,cx16=off,erms=off,fsrm=off",
)
VIRTUAL = ("-accel", "kvm", "-cpu", "host")

# Debian's OVMF: the program and, blank or with Microsoft's keys, what it
# keeps. Only with SMM can a kernel not write to that.
_OVMF = Path("/usr/share/OVMF")
_FIRMWARE = {
    "uefi": ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", ("-machine", "q35")),
    "secure": (
        "OVMF_CODE_4M.secboot.fd",
        "OVMF_VARS_4M.ms.fd",
        (
            "-machine", "q35,smm=on",
            "-global", "driver=cfi.pflash01,property=secure,value=on",
        ),
    ),
}  # fmt: skip

# For every kernel that is to boot here: the clock of an emulated processor
# is not steady, and on a busy machine its timer seems not to work at all,
# which a kernel that looks for that takes for the end. With random addresses
# QEMU translates a program anew each time it runs, and a page that was often
# translated takes half a minute to clear, as all of that is forgotten.
CLOCK = "tsc=unstable no_timer_check norandmaps"

# What systemd waits 90 s for is there later on a busy machine.
PATIENCE = " ".join(
    f"{name}=900"
    for name in (
        "systemd.default_timeout_start_sec",
        "systemd.default_device_timeout_sec",
        "udev.event_timeout",
        "rd.udev.event_timeout",
    )
)

# Drivers of what is not there or not used, slow to unpack; a daemon that
# watches mirrors of LVM, and that LVM waits for in seconds.
UNUSED = (
    "modprobe.blacklist=kvm_amd,powernow_k8,ata_piix,floppy"
    " systemd.mask=lvm2-monitor.service"
)

# Of systems that are deployed: their console is what tests read, with no
# bars that move.
KERNEL_PARAMS = (
    f"console=ttyS0 systemd.show_status=error {CLOCK} {PATIENCE} {UNUSED}"
    f" {systems.POWER_OFF}"
)


Firmware = Literal["bios", "uefi", "secure"]


class BootError(AssertionError):
    """The machine did not come up; the message ends with its console.

    The message has its last lines only: a panic's call trace may be longer.
    """

    def __init__(self, problem: str, console: str) -> None:
        self.console = console
        tail = "\n".join(console.splitlines()[-40:])
        super().__init__(f"{problem}; the end of its console:\n{tail}")


@dataclass(frozen=True)
class Facts:
    """What the system that came up says of itself."""

    id: str
    version: str
    kernel: str
    cmdline: str
    swap_uuids: tuple[str, ...]
    mounts: dict[str, dict[str, Any]]
    failed_units: str
    arrays: str
    console: str
    seconds: float

    @property
    def root_uuid(self) -> str:
        """The UUID of the filesystem on ``/``."""
        return str(self.mounts["/"]["uuid"])


def boot_disk(
    *disks: Path,
    firmware: Firmware = "bios",
    variables: Path | None = None,
    snapshot: bool = True,
    timeout_s: int = TIMEOUT_S,
    watch: Callable[[str], None] = lambda line: None,
    tpm: Path | None = None,
) -> Facts:
    """Boot the first of ``disks`` and return what its system says.

    ``secure`` is UEFI that enforces Secure Boot; ``variables`` is a file
    for what UEFI keeps, made if it is not there; ``tpm`` is the folder of
    the TPM that it has. With ``snapshot`` nothing that the system writes to
    disks stays, so it is ended when it is up. ``watch`` gets every line of
    the console. Raises BootError if no system says that it is up within
    ``timeout_s``.
    """

    def is_done(line: str) -> bool:
        watch(line)
        return snapshot and systems.UP in line

    snapshot_word = "on" if snapshot else "off"
    drives = (
        f"file={disk},if=virtio,format=raw,snapshot={snapshot_word}"
        for disk in disks
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        ends = [stack.enter_context(tpms.tpm(tpm))] if tpm else []
        argv = _argv(
            *firmware_argv(firmware, variables or Path(scratch) / "vars"),
            *(word for drive in drives for word in ("-drive", drive)),
            *(word for end in ends for word in tpms.argv(end)),
            accelerator=VIRTUAL if has_kvm() else EMULATED,
        )
        inherited = [end.fileno() for end in ends]
        console = _run(argv, timeout_s, is_done, inherited)
    seconds = time.monotonic() - started
    for line in console.splitlines():
        _, found, told = line.partition(f"{systems.UP} ")
        if found:
            return _facts(json.loads(told), console, seconds)
    raise BootError(f"no system came up in {seconds:.0f} s", console)


def firmware_argv(firmware: Firmware, variables: Path) -> tuple[str, ...]:
    """Return the words for ``firmware``, which keeps ``variables``."""
    if firmware == "bios":
        return ()
    code, blank, machine = _FIRMWARE[firmware]
    if not variables.exists():
        shutil.copyfile(_OVMF / blank, variables)
    flash = "if=pflash,format=raw"
    return (
        *machine,
        "-drive", f"{flash},unit=0,readonly=on,file={_OVMF / code}",
        "-drive", f"{flash},unit=1,file={variables}",
    )  # fmt: skip


def _facts(told: dict[str, Any], console: str, seconds: float) -> Facts:
    listed = told["findmnt"]["filesystems"]
    return Facts(
        id=told["id"],
        version=told["version"],
        kernel=told["kernel"],
        cmdline=told["cmdline"],
        swap_uuids=tuple(told["swaps"].split()),
        mounts={mount["target"]: mount for mount in listed},
        failed_units=told["failed"],
        arrays=told["mdstat"],
        console=console,
        seconds=seconds,
    )


@functools.cache
def has_kvm() -> bool:
    """Tell whether KVM runs a kernel here, by running one.

    /dev/kvm may be there, open, and still not get a kernel going. The
    answer is kept until the machine restarts.
    """
    if not Path("/dev/kvm").exists():
        return False
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = CACHE / f"kvm-{boot_id}"
    if not answer.exists():
        answer.parent.mkdir(parents=True, exist_ok=True)
        argv = _argv(
            "-kernel", str(kernel().image),
            "-append", "console=ttyS0 panic=-1",
            accelerator=VIRTUAL,
        )  # fmt: skip
        console = _run(argv, PROBE_TIMEOUT_S)
        # It has no root filesystem: to come as far as that is all we ask.
        answer.write_text("yes" if "Kernel panic" in console else "no")
    return answer.read_text() == "yes"


def _argv(*more: str, accelerator: tuple[str, ...]) -> list[str]:
    return [
        "qemu-system-x86_64", *accelerator,
        # One processor that waits for another, which the host has no time
        # for, is stuck: on a busy machine two never come up.
        "-smp", "1", "-m", "1024",
        "-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none",
        "-device", "virtio-rng-pci",
        *more,
    ]  # fmt: skip


def _run(
    argv: list[str],
    timeout_s: float,
    is_done: Callable[[str], bool] = lambda line: False,
    inherited: Sequence[int] = (),
) -> str:
    """Run a machine until it ends or is done: its console."""
    with tempfile.TemporaryDirectory() as scratch:
        serial = Path(scratch) / "console"
        serial.touch()
        with (
            (Path(scratch) / "stderr").open("w+") as stderr,
            serial.open(errors="replace", newline="\n") as console,
        ):
            process = subprocess.Popen(
                [*argv, "-serial", f"file:{serial}"],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=inherited,
            )
            try:
                follow(process, console, timeout_s, is_done)
            finally:
                process.kill()
                process.wait()
            stderr.seek(0)
            return serial.read_text(errors="replace") + stderr.read()


def follow(
    process: subprocess.Popen[bytes],
    console: Any,
    timeout_s: float,
    watch: Callable[[str], object],
) -> None:
    """Give each line of the console to ``watch`` until that says yes.

    It ends with the process, too, and after ``timeout_s``.
    """
    until = time.monotonic() + timeout_s
    rest = ""
    while time.monotonic() < until:
        ended = process.poll() is not None
        *lines, rest = (rest + console.read()).split("\n")
        for line in lines:
            if watch(line):
                return
        if ended:
            return
        time.sleep(0.1)
