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


"""Small text files of an image: lines, and what a shell would assign.

All of them are data here. One that is malformed, too large or no ordinary
file is as good as not there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError

_SMALL_BYTES = 64 * 1024
_TITLE_MAX = 120
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def read_lines(root: RootFs, path: str) -> list[str]:
    """Return the lines of a file, none if it cannot be read."""
    try:
        text = root.read_text(path, _SMALL_BYTES)
    except ImageError:
        return []
    return text.replace("\\\n", "").split("\n")


def list_names(root: RootFs, path: str) -> tuple[str, ...]:
    """Return the names in a directory, none if it cannot be read."""
    try:
        return root.list_directory(path)
    except ImageError:
        return ()


def read_assignments(root: RootFs, path: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values that a file assigns, nothing expanded."""
    for line in read_lines(root, path):
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            continue
        try:
            words = shlex.split(match[2], comments=True)
        except ValueError:
            continue
        yield match[1], words[0] if words else ""


def printable(text: str) -> str:
    """Return ``text`` without control characters and outer spaces."""
    return "".join(c for c in text if c.isprintable()).strip()


def read_title(root: RootFs, image: str) -> str:
    """Return what the system calls itself, or the name ``image``."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        names = dict(read_assignments(root, path))
        if title := printable(names.get("PRETTY_NAME", "")):
            return title[:_TITLE_MAX]
    for line in read_lines(root, "/etc/redhat-release"):
        if title := printable(line):
            return title[:_TITLE_MAX]
    return printable(image)[:_TITLE_MAX]
