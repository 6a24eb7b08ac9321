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

"""What many nodes fetch at once, with and without a caching proxy.

One server with a bandwidth of its own, and nodes in processes that download
and hash one image from it as a deployment does, first the start for
``validate``, then all. nginx between them keeps what it has fetched, in
slices. Counted is what leaves the server. Needs nginx, and no root.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import compare, nginx
from ipa_partitions.images import stream
from ipa_partitions.images.image import Image

MIB = 1024**2
_PIECE_BYTES = 256 * 1024
_SLICE_MIB = 4


class Origin:
    """A file over http, ``rate`` bytes a second for all who ask at once.

    ``sent`` are the bytes that have left. With ``cut_after`` every
    connection ends after so many: nodes have to resume.
    """

    def __init__(self, file: Path, rate: float) -> None:
        self.file = file
        self.rate = rate
        self.cut_after: int | None = None
        self.sent = 0
        self.requests = 0
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    def pay(self, count: int) -> None:
        """Wait until ``count`` bytes more may leave."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self.rate
            wait_s = self._free_at - now
            self.sent += count
        time.sleep(max(0.0, wait_s))

    def reset(self, cut_after: int | None) -> None:
        self.sent = self.requests = 0
        self.cut_after = cut_after


@contextmanager
def serving(origin: Origin) -> Iterator[str]:
    """Serve the origin; yield its URL."""
    size = origin.file.stat().st_size

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            origin.requests += 1
            self.close_connection = True
            wanted = re.fullmatch(
                r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")
            )
            start = int(wanted[1]) if wanted else 0
            end = int(wanted[2]) + 1 if wanted and wanted[2] else size
            end = min(end, size)
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", f'"{size}"')
            self.send_header("Content-Length", str(end - start))
            if wanted:
                self.send_header(
                    "Content-Range", f"bytes {start}-{end - 1}/{size}"
                )
            self.send_header("Connection", "close")
            self.end_headers()
            with origin.file.open("rb") as file, suppress(ConnectionError):
                self._send(file.fileno(), start, end)

        def _send(self, fd: int, start: int, end: int) -> None:
            if origin.cut_after:
                end = min(end, start + origin.cut_after)
            for at in range(start, end, _PIECE_BYTES):
                data = os.pread(fd, min(_PIECE_BYTES, end - at), at)
                origin.pay(len(data))
                self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# The page on serving a rack shows this.
NGINX = """\
proxy_cache_path {scratch}/cache keys_zone=images:1m max_size=200g
                 inactive=7d use_temp_path=off;
server {{
    listen {listen};
    location / {{
        proxy_pass {origin};
        proxy_cache images;
        proxy_cache_valid 200 206 1h;
        proxy_cache_revalidate on;
        proxy_cache_lock on;
        proxy_cache_lock_age 60s;
        slice {slice}m;
        proxy_cache_key $uri$is_args$args$slice_range;
        proxy_set_header Range $slice_range;
        proxy_http_version 1.1;
    }}
}}
"""


@contextmanager
def caching_proxy(origin_url: str, scratch: Path) -> Iterator[str]:
    """Run nginx, its cache empty; yield its URL."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()

    def server(listen: str) -> str:
        return NGINX.format(
            scratch=scratch,
            listen=listen,
            origin=origin_url,
            slice=_SLICE_MIB,
        )

    with nginx.running(scratch, server) as url:
        yield url


def fetch(url: str, digest: str) -> None:
    """Do with the image what a node does, but for the disk."""
    image = Image("image", f"{url}/image.raw", "raw", "none", "sha256", digest)
    stream.peek(image)
    with stream.streamed(image) as plain:
        for _ in plain.blocks:
            pass
        plain.verify()


def fetch_by_all(url: str, digest: str, nodes: int) -> float:
    """Return the seconds until every node has the image."""
    context = multiprocessing.get_context("fork")
    started = time.monotonic()
    processes = [
        context.Process(target=fetch, args=(url, digest)) for _ in range(nodes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a node has failed")
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--size-mib", type=int, default=64)
    parser.add_argument("--rate-mib", type=int, default=20)
    arguments = parser.parse_args()
    nodes, size = arguments.nodes, arguments.size_mib * MIB
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        file = scratch / "image.raw"
        content = os.urandom(size)
        file.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        origin = Origin(file, arguments.rate_mib * MIB)
        rows = [
            (f"{nodes} nodes, {size // MIB} MiB,", "", ""),
            (f"a server of {arguments.rate_mib} MiB/s", "", ""),
        ]
        with serving(origin) as url:
            for name, is_cached, cut_after in (
                ("direct", False, None),
                ("direct, each connection cut in four", False, size // 4),
                ("through a caching proxy", True, None),
            ):
                origin.reset(cut_after)
                if is_cached:
                    with caching_proxy(url, scratch / "nginx") as proxy:
                        seconds = fetch_by_all(proxy, digest, nodes)
                else:
                    seconds = fetch_by_all(url, digest, nodes)
                copies = origin.sent / size
                limit = 1.1 if is_cached else 1.05 * nodes
                rows += [
                    (f"{name}: s", f"{seconds:.1f}", ""),
                    ("  images that left the server", f"{copies:.2f}",
                     compare.verdict(copies, limit)),
                ]  # fmt: skip
    print(compare.table(rows))


if __name__ == "__main__":
    main()
