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

"""How long a server may keep us waiting, over however many connections."""

from __future__ import annotations

# A connection that brings less than this while we wait that long stalls.
STALL_S = 30
STALL_BYTES = 64 * 1024
# Waiting that long in all for that much ends the download, however many
# connections it took.
PATIENCE_S = 120
PROGRESS_BYTES = 256 * 1024


class Patience:
    """How long we have waited for how much.

    What the disk takes meanwhile is not waiting.
    """

    def __init__(self) -> None:
        self._stall_s, self._stall_bytes = 0.0, 0
        self._waited_s, self._bytes = 0.0, 0
        self.is_stalled = False
        self.is_renewed = False

    def waited(self, time_s: float, came_bytes: int = 0) -> None:
        """Count what a wait took, and what it brought."""
        self._waited_s += time_s
        self._bytes += came_bytes
        self.is_renewed = self._bytes >= PROGRESS_BYTES
        if self.is_renewed:
            self._waited_s, self._bytes = 0.0, 0
        self._stall_s += time_s
        self._stall_bytes += came_bytes
        self.is_stalled = False
        if self._stall_s >= STALL_S:
            self.is_stalled = self._stall_bytes < STALL_BYTES
            self._stall_s, self._stall_bytes = 0.0, 0

    def reconnect(self) -> None:
        """Begin with another connection."""
        self._stall_s, self._stall_bytes = 0.0, 0

    @property
    def left_s(self) -> float:
        return max(0.0, PATIENCE_S - self._waited_s)

    @property
    def is_over(self) -> bool:
        return not self.left_s

    @property
    def timeout_s(self) -> float:
        """How long to wait for one answer, more than nothing."""
        return max(0.1, min(STALL_S, self.left_s))
