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

"""The one place that streams into a program."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
from collections.abc import Iterator

from ipa_partitions.errors import CommandError

_PIPE_BYTES = 1024**2
# Of what a program complains about, as much as a message can hold.
_SAID_BYTES = 4096


def feed(argv: tuple[str, ...], blocks: Iterator[memoryview]) -> None:
    """Run ``argv`` with ``blocks`` as its standard input.

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
    if code:
        text = said.decode("utf-8", "replace").strip()
        raise CommandError(f"{' '.join(argv)}: exit code {code}: {text}")


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
