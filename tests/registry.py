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

"""Registries on the loopback interface, and how images are pushed."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from tests.servers import until_listening

OCI = "application/vnd.oci"
MANIFEST = f"{OCI}.image.manifest.v1+json"
INDEX = f"{OCI}.image.index.v1+json"
CONTAINER = f"{OCI}.image.config.v1+json"
TITLE = "org.opencontainers.image.title"
USER, PASSWORD = "user", "secret"
# bcrypt of the password, the only hash that the registry takes.
HTPASSWD = (
    "user:$2b$04$mgVh.p1Unh6snF08Kq5v8uBQJUSFAe/PSJzqb8MuEop//BqnSiXCu\n"
)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def to_json(content: object) -> bytes:
    return json.dumps(content).encode()


@dataclass(frozen=True)
class Pushed:
    """What a registry is to hold: blobs and manifests by their names."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def blob(self, content: bytes, kind: str, title: str = "") -> object:
        digest = digest_of(content)
        self.blobs[digest] = content
        described: dict[str, Any] = {
            "mediaType": kind,
            "digest": digest,
            "size": len(content),
        }
        if title:
            described["annotations"] = {TITLE: title}
        return described

    def image(
        self, *layers: object, tag: str, config: str = f"{OCI}.empty.v1+json"
    ) -> str:
        """Add a manifest of layers, and return its digest."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(b"{}", config),
            "layers": layers,
        }
        return self._add(MANIFEST, manifest, tag)

    def index(self, tag: str, **digests: str) -> None:
        """Add an index of one image for each architecture."""
        there = [
            {
                "mediaType": MANIFEST,
                "digest": digest,
                "size": len(self.manifests[digest][1]),
                "platform": {"os": "linux", "architecture": arch},
            }
            for arch, digest in digests.items()
        ]
        content = {"schemaVersion": 2, "mediaType": INDEX, "manifests": there}
        self._add(INDEX, content, tag)

    def _add(self, kind: str, content: object, tag: str) -> str:
        text = to_json(content)
        digest = digest_of(text)
        self.manifests[digest] = self.manifests[tag] = (kind, text)
        return digest


@contextmanager
def docker_registry(
    pushed: Pushed, scratch: Path, certificate: Path
) -> Iterator[str]:
    """Run Debian's registry with ``library/image``; yield ``host:port``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (scratch / "htpasswd").write_text(HTPASSWD)
    settings = scratch / "registry.yml"
    settings.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {scratch}/registry}}}}\n"
        f"auth: {{htpasswd: {{realm: r, path: {scratch}/htpasswd}}}}\n"
        f"http: {{addr: '{host}', tls: {{certificate: {certificate},"
        f" key: {certificate}}}}}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address, port = host.split(":")
        until_listening(process, address, int(port))
        _push(pushed, f"https://{host}/v2/library/image", certificate)
        yield host
    finally:
        process.terminate()
        process.wait()


def _push(pushed: Pushed, url: str, certificate: Path) -> None:
    with requests.Session() as session:
        session.auth = (USER, PASSWORD)
        ca = str(certificate)
        for digest, content in pushed.blobs.items():
            begun = session.post(f"{url}/blobs/uploads/", verify=ca)
            begun.raise_for_status()
            session.put(
                begun.headers["Location"],
                params={"digest": digest},
                data=content,
                verify=ca,
            ).raise_for_status()
        for name, (kind, content) in pushed.manifests.items():
            session.put(
                f"{url}/manifests/{name}",
                data=content,
                headers={"Content-Type": kind},
                verify=ca,
            ).raise_for_status()


@contextmanager
def token_registry(
    pushed: Pushed,
    certificate: Path,
    good_for: int = 1000,
    cut_bytes: int | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """Serve ``pushed`` to who has fetched a token; yield host and paths.

    One is given for a user and password, and good for some requests. Of a
    blob no more than ``cut_bytes`` come at a time.
    """
    asked: list[str] = []
    left: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            told = self.headers.get("Authorization", "")
            if self.path.startswith("/token?"):
                if not told.startswith("Basic "):
                    self._answer(403, "text/plain", b"")
                    return
                left[f"Bearer {len(left)}"] = good_for
                token = {"token": f"{len(left) - 1}"}
                self._answer(200, "text/plain", to_json(token))
            elif not left.get(told):
                self.send_response(401)
                self.send_header(
                    "WWW-Authenticate",
                    f'Bearer realm="https://{host}/token",service="s",'
                    'scope="repository:library/image:pull"',
                )
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                left[told] -= 1
                self._send(self.path.rpartition("/")[2])

        def _send(self, name: str) -> None:
            if name in pushed.manifests:
                self._answer(200, *pushed.manifests[name])
            elif name in pushed.blobs:
                _answer_part(self, pushed.blobs[name], cut_bytes)
            else:
                self._answer(404, "x/y", b"")

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            """Say nothing: what matters is what the client says."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield host, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer_part(
    handler: BaseHTTPRequestHandler, content: bytes, cut_bytes: int | None
) -> None:
    """Answer what ``Range`` asks for, but no more than ``cut_bytes``."""
    wanted = handler.headers.get("Range", "bytes=0-")
    start = int(wanted.removeprefix("bytes=").rstrip("-"))
    end, size = len(content) - 1, len(content)
    handler.send_response(206 if start else 200)
    handler.send_header("Content-Range", f"bytes {start}-{end}/{size}")
    handler.send_header("Content-Length", str(size - start))
    handler.end_headers()
    with suppress(ConnectionError):
        handler.wfile.write(content[start:][:cut_bytes])
