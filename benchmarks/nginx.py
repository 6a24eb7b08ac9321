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

"""nginx on the loopback interface, for as long as a block lasts."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SETTINGS = """\
user root;
daemon off;
pid {scratch}/pid;
error_log stderr;
events {{}}
http {{
access_log off;
client_body_temp_path {scratch}/body;
proxy_temp_path {scratch}/proxy;
fastcgi_temp_path {scratch}/fastcgi;
uwsgi_temp_path {scratch}/uwsgi;
scgi_temp_path {scratch}/scgi;
{server}
}}
"""

# Reading by blocks: for sendfile(2) the kernel reads hardly ahead.
_FILES = """\
server {{
    listen {listen};
    root {folder};
    sendfile off;
    output_buffers 2 1m;
    limit_rate {rate};
}}
"""


@contextmanager
def running(scratch: Path, server: Callable[[str], str]) -> Iterator[str]:
    """Run nginx with the block ``server`` gives for an address.

    Yields its URL.
    """
    scratch.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
    listen = f"{host}:{port}"
    settings = scratch / "nginx.conf"
    settings.write_text(
        _SETTINGS.format(scratch=scratch, server=server(listen))
    )
    process = subprocess.Popen(
        ["nginx", "-c", str(settings), "-p", str(scratch)],
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with (
                suppress(OSError),
                socket.create_connection((host, port), 1),
            ):
                break
            time.sleep(0.05)
        yield f"http://{listen}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def serving(folder: Path, rate: str = "0") -> Iterator[str]:
    """Serve ``folder``, each download at most at ``rate``: 0, or 100m."""

    def server(listen: str) -> str:
        return _FILES.format(listen=listen, folder=folder, rate=rate)

    with running(folder / f"nginx-{rate}", server) as url:
        yield url
