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

"""How far a deployment is: bars on a terminal, lines everywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO

from ipa_partitions.disk.size import MIB
from ipa_partitions.progress import Listener, Progress

_BAR_WIDTH = 24
# Between two lines about one action.
_INTERVAL_S = 5.0
_NEVER = float("inf")
# Actions are numbered from 1.
_ALL = 0
_LINE_WIDTH = 79


@contextmanager
def shown(stream: TextIO) -> Iterator[Listener]:
    """Yield a listener that shows on ``stream`` what it is told."""
    if not stream.isatty():
        yield Lines(partial(print, file=stream, flush=True))
        return
    try:
        import rich.progress
    except ImportError:
        bar = _Bar(stream)
        try:
            yield bar
        finally:
            bar.end()
        return
    with _rich_bars(rich.progress, stream) as bars:
        yield bars


def told(progress: Progress) -> str:
    """Return one line: which action, and how far it is if that is known."""
    text = f"[{progress.number}/{progress.of}] {progress.action}"
    if not progress.bytes:
        return text
    text += f": {progress.bytes // MIB} MiB"
    if progress.total_bytes:
        text += f" of {progress.total_bytes // MIB} MiB, {percent(progress)}%"
    if progress.bytes_per_s is not None:
        text += f", {progress.bytes_per_s / MIB:.1f} MiB/s"
    if progress.seconds_left is not None:
        text += f", {progress.seconds_left:.0f} s left"
    if progress.all.bytes > progress.bytes:
        text += f"; in all {progress.all.bytes // MIB} MiB"
        if progress.all.total_bytes:
            text += f" of {progress.all.total_bytes // MIB} MiB"
        if progress.all.seconds_left is not None:
            text += f", {progress.all.seconds_left:.0f} s left"
    return text


def percent(progress: Progress) -> int:
    """Return how much is done, 0 while the total is not known."""
    if not progress.total_bytes:
        return 0
    return min(100, 100 * progress.bytes // progress.total_bytes)


class Lines:
    """A line for each action, every few seconds, and when all has come."""

    def __init__(
        self,
        tell: Callable[[str], None],
        interval_s: float = _INTERVAL_S,
    ) -> None:
        """Give every line to ``tell``."""
        self._tell = tell
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._told: dict[int, float] = {}

    def __call__(self, progress: Progress) -> None:
        """Tell of ``progress``, if that is news."""
        now = time.monotonic()
        is_whole = percent(progress) == 100
        with self._lock:
            next_s = self._told.get(progress.number, 0.0)
            if now >= next_s or (is_whole and next_s != _NEVER):
                self._told[progress.number] = (
                    _NEVER if is_whole else now + self._interval_s
                )
                self._tell(told(progress))


class _Bar:
    """One line, overwritten, about the action that was heard of last."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        filled = _BAR_WIDTH * percent(progress) // 100
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        # An overlong line would wrap, and then not be overwritten.
        text = f"{bar} {told(progress)}"[:_LINE_WIDTH]
        with self._lock:
            print(f"\r{text:<{_LINE_WIDTH}}", end="", file=self._stream)
            self._stream.flush()

    def end(self) -> None:
        """Leave the line, for what is printed next."""
        print(file=self._stream)


@contextmanager
def _rich_bars(rich_progress: Any, stream: TextIO) -> Iterator[Listener]:
    """Yield a listener that shows a bar for each action that moves bytes."""
    from rich.console import Console

    tasks: dict[int, Any] = {}
    lock = threading.Lock()
    with rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(binary_units=True),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TimeRemainingColumn(),
        console=Console(file=stream, markup=False, highlight=False),
    ) as bars:

        def listen(progress: Progress) -> None:
            number, moves = progress.number, progress.bytes > 0
            with lock:
                if number not in tasks and not moves:
                    bars.console.print(told(progress))
                    return
                if number not in tasks:
                    tasks[number] = bars.add_task(
                        f"[{number}/{progress.of}] {progress.action}"
                    )
                is_one_of_many = progress.all.bytes > progress.bytes
                if is_one_of_many and _ALL not in tasks:
                    tasks[_ALL] = bars.add_task("all images")
            bars.update(
                tasks[number],
                completed=progress.bytes,
                total=progress.total_bytes,
            )
            if _ALL in tasks:
                bars.update(
                    tasks[_ALL],
                    completed=progress.all.bytes,
                    total=progress.all.total_bytes,
                )

        yield listen
