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

"""A real rsync daemon on the loopback interface."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(folder: Path, module: str = "trees") -> Iterator[str]:
    """Serve ``folder`` as ``module``; yield the host and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(
            f"use chroot = no\nuid = 0\ngid = 0\n"
            f"[{module}]\npath = {folder}\nread only = yes\n"
        )
        config.flush()
        daemon = subprocess.Popen(
            [
                "rsync", "--daemon", "--no-detach", "--address=127.0.0.1",
                f"--port={port}", f"--config={config.name}",
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            daemon.terminate()
            daemon.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
