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

"""Parse ``image_info``: every problem at once, each with its JSON path."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from ipa_partitions.errors import LayoutError, LayoutErrors
from ipa_partitions.layout import document as doc
from ipa_partitions.layout import model
from ipa_partitions.layout.build import build
from ipa_partitions.layout.check import problems
from ipa_partitions.layout.classic import (
    Classic,
    build_classic,
    classic_path,
)

# Keys that only the layout form has; a document that has one and no
# partitions is a layout form that lacks them.
_LAYOUT_KEYS = {"partitions", "partitions_policy", "images"}

# Values that may be secrets, or hold them, are not repeated in a message.
_SECRET_KEYS = {
    "image_pull_url", "catalog_url", "checksum", "configdrive", "urls",
    "image_request_authorization",
}  # fmt: skip

_VALUE_LENGTH = 60

# A value of these keys can be taken out, or set so, and the rest of the
# document still means what it meant.
_STAND_INS: dict[str, Any] = {"size": "1 MiB"}
_OPTIONAL_KEYS = {
    "label", "uuid", "mkfs_options", "fstab_options", "fstab_enabled",
    "keep_data", "partition_guid", "compression", "timeout_s", "serial",
    "kernel_params", "rsync_flags", "image_uuid", "version", "firmware",
    "partitions_policy", "secure_boot", "fallback", "foreign", "deploy",
}  # fmt: skip


def parse(image_info: object, configdrive: object = None) -> model.Layout:
    """Return the layout that ``image_info``, parsed JSON, asks for.

    ``configdrive`` given beside the document goes before the one in it.
    Raises LayoutErrors with every problem.
    """
    if not isinstance(image_info, Mapping):
        raise LayoutErrors([LayoutError("$", "is not a JSON object")])
    data = dict(image_info)
    if configdrive is not None:
        data["configdrive"] = configdrive
    try:
        text = json.dumps(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise LayoutErrors(
            [LayoutError("$", f"is not plain JSON: {error}")]
        ) from error
    if _LAYOUT_KEYS & data.keys():
        return _parse_layout(json.loads(text))
    return _parse_classic(json.loads(text))


def _parse_layout(data: dict[str, Any]) -> model.Layout:
    try:
        layout = build(doc.Document.model_validate_json(json.dumps(data)))
    except ValidationError as error:
        flaws = _flaws(error, data)
        raise LayoutErrors(
            _sorted([*map(_told, flaws), *_further_problems(flaws, data)])
        ) from error
    return _checked(layout)


def _parse_classic(data: dict[str, Any]) -> model.Layout:
    try:
        classic = Classic.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise LayoutErrors(_sorted(map(_told, _flaws(error, data)))) from error
    return _checked(build_classic(classic))


def _checked(layout: model.Layout) -> model.Layout:
    found: Iterable[LayoutError] = problems(layout)
    if layout.form == "classic":
        found = (LayoutError(classic_path(e.at), e.problem) for e in found)
    errors = _sorted(found)
    if errors:
        raise LayoutErrors(errors)
    unchecked = tuple(
        f"{image.at}: without os_hash_value the download is not checked"
        for image in layout.images
        if image.checksum is None and image.disk_format != "dir"
    )
    return replace(layout, warnings=layout.warnings + unchecked)


def _sorted(errors: Iterable[LayoutError]) -> list[LayoutError]:
    """Return each error once, in the order of the document."""
    unique = {str(error): error for error in errors}
    return sorted(unique.values(), key=lambda error: _place(error.at))


def _place(at: str) -> list[tuple[int, int, str]]:
    words = at.replace("[", ".[").split(".")
    return [
        (0, int(word[1:-1]), "")
        if word.startswith("[") and word[1:-1].isdigit()
        else (1, 0, word)
        for word in words
    ]


class _Flaw(NamedTuple):
    """One of pydantic's errors; ``keys`` lead to it from the top."""

    keys: tuple[str | int, ...]
    kind: str
    message: str
    value: object
    suggestion: str | None


def _flaws(error: ValidationError, data: dict[str, Any]) -> list[_Flaw]:
    flaws = []
    for each in error.errors():
        keys = tuple(
            key
            for key in each["loc"]
            if not (isinstance(key, str) and key.startswith("<"))
        )
        kind, value = each["type"], each["input"]
        if kind == "too_short" and _get(data, keys):
            continue  # the elements are there, and wrong: that is told
        if kind == "type":
            keys = (*keys, "type") if isinstance(value, Mapping) else keys
        close = None
        if kind == "extra_forbidden":
            here = _get(data, keys[:-1])
            near = difflib.get_close_matches(str(keys[-1]), _KEYS, 1, 0.7)
            close = near[0] if near and near[0] not in here else None
        flaws.append(_Flaw(keys, kind, each["msg"], value, close))
    return flaws


def _get(data: Any, keys: Iterable[str | int]) -> Any:
    for key in keys:
        data = data[key]
    return data


def _model_keys(kind: type[BaseModel]) -> Iterator[str]:
    for sub in kind.__subclasses__():
        yield from sub.model_fields
        yield from _model_keys(sub)


_KEYS = tuple(sorted(set(_model_keys(doc.Object))))


def _path(keys: Iterable[str | int]) -> str:
    """Return the JSON path of ``keys``."""
    path = "$"
    for key in keys:
        if isinstance(key, int):
            path += f"[{key}]"
        elif key.isidentifier():
            path += f".{key}"
        else:
            path += f"[{json.dumps(key)}]"
    return path


def _told(flaw: _Flaw) -> LayoutError:
    """Return the error as a person is told it."""
    message = flaw.message.removeprefix("Value error, ")
    if flaw.kind == "missing":
        message = "is required"
    elif flaw.kind == "extra_forbidden":
        hint = f"; is it {flaw.suggestion!r}?" if flaw.suggestion else ""
        message = f"unknown key{hint}"
    elif flaw.kind == "type":
        if isinstance(flaw.value, Mapping):
            message = f"{_shown(flaw, flaw.value.get('type'))} {message}"
        else:
            message = "must be an object"
    elif flaw.kind in ("too_short", "too_long"):
        message = "must not be empty" if not flaw.value else "is too long"
    elif flaw.kind != "value_error":
        message = f"{_shown(flaw, flaw.value)}: {_lower(message)}"
    return LayoutError(_path(flaw.keys), message)


def _lower(message: str) -> str:
    return (message[:1].lower() + message[1:]).replace("input should", "must")


def _shown(flaw: _Flaw, value: object) -> str:
    if _SECRET_KEYS.intersection(map(str, flaw.keys)):
        return "the value"
    if isinstance(value, Mapping | list):
        return "an object" if isinstance(value, Mapping) else "a list"
    text = json.dumps(value) if not isinstance(value, str) else repr(value)
    if len(text) > _VALUE_LENGTH:
        text = text[:_VALUE_LENGTH] + "..."
    return text


def _further_problems(
    flaws: list[_Flaw], data: dict[str, Any]
) -> list[LayoutError]:
    """Return what ``problems`` finds beside ``flaws``.

    What is flawed is taken out first; where that would change what the rest
    means, nothing is returned rather than problems that are not there.
    """
    mended = copy.deepcopy(data)
    for flaw in flaws:
        if not flaw.keys or flaw.suggestion:
            return []
        # The last key that is a name; below it there are only indices.
        depth = max(n for n, k in enumerate(flaw.keys) if isinstance(k, str))
        key, holder = flaw.keys[depth], _get(mended, flaw.keys[:depth])
        if key in _STAND_INS:
            holder[key] = _STAND_INS[key]
        elif flaw.kind == "extra_forbidden" or key in _OPTIONAL_KEYS:
            holder.pop(key, None)
        else:
            return []
    try:
        layout = build(doc.Document.model_validate_json(json.dumps(mended)))
    except ValidationError:
        return []
    told = {_path(flaw.keys) for flaw in flaws}
    return [error for error in problems(layout) if error.at not in told]
