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
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any

# Often enough for a bar, too seldom to cost anything.
INTERVAL_S = 0.2
# A rate is that of the last seconds: what a server does now, not did.
_RATE_S = 10


@dataclass(frozen=True)
class Sums:
    """The same of all images that have begun."""

    bytes: int = 0
    total_bytes: int | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Progress:
    """What ``GET /v1/commands/<id>`` shows of a running deployment.

    ``number`` of ``of`` actions is under way; ``total_bytes``,
    ``seconds_left`` and ``bytes_per_s`` are None while they are unknown.
    """

    action: str
    number: int
    of: int
    bytes: int = 0
    total_bytes: int | None = None
    seconds_left: float | None = None
    bytes_per_s: int | None = None
    all: Sums = Sums()

    def to_json(self) -> dict[str, Any]:
        """Return it as REST has it: ``progress`` is what SPEC 4.1 says."""
        known = asdict(self)
        return {
            "bytes_per_s": known.pop("bytes_per_s"),
            "all": known.pop("all"),
            "progress": known,
        }


Listener = Callable[[Progress], None]

_current: ContextVar[_Meter | None] = ContextVar("meter", default=None)


class Whole:
    """All ``of`` actions of a deployment, and who is told of them."""

    def __init__(self, listener: Listener, of: int) -> None:
        self.listener = listener
        self.of = of
        self._meters: list[_Meter] = []
        self._lock = threading.Lock()

    def add(self, meter: _Meter) -> None:
        """Count what ``meter`` counts."""
        with self._lock:
            self._meters.append(meter)

    def sums(self) -> Sums:
        """Return what all that move bytes have moved."""
        with self._lock:
            moving = [m for m in self._meters if m.total_bytes or m.done_bytes]
        done_bytes = sum(meter.done_bytes for meter in moving)
        totals = [meter.total_bytes for meter in moving]
        known = [total for total in totals if total is not None]
        if not known or len(known) < len(totals):
            return Sums(done_bytes)
        rate = sum(meter.rate() or 0 for meter in moving)
        left_s = _seconds(sum(known) - done_bytes, rate)
        return Sums(done_bytes, sum(known), left_s)


@dataclass(eq=False)
class _Meter:
    """The bytes of one action, told to the listener now and then."""

    whole: Whole
    action: str
    number: int
    done_bytes: int = 0
    expected_bytes: int | None = None
    also_bytes: int = 0
    told: float = 0.0
    is_running: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def total_bytes(self) -> int | None:
        """Return all that is expected, None while nobody knows it."""
        if self.expected_bytes is None:
            return None
        return self.expected_bytes + self.also_bytes

    def rate(self) -> float | None:
        """Return the bytes a second, None while nobody can know."""
        if not self.is_running or len(self.samples) < 2:
            return None
        (since, before), (now, done) = self.samples[0], self.samples[-1]
        return (done - before) / max(now - since, 0.001)

    def tell(self) -> None:
        now = time.monotonic()
        self.samples.append((now, self.done_bytes))
        while now - self.samples[0][0] > _RATE_S:
            self.samples.popleft()
        self.told = now
        rate = self.rate()
        left_s = None
        if self.total_bytes and self.done_bytes:
            left_s = _seconds(self.total_bytes - self.done_bytes, rate)
        self.whole.listener(
            Progress(
                self.action,
                self.number,
                self.whole.of,
                self.done_bytes,
                self.total_bytes,
                left_s,
                None if rate is None else round(rate),
                self.whole.sums(),
            )
        )


def _seconds(left_bytes: int, rate: float | None) -> float | None:
    if left_bytes <= 0:
        return 0.0
    return round(left_bytes / rate, 1) if rate else None


@contextmanager
def listening(whole: Whole, action: str, number: int) -> Iterator[None]:
    """Tell who listens to ``whole`` of the action inside the block."""
    meter = _Meter(whole, action, number)
    whole.add(meter)
    token = _current.set(meter)
    meter.tell()
    try:
        yield
    finally:
        _current.reset(token)
        meter.is_running = False


def expect(total_bytes: int) -> None:
    """Say how many bytes the running action will move in all."""
    meter = _current.get()
    if meter is not None:
        with meter.lock:
            meter.expected_bytes = total_bytes


def expect_also(more_bytes: int) -> None:
    """Say that so many bytes are moved besides those expected."""
    meter = _current.get()
    if meter is not None:
        with meter.lock:
            meter.also_bytes += more_bytes


def advance(count: int) -> None:
    """Say that the running action has moved ``count`` bytes more."""
    meter = _current.get()
    if meter is None:
        return
    with meter.lock:
        meter.done_bytes += count
        is_whole = meter.done_bytes == meter.total_bytes
        if is_whole or time.monotonic() - meter.told >= INTERVAL_S:
            meter.tell()
