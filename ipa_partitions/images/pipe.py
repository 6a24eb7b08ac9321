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

"""The one place that streams into a program, or listens to one."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile

from ipa_partitions.errors import CommandError
from ipa_partitions.run import ENDS_WITH_US

# A large tree from a slow server, or disk; one that stalls ends before.
COPY_S = 24 * 3600

_PIPE_BYTES = 1024**2
# Of what a program complains about, as much as a message can hold.
_SAID_BYTES = 4096

_Process = subprocess.Popen[bytes]


def feed(
    argv: tuple[str, ...],
    blocks: Iterator[memoryview],
    watched: bytes = b"",
) -> str:
    """Run ``argv`` with ``blocks`` as its standard input.

    Returns the start of what it said as errors, and what came from
    ``watched`` on, however late.

    All blocks are taken, also if the program wants no more. Raises
    CommandError for another exit code than 0, and what ``blocks`` raises,
    with the program ended.
    """
    with _running(argv, subprocess.PIPE, watched=watched) as (process, said):
        _write_all(process, blocks)
    return _text(said)


def through(
    argv: tuple[str, ...], blocks: Iterator[memoryview]
) -> Iterator[bytes]:
    """Yield what ``argv`` makes of ``blocks``, its standard input.

    All blocks are taken, unless the generator is closed, which ends the
    program. Raises as ``feed`` does.
    """
    raised: list[BaseException] = []
    is_closed = threading.Event()
    wanted = takewhile(lambda _: not is_closed.is_set(), blocks)
    with _running(argv, subprocess.PIPE, subprocess.PIPE) as (process, _):
        feeder = threading.Thread(
            target=_write_or_end, args=(process, wanted, raised)
        )
        feeder.start()
        try:
            while process.stdout and (
                piece := process.stdout.read(_PIPE_BYTES)
            ):
                yield piece
        except BaseException:
            is_closed.set()
            process.kill()
            raise
        finally:
            feeder.join()
        if raised:
            raise raised[0]


def follow(
    argv: tuple[str, ...], tell: Callable[[str], None], timeout_s: float
) -> None:
    """Run ``argv``, giving ``tell`` each line of what it says, as it does.

    A line may end as one that is overwritten does. Raises CommandError for
    another exit code than 0, and after ``timeout_s``, with the program
    ended.
    """
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        process.kill()

    clock = threading.Timer(timeout_s, end)
    try:
        with _running(argv, stdout=subprocess.PIPE) as (process, _):
            clock.start()
            _tell_lines(process, tell)
            process.wait()
    except CommandError as error:
        if not is_late.is_set():
            raise
        raise CommandError(
            f"{' '.join(argv)}: not done after {timeout_s} s"
        ) from error
    finally:
        clock.cancel()


@contextmanager
def _running(
    argv: tuple[str, ...],
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    watched: bytes = b"",
) -> Iterator[tuple[_Process, bytearray]]:
    """Yield the running program, and the start of its complaints.

    It is killed if the block raises. Raises CommandError, with those
    complaints, for another exit code than 0.
    """
    try:
        process = subprocess.Popen(
            (*ENDS_WITH_US, *argv),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=os.environ | {"LC_ALL": "C"},
            bufsize=0,
        )
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error}") from error
    said = bytearray()
    listener = threading.Thread(target=_listen, args=(process, said, watched))
    listener.start()
    try:
        yield process, said
    except BaseException:
        process.kill()
        raise
    finally:
        code = process.wait()
        listener.join()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
    if code:
        raise CommandError(
            f"{' '.join(argv)}: exit code {code}: {_text(said)}"
        )


def _text(said: bytearray) -> str:
    return said.decode("utf-8", "replace").strip()


def _write_or_end(
    process: _Process,
    blocks: Iterator[memoryview],
    raised: list[BaseException],
) -> None:
    """Note what ``blocks`` raises; the program is not to take it for all."""
    try:
        _write_all(process, blocks)
    except BaseException as error:  # raised where its output is used
        raised.append(error)
        process.kill()


def _tell_lines(process: _Process, tell: Callable[[str], None]) -> None:
    rest = b""
    while process.stdout and (data := process.stdout.read(_SAID_BYTES)):
        *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            tell(line.decode("utf-8", "replace"))
        rest = rest[:_SAID_BYTES]


def _write_all(process: _Process, blocks: Iterator[memoryview]) -> None:
    if process.stdin is None:
        raise ValueError("a process without a pipe")
    fd = process.stdin.fileno()
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    is_listening = True
    with process.stdin:
        for block in blocks:
            rest = block
            while rest and is_listening:
                try:
                    rest = rest[os.write(fd, rest) :]
                except BrokenPipeError:
                    # Its exit code tells; the rest is still to be hashed.
                    is_listening = False


def _listen(process: _Process, said: bytearray, watched: bytes) -> None:
    if process.stderr is None:
        return
    room, recent = _SAID_BYTES, b""
    while data := process.stderr.read(_SAID_BYTES):
        recent = (recent + data)[-2 * _SAID_BYTES :]
        if room <= 0 and watched and watched in recent:
            data = b"\n" + recent[recent.index(watched) :]
            room, watched = _SAID_BYTES, b""
        said += data[: max(0, room)]
        room -= len(data)
