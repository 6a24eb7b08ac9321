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


"""A well-behaved http server on the loopback interface, for a few files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PIECE_BYTES = 128 * 1024
PIECE_S = 0.04


@contextmanager
def serving(
    *files: Path, gate: threading.Event | None = None
) -> Iterator[str]:
    """Serve ``files`` by their names; yield the URL they are below.

    With a ``gate`` they come slowly, some MiB a second, until it is set.
    """
    paths = {f"/{file.name}": str(file) for file in files}

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return paths.get(path.partition("?")[0], "/nowhere")

        def copyfile(self, source: Any, outputfile: Any) -> None:
            # A client that has seen enough hangs up: that is its right.
            with suppress(ConnectionError):
                while gate and not gate.wait(PIECE_S):
                    if not (piece := source.read(PIECE_BYTES)):
                        return
                    outputfile.write(piece)
                super().copyfile(source, outputfile)

        def log_message(self, *words: object) -> None:
            """Say nothing: what matters is what the client says."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
