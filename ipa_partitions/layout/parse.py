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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from ipa_partitions.errors import (
    LackError,
    LayoutError,
    LayoutErrors,
    json_path,
)
from ipa_partitions.layout import document as doc
from ipa_partitions.layout import model
from ipa_partitions.layout.build import build
from ipa_partitions.layout.check import problems
from ipa_partitions.layout.classic import Classic, as_written, build_classic
from ipa_partitions.layout.mend import Flaw, Lost, mended
from ipa_partitions.layout.objects import Object
from ipa_partitions.urls import public_text

# Keys that only the layout form has; a document that has one and no
# partitions is a layout form that lacks them.
_LAYOUT_KEYS = {"partitions", "partitions_policy", "images"}

# Values that may be secrets, or hold them, are not repeated in a message.
_SECRET_KEYS = {
    "image_pull_url", "catalog_url", "checksum", "configdrive", "urls",
    "image_request_authorization", "image_server_user",
    "image_server_password", "proxies", "no_proxy",
}  # fmt: skip

_VALUE_LENGTH = 60


def parse(image_info: object, configdrive: object = None) -> model.Layout:
    """Return the layout that ``image_info``, parsed JSON, asks for.

    ``configdrive`` given beside the document goes before the one in it,
    which can still say where it goes.
    Raises LayoutErrors with every problem.
    """
    if not isinstance(image_info, Mapping):
        raise LayoutErrors([LayoutError("$", "is not a JSON object")])
    data = dict(image_info)
    if configdrive is not None:
        data["configdrive"] = _placed(configdrive, data.get("configdrive"))
    try:
        text = json.dumps(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise LayoutErrors(
            [LayoutError("$", f"is not plain JSON: {error}")]
        ) from error
    if _LAYOUT_KEYS & data.keys():
        return _parse_layout(json.loads(text), configdrive is None)
    return _parse_classic(json.loads(text))


def _placed(configdrive: object, own: object) -> object:
    """Return the config drive, where the document's ``own`` says to."""
    if not isinstance(own, Mapping) or "into" not in own:
        return configdrive
    if isinstance(configdrive, Mapping):
        return {"into": own["into"], **configdrive}
    return {"into": own["into"], "content": configdrive}


def _parse_layout(data: dict[str, Any], has_own_drive: bool) -> model.Layout:
    try:
        layout = build(doc.Document.model_validate_json(json.dumps(data)))
    except ValidationError as error:
        # Its own text repeats values, which may be secrets.
        raise LayoutErrors(_sorted(_all_problems(error, data))) from None
    return _checked(layout, _homeless(layout) if has_own_drive else ())


def _parse_classic(data: dict[str, Any]) -> model.Layout:
    # Ironic sends null for what instance_info does not have.
    given = {key: each for key, each in data.items() if each is not None}
    try:
        classic = Classic.model_validate_json(json.dumps(given))
    except ValidationError:
        raise LayoutErrors(_sorted(_classic_problems(given))) from None
    return _checked(build_classic(classic))


# What is looked at in the place of what is wrong, and is right itself.
_A_ROOT = {"root_mb": 1}
_NOBODY = {"image_server_auth_strategy": "noauth"}
_A_SUM = {"os_hash_algo": "sha256", "os_hash_value": "0" * 64}
_STAND_INS: Mapping[str, Mapping[str, object]] = {
    "urls": {"urls": ["file:///"]},
    **dict.fromkeys(("root_mb", "root_gb", "image_type"), _A_ROOT),
    **dict.fromkeys(("image_server_user", "image_server_password"), _NOBODY),
    **dict.fromkeys(("checksum", "os_hash_algo", "os_hash_value"), _A_SUM),
}


def _classic_problems(data: dict[str, Any]) -> Iterator[LayoutError]:
    """Yield all that is wrong with a document of the classic form.

    What is wrong is taken out, and the rest looked at again.
    """
    told: list[LayoutError] = []
    rest = data
    # What is said of the whole is about its root, or who is to be asked.
    of_all = iter(({"root_mb", "root_gb"}, {"image_server_auth_strategy"}))
    while True:
        try:
            classic = Classic.model_validate_json(json.dumps(rest))
            break
        except ValidationError as error:
            flaws = _flaws(error, rest)
        told += map(_told, flaws)
        if any(flaw.kind == "json_invalid" for flaw in flaws):
            yield from told
            return
        wrong = {str(key) for flaw in flaws for key in flaw.keys[:1]}
        wrong = wrong or next(of_all, {*rest})
        rest = {key: each for key, each in rest.items() if key not in wrong}
        for key in wrong:
            rest |= _STAND_INS.get(key, {})
    yield from told
    layout = build_classic(classic)
    paths = tuple(each.at for each in told if each.at != "$")
    for each in as_written(layout.form, problems(layout)):
        if not _is_below(each.at, paths):
            yield each


def _homeless(layout: model.Layout) -> Iterator[LayoutError]:
    """Yield a config drive of the document's own that would be left out.

    One of the node may be: not every deployment of it has a system.
    """
    drive = layout.configdrive
    if drive and drive.into == "image" and not layout.systems:
        yield LayoutError("$.configdrive", "there is no system for it")


def _checked(
    layout: model.Layout, further: Iterable[LayoutError] = ()
) -> model.Layout:
    found = (*problems(layout), *further)
    errors = _sorted(as_written(layout.form, found))
    if errors:
        raise LayoutErrors(errors)
    warnings = (*layout.warnings, *_warnings(layout))
    return replace(layout, warnings=warnings)


def _warnings(layout: model.Layout) -> Iterator[str]:
    """Yield every image of which nobody knows whether it arrives as it is."""
    for image in layout.images:
        if image.checksum is not None:
            urls = image.url.lower(), (image.checksum.sums_url or "").lower()
            if all(url.startswith("http://") for url in urls):
                yield (
                    f"{image.at}.checksum: who can change the image under way"
                    " can change its sums, which come over plain http, too"
                )
        elif (
            image.disk_format != "dir"
            # These come with checksums of their own.
            and not image.url.startswith(("catalog:", "oci:"))
        ):
            yield (
                f"{image.at}: without os_hash_value the download is not"
                " checked"
            )


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


_UNMENDED = (LookupError, TypeError, AttributeError)


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
        kind, value = each["type"], each["input"]
        keys = _keys(each["loc"], kind, value)
        if kind == "too_short" and _get(data, keys):
            continue  # the elements are there, and wrong: that is told
        if kind == "type":
            keys = (*keys, "type") if isinstance(value, Mapping) else keys
        close = None
        if kind == "extra_forbidden":
            here = _get(data, keys[:-1])
            allowed = _keys_of_its_kind(here) - here.keys()
            near = difflib.get_close_matches(str(keys[-1]), allowed, 1, 0.7)
            close = near[0] if near else None
        flaws.append(_Flaw(keys, kind, each["msg"], value, close))
    return flaws


def _keys(
    loc: Sequence[str | int], kind: str, value: object
) -> tuple[str | int, ...]:
    """Return ``loc`` without the tags of ``by_type``."""
    keys = [key for key in loc[:-1] if not str(key).startswith("<")]
    # Above the last are but keys of ours, and it can be anybody's: it is a
    # tag where it stands for an object as a whole.
    is_tag = (
        isinstance(value, Mapping)
        and loc[-1:] == (f"<{value.get('type')}>",)
        and kind != "extra_forbidden"
    )
    return (*keys, *([] if is_tag else loc[-1:]))


def _get(data: Any, keys: Iterable[str | int]) -> Any:
    for key in keys:
        data = data[key]
    return data


def _kinds(kind: type[Object]) -> Iterator[type[Object]]:
    for sub in kind.__subclasses__():
        yield sub
        yield from _kinds(sub)


def _keys_of_its_kind(holder: Mapping[str, object]) -> set[str]:
    """Return the keys of the kind of object that ``holder`` looks like."""

    def likeness(kind: type[Object]) -> tuple[bool, int]:
        known = kind.model_fields
        types = get_args(known["type"].annotation) if "type" in known else ()
        return holder.get("type") in types, len(known.keys() & holder.keys())

    return {*max(_kinds(Object), key=likeness).model_fields}


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
    elif flaw.kind == "json_invalid":
        message = _lower(message)  # its value is the whole document
    elif flaw.kind != "value_error":
        message = f"{_shown(flaw, flaw.value)}: {_lower(message)}"
    return LayoutError(json_path(flaw.keys), message)


def _lower(message: str) -> str:
    return (message[:1].lower() + message[1:]).replace("input should", "must")


def _shown(flaw: _Flaw, value: object) -> str:
    if _SECRET_KEYS.intersection(map(str, flaw.keys)):
        return "the value"
    if isinstance(value, Mapping | list):
        return "an object" if isinstance(value, Mapping) else "a list"
    if isinstance(value, str):
        text = repr(public_text(value))
    else:
        text = json.dumps(value)
    if len(text) > _VALUE_LENGTH:
        text = text[:_VALUE_LENGTH] + "..."
    return text


def _all_problems(
    error: ValidationError, data: dict[str, Any]
) -> Iterator[LayoutError]:
    """Yield what ``error`` tells, and what it hid."""
    flaws = _flaws(error, data)
    layout, hidden, lost = _readable(flaws, data)
    told = [*map(_told, flaws), *map(_told, hidden)]
    yield from told
    if layout is None:
        return
    # What an unknown key was meant to be is not in the document.
    meant = (
        json_path((*flaw.keys[:-1], flaw.suggestion))
        for flaw in flaws
        if flaw.suggestion
    )
    paths = (*(each.at for each in told), *meant, *lost)
    for each in problems(layout):
        is_lost = isinstance(each, LackError) and each.what in lost
        if not is_lost and not _is_below(each.at, paths):
            yield each


def _readable(
    flaws: list[_Flaw], data: dict[str, Any]
) -> tuple[model.Layout | None, list[_Flaw], Lost]:
    """Return what is left without ``flaws``, and without those they hid.

    An object is looked at as a whole only once its parts are right.
    """
    every = flaws
    while all(flaw.keys for flaw in every):  # one of the whole is the last
        try:
            rest, lost = mended(
                copy.deepcopy(data),
                [
                    Flaw(f.keys, f.kind == "extra_forbidden", f.suggestion)
                    for f in every
                ],
            )
            document = doc.Document.model_validate_json(json.dumps(rest))
            return build(document), every[len(flaws) :], lost
        except ValidationError as error:
            if any(flaw.suggestion for flaw in every):
                # What stands by a misspelled name may not be for that meant.
                every = [flaw._replace(suggestion=None) for flaw in every]
                continue
            known = {flaw.keys for flaw in every}
            new = [f for f in _flaws(error, rest) if f.keys not in known]
            if not new:
                break
            every = [*every, *new]
        except _UNMENDED:
            break
    return None, every[len(flaws) :], Lost()


def _is_below(at: str, paths: tuple[str, ...]) -> bool:
    return any(
        at == path or at.startswith((f"{path}.", f"{path}[")) for path in paths
    )
