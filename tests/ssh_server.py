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

"""An ssh server on the loopback interface, and what a client needs."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import until_listening

PRIVILEGE_SEPARATION = Path("/run/sshd")


def _make_key(file: Path) -> str:
    """Make a key pair, and return the public half."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)],
        check=True,
    )
    return file.with_suffix(".pub").read_text()


@contextmanager
def ssh_server(scratch: Path) -> Iterator[Path]:
    """Serve root's login; yield the files that the ramdisk has for it.

    Its port is in ``ssh_config``, for a URL has none.
    """
    ramdisk = scratch / "etc"
    ramdisk.mkdir()
    host_key = _make_key(scratch / "host_key")
    _ = (scratch / "authorized").write_text(_make_key(ramdisk / "ssh_key"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (ramdisk / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (ramdisk / "ssh_config").write_text(f"Port {port}\n")
    settings = scratch / "sshd_config"
    settings.write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {scratch}/host_key\n"
        f"AuthorizedKeysFile {scratch}/authorized\n"
        f"PidFile none\nUsePAM no\nStrictModes no\n"
        "PermitRootLogin prohibit-password\n"
    )
    PRIVILEGE_SEPARATION.mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-q", "-f", str(settings)]
    )
    try:
        until_listening(process, "127.0.0.1", port)
        yield ramdisk
    finally:
        process.terminate()
        process.wait()
