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

"""How far a deployment is, for whoever asked for it.

An action does not know who listens: it calls ``advance`` and the listener
that ``listening`` set, for this context and the threads started with a copy
of it, is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """What ``GET /v1/commands/<id>`` shows of a running deployment.

    ``number`` of ``of`` actions is under way; ``total_bytes`` and
    ``seconds_left`` are None while they are unknown.
    """

    action: str
    number: int
    of: int
    bytes: int = 0
    total_bytes: int | None = None
    seconds_left: float | None = None


Listener = Callable[[Progress], None]

_current: ContextVar[_Meter | None] = ContextVar("meter", default=None)


@dataclass
class _Meter:
    """The bytes of one action, told to the listener now and then."""

    listener: Listener
    action: str
    number: int
    of: int
    started: float = field(default_factory=time.monotonic)
    done_bytes: int = 0
    total_bytes: int | None = None
    told: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    # Often enough for a bar, too seldom to cost anything.
    INTERVAL_S = 0.2

    def tell(self) -> None:
        elapsed_s = time.monotonic() - self.started
        left_s = None
        if self.total_bytes and self.done_bytes:
            left_bytes = max(0, self.total_bytes - self.done_bytes)
            left_s = round(elapsed_s * left_bytes / self.done_bytes, 1)
        self.told = time.monotonic()
        self.listener(
            Progress(
                self.action,
                self.number,
                self.of,
                self.done_bytes,
                self.total_bytes,
                left_s,
            )
        )


@contextmanager
def listening(
    listener: Listener, action: str, number: int, of: int
) -> Iterator[None]:
    """Tell ``listener`` of the action that runs inside the block."""
    meter = _Meter(listener, action, number, of)
    token = _current.set(meter)
    meter.tell()
    try:
        yield
    finally:
        _current.reset(token)


def expect(total_bytes: int) -> None:
    """Say how many bytes the running action will move in all."""
    meter = _current.get()
    if meter is not None:
        with meter.lock:
            meter.total_bytes = total_bytes


def advance(count: int) -> None:
    """Say that the running action has moved ``count`` bytes more."""
    meter = _current.get()
    if meter is None:
        return
    with meter.lock:
        meter.done_bytes += count
        if time.monotonic() - meter.told >= meter.INTERVAL_S:
            meter.tell()
