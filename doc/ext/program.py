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

"""What the reference pages say, made from the program itself.

Pure: the JSON Schema or the command line in, reStructuredText out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ipa_partitions.arguments import parse_arguments

Schema = Mapping[str, Any]

# As wide as a terminal, whatever runs the build.
_COLUMNS = "79"
# What one looks for first in an object; the rest as in the schema.
_FIRST = ("type", "id", "name", "size", "mount")


def object_keys(schema: Schema, name: str) -> list[str]:
    """Return a table of the keys of one object of the document."""
    found = schema if name == schema["title"] else schema["$defs"][name]
    properties = found["properties"]
    lines = [*found["description"].splitlines(), ""]
    lines += [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 20 25 15 40",
        "",
        *_row("key", "value", "default", "meaning"),
    ]
    for key in sorted(properties, key=_place):
        described = properties[key]
        default = "required"
        if key not in found.get("required", ()):
            default = _default(described.get("default"))
        lines += _row(
            f"``{key}``",
            _type(described),
            default,
            _meaning(schema, described),
        )
    return lines


def objects(schema: Schema) -> tuple[str, ...]:
    """Return the names of all objects of the document."""
    return (str(schema["title"]), *schema["$defs"])


def label(name: str) -> str:
    """Return what a reference to the object is called."""
    return f"object-{name.lower()}"


def help_text(*verb: str) -> str:
    """Return what ``ipa-partitions VERB --help`` prints."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _COLUMNS
    printed = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.suppress(SystemExit),
        ):
            parse_arguments([*verb, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return printed.getvalue()


def _row(first: str, *rest: str) -> Iterator[str]:
    yield f"   * - {first}"
    for cell in rest:
        yield f"     - {cell}"


def _place(key: str) -> int:
    return _FIRST.index(key) if key in _FIRST else len(_FIRST)


def _meaning(schema: Schema, described: Schema) -> str:
    text = described.get("description", "")
    if not text and "$ref" in described:
        text = schema["$defs"][_referred(described)]["description"]
    return " ".join(text.split())


def _referred(described: Schema) -> str:
    return str(described["$ref"].rpartition("/")[2])


def _default(value: object) -> str:
    if value is None:
        return "\\-"
    if isinstance(value, dict):
        return "``{}``"
    return f"``{json.dumps(value)}``"


def _type(described: Schema) -> str:
    """Return a key's type: words, literals, links to other objects."""
    if "remaining" in _examples(described):
        return ":ref:`size <sizes>`"
    if "$ref" in described:
        name = _referred(described)
        return f":ref:`{name} <{label(name)}>`"
    if "const" in described:
        return f"``{json.dumps(described['const'])}``"
    if "enum" in described:
        return ", ".join(f"``{json.dumps(v)}``" for v in described["enum"])
    choices = described.get("anyOf") or described.get("oneOf")
    if choices:
        said = [_type(c) for c in choices if c.get("type") != "null"]
        return ", ".join(dict.fromkeys(said))
    kind = described.get("type", "string")
    if isinstance(kind, list):
        return ", ".join(each for each in kind if each != "null")
    if kind == "array":
        return f"list of {_type(described['items'])}"
    if "minimum" in described and "maximum" in described:
        return f"{kind}, {described['minimum']} to {described['maximum']}"
    return str(kind)


def _examples(described: Schema) -> list[object]:
    found = list(described.get("examples", ()))
    for choice in described.get("anyOf", ()):
        found += _examples(choice)
    return found
