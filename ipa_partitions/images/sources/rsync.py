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

"""Trees on rsync daemons: ``rsync://host/module/path``, ``host::module``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ipa_partitions import progress, urls
from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.images import pipe
from ipa_partitions.run import run

RAMDISK = Path("/etc/ipa-partitions")

CONNECT_S = 15
STALL_S = 60

_RSYNC = ("rsync", f"--timeout={STALL_S}")
_PROGRESS = re.compile(r"\s*([\d,]+)\s+(\d+)%")


@dataclass(frozen=True)
class RsyncSource:
    """Copies trees with the rsync program."""

    kind: Literal["tree"] = "tree"
    tools: tuple[str, ...] = ("rsync",)

    def check(self, url: str) -> None:
        """Raise ImageError if the daemon does not list the directory."""
        check(url, *_flags())

    def copy(self, url: str, directory: Path, flags: tuple[str, ...]) -> None:
        """Copy what is in ``url`` into ``directory``; raises ImageError."""
        copy(url, directory, (*flags, *_flags()))


RSYNC = RsyncSource()


def _flags() -> Iterator[str]:
    yield f"--contimeout={CONNECT_S}"
    password = RAMDISK / "rsync_password"
    if password.exists():
        yield f"--password-file={password}"


def check(url: str, *flags: str) -> None:
    """Raise ImageError if there is no directory ``url``."""
    with _errors_name(url):
        run(
            *_RSYNC, *flags, "--list-only", "--", _contents_of(url),
            timeout_s=STALL_S,
        )  # fmt: skip


def copy(url: str, directory: Path, flags: tuple[str, ...]) -> None:
    """Copy what is in ``url`` into ``directory``; raises ImageError."""
    with _errors_name(url):
        pipe.follow(
            (
                *_RSYNC,
                # Names mean other numbers in the ramdisk than in the image.
                "--numeric-ids",
                "--hard-links",
                "--sparse",
                "--info=progress2",
                "--no-human-readable",
                *flags,
                "--",
                _contents_of(url),
                f"{directory}/",
            ),
            _Meter(),
            pipe.COPY_S,
        )


class _Meter:
    """Tells progress of what rsync says of its own."""

    def __init__(self) -> None:
        self._bytes = 0

    def __call__(self, line: str) -> None:
        found = _PROGRESS.match(line)
        if not found:
            return
        done, percent = int(found[1].replace(",", "")), int(found[2])
        if percent and "to-chk" in line:  # it has seen all that there is
            progress.expect(max(done, done * 100 // percent))
        if done > self._bytes:
            progress.advance(done - self._bytes)
            self._bytes = done


def _contents_of(url: str) -> str:
    return url.rstrip("/") + "/"


@contextmanager
def _errors_name(url: str) -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        # What the program said may quote the URL, with its user.
        name = urls.public_url(url)
        said = str(error).replace(url.rstrip("/"), name.rstrip("/"))
        raise ImageError(f"{name}: {said}") from None
