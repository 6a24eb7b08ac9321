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

"""A TPM 2 for a machine, by swtpm; what it keeps is in a folder."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Who is killed ends nothing any more: the kernel ends these with us.
WITH_US = ("setpriv", "--pdeathsig=KILL")


@contextmanager
def tpm(state: Path) -> Iterator[socket.socket]:
    """Start one that keeps its seeds in ``state``; yield QEMU's end of it.

    On a copy of that folder it is the same TPM, in another machine.
    """
    state.mkdir(exist_ok=True)
    here, there = socket.socketpair()
    with here, there:
        process = subprocess.Popen(
            [
                *WITH_US, "swtpm", "socket", "--tpm2",
                "--tpmstate", f"dir={state}",
                "--ctrl", f"type=unixio,clientfd={there.fileno()}",
                "--flags", "startup-clear",
            ],
            pass_fds=[there.fileno()],
            stderr=subprocess.DEVNULL,  # it tells us that the machine ended
        )  # fmt: skip
        there.close()
        try:
            yield here
        finally:
            process.kill()
            process.wait()


def argv(end: socket.socket) -> tuple[str, ...]:
    """Return the words for QEMU, which has to inherit ``end``."""
    return (
        "-chardev", f"socket,id=tpm,fd={end.fileno()}",
        "-tpmdev", "emulator,id=tpm,chardev=tpm",
        "-device", "tpm-tis,tpmdev=tpm",
    )  # fmt: skip
