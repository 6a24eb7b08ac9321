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

"""Where the document of a deployment comes from: SPEC 3.7.

The first place that has one is used whole. Nothing is merged into it, but
images for a document that names none, and nothing is ever written back: so
a layout given for one deployment is gone with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipa_partitions.errors import LayoutError, LayoutErrors
from ipa_partitions.layout.read import read_document
from ipa_partitions.layout.values import parse_name

RAMDISK = Path("/etc/ipa-partitions")

# The keys of instance_info that say the same under another name.
_IMAGE_KEYS = {
    "image_os_hash_algo": "os_hash_algo",
    "image_os_hash_value": "os_hash_value",
    "image_checksum": "checksum",
    "image_disk_format": "disk_format",
}


@dataclass(frozen=True)
class Found:
    """A document, what goes with it, and the ``place`` it was found in."""

    image_info: object
    configdrive: object = field(repr=False)
    place: str


def find(
    node: Mapping[str, Any],
    image_info: object = None,
    layout: str | None = None,
    configdrive: object = None,
    ramdisk: Path = RAMDISK,
) -> Found:
    """Return the document for ``node``; the arguments are the step's.

    Raises LayoutErrors if there is none, or the file that would be it
    cannot be read.
    """
    instance = _mapping(node.get("instance_info"))
    document, place = _first(node, image_info, layout, ramdisk)
    if isinstance(document, Mapping) and "partitions" in document:
        document = _with_images(document, instance)
    if configdrive is None and not _has_configdrive(document):
        configdrive = instance.get("configdrive")
    return Found(document, configdrive, place)


def given(
    node: Mapping[str, Any],
    image_info: object = None,
    layout: str | None = None,
) -> Found | None:
    """Return the document as far as it is known without the ramdisk.

    None if only the ramdisk can have it. Raises LayoutErrors for arguments
    that contradict each other.
    """
    instance = _mapping(node.get("instance_info"))
    found = _of_step_or_node(node, image_info, layout)
    if found is None:
        return None
    document, place = found
    if isinstance(document, Mapping) and "partitions" in document:
        document = _with_images(document, instance)
    return Found(document, None, place)


def _has_configdrive(document: object) -> bool:
    """Tell whether it has one, and not only a place for one."""
    own = document.get("configdrive") if isinstance(document, Mapping) else 0
    return bool(own) and own != {"into": _mapping(own).get("into")}


def _first(
    node: Mapping[str, Any],
    image_info: object,
    layout: str | None,
    ramdisk: Path,
) -> tuple[object, str]:
    found = _of_step_or_node(node, image_info, layout)
    if found is not None:
        return found
    if layout is not None:
        return _named(layout, _mapping(node.get("extra")), ramdisk)
    default = ramdisk / "default.json"
    if default.exists():
        return read_document(str(default)), f"{default} of the ramdisk"
    raise _error(
        "no document: neither the step's image_info or layout, nor the"
        " node's instance_info['image_info'] or"
        f" extra['default_image_info'], nor {default} in the ramdisk"
    )


def _of_step_or_node(
    node: Mapping[str, Any], image_info: object, layout: str | None
) -> tuple[object, str] | None:
    extra = _mapping(node.get("extra"))
    if image_info is not None and layout is not None:
        raise _error("the step has both image_info and layout: give one")
    if image_info is not None:
        return image_info, "the step's image_info"
    if layout is not None:
        layouts = _mapping(extra.get("layouts"))
        if not isinstance(layout, str) or layout not in layouts:
            return None
        return layouts[layout], f"the node's extra['layouts'][{layout!r}]"
    for key, holder in (
        ("image_info", "instance_info"),
        ("default_image_info", "extra"),
    ):
        document = _mapping(node.get(holder)).get(key)
        if document is not None:
            return document, f"the node's {holder}[{key!r}]"
    return None


def _named(
    name: str, extra: Mapping[str, Any], ramdisk: Path
) -> tuple[object, str]:
    """Return the layout ``name`` of the ramdisk."""
    try:
        parse_name(name)
    except (TypeError, ValueError) as error:
        raise _error(f"layout {name!r} is not a name") from error
    layouts = _mapping(extra.get("layouts"))
    path = ramdisk / "layouts" / f"{name}.json"
    if not path.exists():
        known = sorted(
            {*layouts, *(p.stem for p in path.parent.glob("*.json"))}
        )
        raise _error(
            f"layout {name!r} is not known; known are:"
            f" {', '.join(known) or 'none'}"
        )
    return read_document(str(path)), f"{path} of the ramdisk"


def _with_images(
    document: Mapping[str, Any], instance: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the document, with the node's own image if it names none."""
    url = instance.get("image_url") or instance.get("image_source")
    if "images" in document or not url:
        return document
    names = set(_images_named(document))
    image = {
        "name": names.pop() if len(names) == 1 else "image",
        "image_pull_url": url,
        **{
            ours: instance[theirs]
            for theirs, ours in _IMAGE_KEYS.items()
            if instance.get(theirs)
        },
    }
    if "os_hash_value" in image:
        image.pop("checksum", None)
    return {**document, "images": [image]}


def _images_named(value: object) -> Iterable[str]:
    """Yield every image that a volume of the document names."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key == "images" and isinstance(each, list):
                yield from (name for name in each if isinstance(name, str))
            else:
                yield from _images_named(each)
    elif isinstance(value, list):
        for each in value:
            yield from _images_named(each)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _error(problem: str) -> LayoutErrors:
    return LayoutErrors([LayoutError("$", problem)])
