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
is checked. Where that changes what the rest means, only what an object says
by itself is believed: a problem that is not there must not be told.
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
}  # fmt: skip


class Flaw(NamedTuple):
    """``keys`` lead to it from the top; ``meant`` is a key like it."""

    keys: Keys
    is_unknown_key: bool
    meant: str | None


def mended(data: dict[str, Any], flaws: Sequence[Flaw]) -> tuple[Any, bool]:
    """Return ``data``, changed in place, without its flaws.

    And tell whether it means the same but for them. Raises LookupError if a
    flaw cannot be mended.
    """
    same = True
    # The last first, so that the keys of the others stay true.
    for flaw in sorted(flaws, key=lambda flaw: len(flaw.keys), reverse=True):
        same &= _mend(data, flaw)
    return data, same


def _mend(data: Any, flaw: Flaw) -> bool:
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
        _replace(data, flaw.keys)
        return False
    return True


def _replace(data: Any, keys: Keys) -> None:
    """Put something harmless in the place of what is around ``keys``."""
    match keys:
        case ("partitions", int(), "table" | "boot"):
            del _get(data, keys[:-1])[keys[-1]]
        case ("images", int(), "boot"):
            del _get(data, keys[:-1])["boot"]
        case ("partitions", *_, "mount"):
            _get(data, keys[:-1])["mount"] = _mount(data, keys[:-1])
        case ("images", int(n), *_):
            data["images"][n] = {
                "name": f"{n}",
                "image_pull_url": "file:///",
            }
        case ("partitions", int(n), "volumes", int(m), *_):
            volume = {"type": "partition", "size": 1}
            data["partitions"][n]["volumes"][m] = volume
        case ("partitions", int(n), "id", *_):
            data["partitions"][n]["id"] = _disk_id(n)
        case ("partitions", int(n), *_):
            data["partitions"][n] = {
                "type": "disk",
                "id": _disk_id(n),
                "volumes": [],
            }
        case ("partitions", *_):
            raise LookupError(keys)
        case (key, *_):
            data.pop(key, None)


def _mount(data: Any, keys: Keys) -> str:
    """Return a mount, and so a name, that no other volume has."""
    file_system = _get(data, keys).get("file_system")
    if file_system in ("swap", "none"):
        return str(file_system)
    return "/" + "-".join(str(key) for key in keys if isinstance(key, int))


def _disk_id(number: int) -> dict[str, str]:
    return {"type": "name", "value": f"disk-{number}"}


def _get(data: Any, keys: Keys) -> Any:
    for key in keys:
        data = data[key]
    return data
