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

"""Servers on the loopback interface: of files, with faults on demand."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

CHUNK_BYTES = 1024**2


@dataclass
class Faults:
    """What goes wrong with requests, in their order; then nothing.

    ``statuses`` are answered instead of the file, 0 is none. ``cuts`` are
    how many bytes come before the connection ends, None for all.
    ``stall_s`` is waited at a cut, with the connection open.
    """

    statuses: list[int] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)
    stall_s: float = 0
    ignores_range: bool = False
    other_range: bool = False
    changes: bool = False
    is_chunked: bool = False
    has_no_length: bool = False
    location: str = ""


@dataclass
class Server:
    """A server of the files of ``folder``; ``requests`` it has seen."""

    url: str
    folder: Path
    faults: Faults = field(default_factory=Faults)
    requests: list[dict[str, str]] = field(default_factory=list)

    @staticmethod
    def next_of(queue: list[Any], otherwise: Any) -> Any:
        return queue.pop(0) if queue else otherwise


@contextmanager
def http_server(
    folder: Path,
    certificate: Path | None = None,
    client_ca: Path | None = None,
) -> Iterator[Server]:
    """Serve ``folder`` until the block ends; with a certificate over TLS.

    With ``client_ca`` only clients that have a certificate of it.
    """
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    scheme = "https" if certificate else "http"
    server = Server(f"{scheme}://127.0.0.1:{httpd.server_port}", folder)
    _Handler.servers[httpd.server_port] = server
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
        del _Handler.servers[httpd.server_port]


def _send_range(
    connection: socket.socket, content: BinaryIO, start: int, end: int
) -> None:
    # Not sendfile(2): the kernel reads hardly ahead for it.
    content.seek(start)
    buffer = memoryview(bytearray(CHUNK_BYTES))
    while start < end:
        count = content.readinto(buffer[: end - start])  # type: ignore[attr-defined]
        if not count:
            return  # the test has cut the file meanwhile
        connection.sendall(buffer[:count])
        start += count


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    servers: dict[int, Server] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        server = self.servers[self.connection.getsockname()[1]]
        server.requests.append(
            {
                "path": self.path,
                **{k.lower(): v for k, v in self.headers.items()},
            }
        )
        faults = server.faults
        self.close_connection = True
        status = server.next_of(faults.statuses, 0)
        file = server.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if faults.location and not status:
            self.send_response(302)
            self.send_header("Location", faults.location)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
        elif status or not file.is_file():
            self.send_response(status or 404)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
        else:
            with suppress(ConnectionError):
                self._send_file(server, file)

    def _send_file(self, server: Server, file: Path) -> None:
        faults, size = server.faults, file.stat().st_size
        wanted = re.fullmatch(
            r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")
        )
        is_part = bool(wanted) and not faults.ignores_range
        start = int(wanted[1]) if wanted and is_part else 0
        end = int(wanted[2]) + 1 if wanted and is_part and wanted[2] else size
        self.send_response(206 if is_part else 200)
        tag = len(server.requests) if faults.changes else 0
        self.send_header("ETag", f'"{size}-{tag}"')
        if is_part:
            shown = start + (1 if faults.other_range else 0)
            self.send_header(
                "Content-Range", f"bytes {shown}-{end - 1}/{size}"
            )
        if faults.is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not faults.has_no_length:
            self.send_header("Content-Length", str(end - start))
        self.send_header("Connection", "close")
        self.end_headers()
        cut = server.next_of(faults.cuts, None)
        with file.open("rb", buffering=0) as content:
            if faults.is_chunked:
                content.seek(start)
                self._send_chunks(content.read(), cut)
            else:
                self.wfile.flush()
                count = end - start if cut is None else cut
                _send_range(self.connection, content, start, start + count)
        if cut is not None and faults.stall_s:
            time.sleep(faults.stall_s)

    def _send_chunks(self, data: bytes, cut: int | None) -> None:
        for at in range(0, len(data[:cut]), 4096):
            chunk = data[:cut][at : at + 4096]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if cut is None:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *words: object) -> None:
        """Say nothing: what matters is what the client says."""


def self_signed(folder: Path) -> Path:
    """Make a key and a certificate for 127.0.0.1, in one file."""
    file = folder / "server.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048",
            "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(file), "-out", str(file.with_suffix(".crt")),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    with file.open("a") as both:
        both.write(file.with_suffix(".crt").read_text())
    return file


def until_listening(
    process: subprocess.Popen[bytes], address: str, port: int
) -> None:
    """Return once the server can be reached."""
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        with (
            suppress(OSError),
            socket.create_connection((address, port), 1),
        ):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not listen on {port}")


@contextmanager
def rsync_daemon(
    folder: Path, scratch: Path, password: str = ""
) -> Iterator[str]:
    """Serve ``folder`` as the module ``images``; yield ``host:port``.

    With a password only to ``user``.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = scratch / "rsyncd.conf"
    settings.write_text(
        f"use chroot = no\nuid = root\ngid = root\n[images]\npath = {folder}\n"
    )
    if password:
        secrets = scratch / "rsyncd.secrets"
        secrets.write_text(f"user:{password}\n")
        secrets.chmod(0o600)
        with settings.open("a") as more:
            more.write(f"auth users = user\nsecrets file = {secrets}\n")
    process = subprocess.Popen(
        [
            "rsync", "--daemon", "--no-detach", f"--config={settings}",
            "--address=127.0.0.1", f"--port={port}",
        ]
    )  # fmt: skip
    try:
        until_listening(process, "127.0.0.1", port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
