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

"""Read a document strictly: a file or standard input, to plain JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ipa_partitions.errors import LayoutError, LayoutErrors, json_path

# A document is not this large, /dev/zero is.
MAX_BYTES = 64 * 1024**2


class _Object(dict[str, Any]):
    """A JSON object that remembers the keys it was given more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _value in pairs)
        self.doubled = sorted(key for key, n in counts.items() if n > 1)


def read_document(name: str) -> object:
    """Return the JSON of the file ``name``, or of stdin for ``-``.

    Raises LayoutErrors if there is none, and for keys that an object has
    twice: one of the two values would silently be lost.
    """
    where = "standard input" if name == "-" else name
    try:
        data = _read(name)
    except OSError as error:
        _refuse(f"cannot read {where}: {error.strerror}", error)
    if len(data) > MAX_BYTES:
        _refuse(f"{where} is longer than {MAX_BYTES} bytes")
    try:
        document = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_Object,
            parse_int=_parse_int,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        _refuse(f"{where} is not UTF-8: {error.reason}", error)
    except (ValueError, RecursionError) as error:
        _refuse(f"{where} is not JSON: {error}", error)
    doubled = [
        LayoutError(at, f"has the key {key!r} more than once")
        for at, key in _doubled(document)
    ]
    if doubled:
        raise LayoutErrors(doubled)
    return document


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(name).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _refuse(problem: str, cause: Exception | None = None) -> NoReturn:
    raise LayoutErrors([LayoutError("$", problem)]) from cause


def _parse_int(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        # Python would tell how to lift its limit.
        raise ValueError(
            f"a number of {len(digits)} digits is too long"
        ) from None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON value")


def _doubled(document: object) -> Iterator[tuple[str, str]]:
    """Yield (JSON path of the object, key) for every doubled key."""
    # A stack, as the parser takes deeper documents than Python's calls do.
    rest = [("$", document)]
    while rest:
        at, value = rest.pop()
        if isinstance(value, _Object):
            yield from ((at, key) for key in value.doubled)
            rest += [
                (json_path([key], at), each) for key, each in value.items()
            ]
        elif isinstance(value, list):
            rest += [(f"{at}[{n}]", each) for n, each in enumerate(value)]
