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

"""The test machine: it sees this machine's files and changes none of them.

Its root directory is the one of the machine it runs on, read-only, under a
layer of memory; it has a TPM 2, no network, and disks that come and go.
What it is told and what it answers are lines of JSON.
"""

from __future__ import annotations

import math
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm import qemu
from tests.vm.kernel import MOUNT_TAG, kernel
from tests.vm.lines import Lines
from tests.vm.tpm import WITH_US, tpm
from tests.vm.tpm import argv as tpm_argv

PORT = "tests"
MEMORY_MIB = 2048
QMP_TIMEOUT_S = 60

START = """\
exec < /dev/null > /dev/ttyS0 2>&1
mount -t tmpfs run /run
mkdir -p /dev/pts /dev/shm /run/lock /lib/modules
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount --make-rshared /
ln -s {modules} /lib/modules/
export {environment}
cd {folder}
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add
udevadm settle
modprobe -a dm-mod dm-crypt bcache btrfs loop raid1
{argv}
echo o > /proc/sysrq-trigger
read -r forever < /dev/zero
"""


class MachineError(AssertionError):
    """The test machine is gone, or says nothing; told with its console."""


@dataclass(frozen=True)
class Disk:
    """A disk of the machine, and the file here that it is."""

    serial: str
    file: Path


class Machine:
    """A machine that runs; made by :func:`running`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        port: socket.socket,
        qmp: socket.socket,
        console: Path,
        tpm_state: Path,
    ) -> None:
        self.tpm_state = tpm_state
        self._process = process
        self._port = Lines(port)
        self._qmp = Lines(qmp)
        self._console = console
        self._deleted: set[str] = set()
        self._qmp.receive(QMP_TIMEOUT_S)  # its greeting
        self._command("qmp_capabilities")

    def send(self, message: object) -> None:
        """Tell the program that runs in it something."""
        with self._talking():
            self._port.send(message)

    def receive(self, timeout_s: float) -> Any:
        """Return what the program says next."""
        with self._talking():
            return self._port.receive(timeout_s)

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            text = self._console.read_text(errors="replace")
            tail = "\n".join(text.splitlines()[-60:])
            raise MachineError(
                f"{error!r}; the end of the console:\n{tail}"
            ) from error

    def follow(self, watch: Callable[[str], None]) -> None:
        """Give each line of its console to ``watch``, until it ends."""
        with self._console.open(errors="replace", newline="\n") as console:
            qemu.follow(self._process, console, math.inf, watch)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    @contextmanager
    def disks(
        self, disks: Iterable[Disk], sector_bytes: int = 512
    ) -> Iterator[None]:
        """Attach disks; afterwards they are gone from the machine."""
        with ExitStack() as stack:
            for number, disk in enumerate(disks):
                self.add(number, disk, sector_bytes)
                stack.callback(self._remove, disk)
            yield

    def add(self, number: int, disk: Disk, sector_bytes: int = 512) -> None:
        """Attach a disk at the address 0:0:NUMBER:0."""
        self._command(
            "blockdev-add",
            **{
                "node-name": disk.serial,
                "driver": "raw",
                "discard": "unmap",
                "detect-zeroes": "unmap",
                "cache": {"direct": False, "no-flush": True},
                "file": {"driver": "file", "filename": str(disk.file)},
            },
        )
        self._command(
            "device_add",
            driver="scsi-hd",
            bus="disks.0",
            id=disk.serial,
            drive=disk.serial,
            serial=disk.serial,
            **{
                "scsi-id": number,
                "logical_block_size": sector_bytes,
                "physical_block_size": sector_bytes,
            },
        )

    def _remove(self, disk: Disk) -> None:
        self._command("device_del", id=disk.serial)
        while disk.serial not in self._deleted:
            self._next()
        self._deleted.remove(disk.serial)
        self._command("blockdev-del", **{"node-name": disk.serial})

    def _command(self, name: str, **arguments: object) -> None:
        with self._talking():
            self._qmp.send({"execute": name, "arguments": arguments})
        while "return" not in (answer := self._next()):
            if "error" in answer:
                raise MachineError(f"{name} {arguments}: {answer['error']}")

    def _next(self) -> Any:
        with self._talking():
            answer = self._qmp.receive(QMP_TIMEOUT_S)
        if answer.get("event") == "DEVICE_DELETED":
            self._deleted.add(answer["data"].get("device"))
        return answer


@contextmanager
def running(
    argv: list[str],
    folder: Path,
    environment: Mapping[str, str],
    firmware: tuple[str, ...] = (),
) -> Iterator[Machine]:
    """Boot a machine that runs ``argv`` in ``folder``; yield, then end it.

    ``argv`` reads and writes /dev/virtio-ports/PORT; when it ends, the
    machine powers off. ``firmware`` is as of ``qemu.firmware_argv``.
    """
    with ExitStack() as stack:
        scratch = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="ipa-partitions-vm-")
            )
        )
        start = scratch / "start"
        start.write_text(
            START.format(
                modules=shlex.quote(str(kernel().modules)),
                environment=" ".join(
                    f"{name}={shlex.quote(value)}"
                    for name, value in environment.items()
                ),
                folder=shlex.quote(str(folder)),
                argv=shlex.join(argv),
            )
        )
        tpm_state = scratch / "tpm"
        tpm_end = stack.enter_context(tpm(tpm_state))
        port, port_there = _pair(stack)
        qmp, qmp_there = _pair(stack)
        console = scratch / "console"
        process = subprocess.Popen(
            [
                *_argv(start, console, port_there, qmp_there, tpm_end),
                *firmware,
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=[
                end.fileno() for end in (port_there, qmp_there, tpm_end)
            ],
        )
        stack.callback(_end, process)
        for end in (port_there, qmp_there, tpm_end):
            end.close()
        yield Machine(process, port, qmp, console, tpm_state)


def accelerator() -> tuple[str, ...]:
    """Return how the machine is run here; the first time, this takes long."""
    return qemu.VIRTUAL if qemu.has_kvm() else qemu.EMULATED


def _argv(
    start: Path,
    console: Path,
    port: socket.socket,
    qmp: socket.socket,
    tpm_end: socket.socket,
) -> list[str]:
    return [
        *WITH_US, "qemu-system-x86_64", *accelerator(),
        "-smp", "1", "-m", str(MEMORY_MIB),
        "-display", "none", "-no-reboot", "-nic", "none",
        "-kernel", str(kernel().image),
        "-initrd", str(kernel().initramfs),
        "-append",
        f'console=ttyS0 {qemu.CLOCK} quiet panic=-1 "start={start}"',
        "-serial", f"file:{console}",
        "-chardev", f"socket,id=qmp,fd={qmp.fileno()}",
        "-mon", "chardev=qmp,mode=control",
        "-virtfs", f"local,path=/,mount_tag={MOUNT_TAG},"
        "security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-rng-pci",
        "-device", "virtio-scsi-pci,id=disks",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=port,fd={port.fileno()}",
        "-device", f"virtserialport,chardev=port,name={PORT}",
        *tpm_argv(tpm_end),
    ]  # fmt: skip


def _pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair()
    for end in ends:
        stack.enter_context(end)
    return ends


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
