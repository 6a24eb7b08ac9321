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

"""How the two sides of a test machine talk: a line of JSON, and another."""

from __future__ import annotations

import json
import socket
import time
from typing import Any


class Lines:
    """Lines of JSON, to and from the other end of a socket."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._rest = b""

    def send(self, message: object) -> None:
        """Send one line."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout_s: float) -> Any:
        """Return the next line; raise EOFError, TimeoutError."""
        until = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            self._socket.settimeout(max(until - time.monotonic(), 0.001))
            received = self._socket.recv(65536)
            if not received:
                raise EOFError
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)
