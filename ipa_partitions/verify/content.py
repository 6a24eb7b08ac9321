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

"""How what is in a volume differs, where it is to be kept."""

from __future__ import annotations

from collections.abc import Iterator

from ipa_partitions.disk.inventory import Inventory
from ipa_partitions.disk.size import MIB, mib_text
from ipa_partitions.resolved import Volume

NONE = "none"


def content_differences(
    wanted: Volume, where: str, found: Inventory
) -> Iterator[str]:
    """Yield how what is in a volume differs, where it is to be kept."""
    content = wanted.content
    if wanted.is_new or (content.file_system == NONE and not wanted.luks):
        return
    outer = found.found[where].kind if where in found.found else ""
    is_encrypted = outer == "crypto_LUKS"
    if is_encrypted != bool(wanted.luks):
        yield told(
            f"{wanted.home} encryption",
            "luks" if is_encrypted else NONE,
            "luks2" if wanted.luks else NONE,
        )
        return
    if wanted.luks:
        encrypted = found.encrypted[where]
        if encrypted.header.version != 2 or not encrypted.mapping:
            yield told(
                f"{wanted.home} encryption",
                f"luks{encrypted.header.version} that the key does not open",
                "luks2 that it opens",
            )
            return
    yield from _filesystem(wanted, where, found)


def _filesystem(wanted: Volume, where: str, found: Inventory) -> Iterator[str]:
    content, there = wanted.content, found.filesystem(where)
    if content.file_system == NONE:
        return
    if there.kind != content.file_system:
        yield told(
            f"{wanted.home} filesystem", there.kind or NONE,
            content.file_system,
        )  # fmt: skip
        return
    if content.label is not None and there.label != content.label:
        yield told(
            f"{wanted.home} label", repr(there.label), repr(content.label)
        )
    encrypted = found.encrypted.get(where)
    names = found.subvolumes.get(encrypted.mapping if encrypted else where, ())
    for each in content.subvolumes:
        if each.name not in names:
            yield told(f"{wanted.home} subvolume {each.name}", "not there",
                        "there")  # fmt: skip


def size_difference(
    what: str, is_bytes: int, wanted_bytes: int
) -> Iterator[str]:
    # Other programs align otherwise: less than 1 MiB off is the same.
    if abs(is_bytes - wanted_bytes) >= MIB:
        yield told(what, mib_text(is_bytes), mib_text(wanted_bytes))


def told(where: str, what_is: str, wanted: str) -> str:
    return f"{where}: is {what_is}, wanted {wanted}"
