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

from ipa_partitions.errors import CommandError
from ipa_partitions.run import ENDS_WITH_US

_PIPE_BYTES = 1024**2
# Of what a program complains about, as much as a message can hold.
_SAID_BYTES = 4096


def feed(argv: tuple[str, ...], blocks: Iterator[memoryview]) -> str:
    """Run ``argv`` with ``blocks`` as its standard input.

    Returns the start of what it said as errors.

    All blocks are taken, also if the program wants no more. Raises
    CommandError for another exit code than 0, and what ``blocks`` raises,
    with the program ended.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"LC_ALL": "C"},
            bufsize=0,
        )
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error}") from error
    said = bytearray()
    listener = threading.Thread(target=_listen, args=(process, said))
    listener.start()
    try:
        _write_all(process, blocks)
    except BaseException:
        process.kill()
        raise
    finally:
        code = process.wait()
        listener.join()
        if process.stderr:
            process.stderr.close()
    text = said.decode("utf-8", "replace").strip()
    if code:
        raise CommandError(f"{' '.join(argv)}: exit code {code}: {text}")
    return text


def follow(
    argv: tuple[str, ...], tell: Callable[[str], None], timeout_s: float
) -> None:
    """Run ``argv``, giving ``tell`` each line of what it says, as it does.

    A line may end as one that is overwritten does. Raises CommandError for
    another exit code than 0, and after ``timeout_s``, with the program
    ended.
    """
    try:
        process = subprocess.Popen(
            (*ENDS_WITH_US, *argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"LC_ALL": "C"},
            bufsize=0,
        )
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error}") from error
    said = bytearray()
    listener = threading.Thread(target=_listen, args=(process, said))
    listener.start()
    clock = threading.Timer(timeout_s, process.kill)
    clock.start()
    try:
        _tell_lines(process, tell)
    except BaseException:
        process.kill()
        raise
    finally:
        code = process.wait()
        is_late = not clock.is_alive()
        clock.cancel()
        listener.join()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
    if code:
        text = said.decode("utf-8", "replace").strip()
        if is_late:
            text = f"not done after {timeout_s} s"
        raise CommandError(f"{' '.join(argv)}: exit code {code}: {text}")


def _tell_lines(
    process: subprocess.Popen[bytes], tell: Callable[[str], None]
) -> None:
    rest = b""
    while process.stdout and (data := process.stdout.read(_SAID_BYTES)):
        *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            tell(line.decode("utf-8", "replace"))
        rest = rest[:_SAID_BYTES]


def _write_all(
    process: subprocess.Popen[bytes], blocks: Iterator[memoryview]
) -> None:
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


def _listen(process: subprocess.Popen[bytes], said: bytearray) -> None:
    if process.stderr is None:
        return
    while data := process.stderr.read(_SAID_BYTES):
        said += data[: _SAID_BYTES - len(said)]
