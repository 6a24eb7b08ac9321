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
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def serving(
    *files: Path, gate: threading.Event | None = None
) -> Iterator[str]:
    """Serve ``files`` by their names; yield the URL they are below.

    With a ``gate`` the second half of a file waits until it is set, or for
    a minute.
    """
    paths = {f"/{file.name}": str(file) for file in files}

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return paths.get(path.partition("?")[0], "/nowhere")

        def copyfile(self, source: Any, outputfile: Any) -> None:
            if gate is not None:
                size_bytes = Path(source.name).stat().st_size
                outputfile.write(source.read(size_bytes // 2))
                gate.wait(60)
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
