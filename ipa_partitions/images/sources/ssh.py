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

"""Trees on ssh servers, copied by rsync: ``user@host:path``.

The server's key has to be known before; there is no way to have that
not asked for. Keys are looked for where an operator puts them into the
ramdisk, and where ssh has them anyway.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ipa_partitions.images.sources import rsync

RAMDISK = Path("/etc/ipa-partitions")

CONNECT_S = 15
# A server that says nothing for ALIVE_S * ALIVE_TIMES is gone.
ALIVE_S = 15
ALIVE_TIMES = 4


@dataclass(frozen=True)
class SshSource:
    """Copies trees with the rsync program, over ssh."""

    kind: Literal["tree"] = "tree"
    tools: tuple[str, ...] = ("rsync", "ssh")

    def check(self, url: str) -> None:
        """Raise ImageError if the server does not list the directory."""
        rsync.check(url, *_flags())

    def copy(self, url: str, directory: Path, flags: tuple[str, ...]) -> None:
        """Copy what is in ``url`` into ``directory``; raises ImageError."""
        rsync.copy(url, directory, (*flags, *_flags()))


SSH = SshSource()


def _flags() -> Iterator[str]:
    # Without --protect-args the server's shell would expand the path.
    yield "--protect-args"
    yield f"--rsh={shlex.join(ssh_argv(RAMDISK))}"


def ssh_argv(ramdisk: Path) -> tuple[str, ...]:
    """Return the words that rsync starts ssh with.

    Of ``ramdisk`` the files ``known_hosts``, ``ssh_key`` and
    ``ssh_config`` are used if they are there. What is said here goes
    before what is in ``ssh_config``.
    """
    known_hosts = f"{ramdisk}/known_hosts ~/.ssh/known_hosts"
    options = {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": known_hosts,
        "UpdateHostKeys": "no",
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_S),
        "ServerAliveInterval": str(ALIVE_S),
        "ServerAliveCountMax": str(ALIVE_TIMES),
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "PermitLocalCommand": "no",
        "ControlMaster": "no",
    }
    words = ["ssh"]
    if (ramdisk / "ssh_config").exists():
        words += ["-F", str(ramdisk / "ssh_config")]
    if (ramdisk / "ssh_key").exists():
        words += ["-i", str(ramdisk / "ssh_key")]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return tuple(words)
