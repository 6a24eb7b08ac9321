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

"""Mend a flawed document, so that what else is wrong with it is found too.

A flaw is taken out, or something harmless is set in its place, and the rest
is checked. A problem that is not there must not be told: where a name or a
mount may be lost with the flaw, nothing is said of what is lacking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

Keys = tuple[str | int, ...]

# Without a value of these keys the rest still means what it meant.
_OPTIONAL_KEYS = {
    "label", "uuid", "mkfs_options", "fstab_options", "fstab_enabled",
    "keep_data", "partition_guid", "compression", "timeout_s", "serial",
    "kernel_params", "rsync_flags", "image_uuid", "version", "firmware",
    "partitions_policy", "secure_boot", "fallback", "foreign", "deploy",
    "catalog_url", "configdrive", "image_name", "stripes", "mirrors",
    "table", "boot", "spares", "metadata", "mode", "encryption", "loader",
    "image_deploy_flags", "deploy_data",
}  # fmt: skip
_HASH_KEYS = ("os_hash_algo", "os_hash_value", "checksum")

Lost = frozenset[str]
_NOTHING = Lost()


class Flaw(NamedTuple):
    """``keys`` lead to it from the top; ``meant`` is a key like it."""

    keys: Keys
    is_unknown_key: bool
    meant: str | None


def mended(data: dict[str, Any], flaws: Sequence[Flaw]) -> tuple[Any, Lost]:
    """Return ``data``, changed in place, without its flaws.

    And what may be lost with them, as ``errors.LackError`` has it, and the
    paths of objects that others are in the place of. Raises LookupError if
    a flaw cannot be mended.
    """
    lost = _NOTHING
    # The last first, so that the keys of the others stay true.
    for flaw in sorted(flaws, key=lambda flaw: len(flaw.keys), reverse=True):
        lost |= _mend(data, flaw)
    return data, lost


def _mend(data: Any, flaw: Flaw) -> Lost:
    # The last key that is a name; below it there are only indices.
    depth = max(n for n, key in enumerate(flaw.keys) if isinstance(key, str))
    key, holder = flaw.keys[depth], _get(data, flaw.keys[:depth])
    if flaw.is_unknown_key and flaw.meant and flaw.meant not in holder:
        holder[flaw.meant] = holder.pop(key)
    elif flaw.is_unknown_key or key in _OPTIONAL_KEYS:
        holder.pop(key, None)
    elif key == "size":
        holder[key] = "1 MiB"
    else:
        return _replace(data, flaw.keys)
    return _NOTHING


def _replace(data: Any, keys: Keys) -> Lost:
    """Put something harmless in the place of what is around ``keys``."""
    match keys:
        case ("partitions", *_, "encryption", str()):
            _get(data, keys[:-2]).pop("encryption", None)
        case ("partitions", *_, "mount"):
            volume = _get(data, keys[:-1])
            volume["mount"] = _mount(data, keys[:-1])
            # Members of arrays may be so by their mount.
            is_member = volume.get("type") == "raid"
            return Lost({"mounts", *(["members"] if is_member else [])})
        case ("partitions", int(n), "volumes", int(m), *key):
            return _replace_volume(data["partitions"][n], n, m, *key)
        case ("partitions", int(n), *key):
            return _replace_entry(data["partitions"], n, *key)
        case ("images", int(n), *key):
            return _replace_image(data["images"], n, *key)
        case ("partitions", *_):
            raise LookupError(keys)
        case (key, *_):
            data.pop(key, None)
    return Lost({"images", "mounts"}) if keys[0] == "images" else _NOTHING


def _replace_volume(entry: Any, n: int, m: int, *key: str | int) -> Lost:
    old = entry["volumes"][m]
    if key in (("id",), ("name",)):
        old.pop("id", None)
        old["name"] = f"{n}-{m}"
        return Lost({"members"})
    kind = "lv" if entry["type"] == "vg" else "partition"
    new = {"type": kind, "size": 1, "mount": f"/{n}-{m}"}
    lost = Lost({"members", "mounts", f"$.partitions[{n}].volumes[{m}]"})
    images = old.get("images") if isinstance(old, dict) else None
    if isinstance(images, list) and all(isinstance(i, str) for i in images):
        new["images"] = images
    elif images is not None:
        lost |= {"names"}
    entry["volumes"][m] = new
    return lost


def _replace_entry(entries: Any, n: int, *key: str | int) -> Lost:
    disk_id = {"type": "name", "value": f"disk-{n}"}
    if key == ("level",):
        entries[n]["level"] = 1
        return _NOTHING
    if key[:1] == ("id",) and entries[n]["type"] == "disk":
        entries[n]["id"] = disk_id
        return _NOTHING
    if key == ("id",):
        entries[n].pop("name", None)
        entries[n]["id"] = f"entry-{n}"
        return Lost({"entries", "members"})
    entries[n] = {"type": "disk", "id": disk_id, "volumes": []}
    whole = f"$.partitions[{n}]"
    return Lost({"entries", "members", "mounts", "names", whole})


def _replace_image(images: Any, n: int, *key: str | int) -> Lost:
    if key and key[0] in _HASH_KEYS:
        kept = {
            k: each for k, each in images[n].items() if k not in _HASH_KEYS
        }
        images[n] = {**kept, "checksum": "0" * 64}
        return _NOTHING
    images[n] = {"name": f"(image {n})", "image_pull_url": "file:///.tar"}
    return Lost({"images", "mounts", f"$.images[{n}]"})


def _mount(data: Any, keys: Keys) -> str:
    """Return a mount, and so a name, that no other volume has."""
    file_system = _get(data, keys).get("file_system")
    if file_system in ("swap", "none"):
        return str(file_system)
    return "/" + "-".join(str(key) for key in keys if isinstance(key, int))


def _get(data: Any, keys: Keys) -> Any:
    for key in keys:
        data = data[key]
    return data
