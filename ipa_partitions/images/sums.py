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

"""Files of checksums, as ``sha256sum`` writes them, GNU or BSD style."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from ipa_partitions import urls
from ipa_partitions.errors import ImageError
from ipa_partitions.images import sources
from ipa_partitions.images.image import Image

# Distributions list a few thousand files at most.
_LIMIT_BYTES = 4 * 1024**2
# The strongest first.
_ALGORITHMS = {"sha512": 128, "sha256": 64}

_GNU = re.compile(r"\\?(?P<digest>[0-9a-fA-F]+)(?: [ *](?P<name>.+))?")
_BSD = re.compile(
    r"(?P<algorithm>SHA256|SHA512) \((?P<name>.+)\) = (?P<digest>[0-9a-fA-F]+)"
)


def digest_of(image: Image) -> tuple[str, str] | None:
    """Return (algorithm, hex digest) that ``image`` must have, if any.

    Fetches the file of sums where there is one. Raises ImageError if it
    cannot be had or does not know the image.
    """
    if image.sums_url is not None:
        name = PurePosixPath(unquote(urlsplit(image.url).path)).name
        try:
            return find(_fetch(image), name, image.algorithm)
        except ValueError as error:
            raise ImageError(
                f"{urls.public_url(image.sums_url)}: {error}"
            ) from error
    if image.digest is None or image.algorithm is None:
        return None
    return image.algorithm, image.digest.lower()


def find(text: str, name: str, algorithm: str | None) -> tuple[str, str]:
    """Return (algorithm, hex digest) that ``text`` gives the file ``name``.

    Without ``algorithm`` the strongest. A file that is one bare digest is
    taken to be of any name. Raises ValueError if there is none, or two
    that differ.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found: dict[str, set[str]] = {}
    for line in lines:
        match = _BSD.fullmatch(line) or _GNU.fullmatch(line)
        if not match:
            continue
        listed = match["name"] or (name if len(lines) == 1 else "")
        digest = match["digest"].lower()
        for known, length in _ALGORITHMS.items():
            if len(digest) == length and PurePosixPath(listed).name == name:
                found.setdefault(known, set()).add(digest)
    for known in _ALGORITHMS:
        if known in found and algorithm in (None, known):
            if len(found[known]) > 1:
                raise ValueError(f"has several {known} sums of {name}")
            return known, found[known].pop()
    raise ValueError(f"has no {algorithm or 'sha256 or sha512'} sum of {name}")


def _fetch(image: Image) -> str:
    url = image.sums_url or ""
    access = image.access.moved(image.url, url)
    content = sources.read(url, _LIMIT_BYTES, access)
    return content.decode("utf-8", "replace")
