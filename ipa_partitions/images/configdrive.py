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

"""Read, or render, a config drive; no byte of it is ever logged."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ipa_partitions.disk.size import mib_text
from ipa_partitions.errors import ImageError
from ipa_partitions.images import iso9660, sources
from ipa_partitions.images.access import ANYBODY, Access

# What Ironic shows in its place to clean and service steps.
HIDDEN = "******"

_GZIP_MAGIC = b"\x1f\x8b"
_URLS = ("http://", "https://")
_PATHS = ("/", "file:///")

# Some readers want a date, and all of them look for one or the other:
# OpenStack's own library for bare metal makes these.
_VERSIONS = ("2012-08-10", "latest")
# What is rendered under which names. ``vendor_data2.json`` is what Ironic
# makes of it, ``vendor_data.json`` what older readers look for.
_FILES = {
    "meta_data": ("meta_data.json",),
    "user_data": ("user_data",),
    "network_data": ("network_data.json",),
    "vendor_data": ("vendor_data.json", "vendor_data2.json"),
}


@dataclass(frozen=True)
class ConfigDrive:
    """What a config drive is made of, and where it goes.

    ``content`` is a string as Ironic sends it, or the object that is to be
    rendered; then ``instance_uuid`` is its ``uuid`` unless it has one.
    """

    content: str | Mapping[str, Any] = field(repr=False)
    into: Literal["partition", "image"] = "partition"
    instance_uuid: str | None = None
    access: Access = ANYBODY

    @property
    def is_hidden(self) -> bool:
        """Tell whether nothing is known but that there is one."""
        return self.content == HIDDEN

    def image(self, limit_bytes: int) -> bytes | None:
        """Return the filesystem it came as, None if it is to be rendered.

        It is at most ``limit_bytes``. Raises ImageError.
        """
        if isinstance(self.content, str):
            return read_configdrive(self.content, limit_bytes, self.access)
        return None

    def files(self, limit_bytes: int) -> Mapping[str, bytes]:
        """Return its files by their paths; raises ImageError."""
        if not isinstance(self.content, str):
            return render(self.content, self.instance_uuid)
        image = read_configdrive(self.content, limit_bytes, self.access)
        if not iso9660.is_iso9660(image):
            raise ImageError(
                "the config drive is no ISO 9660 filesystem, which alone can"
                " be unpacked"
            )
        try:
            return iso9660.read_files(image)
        except ImageError as error:
            raise ImageError(f"the config drive: {error}") from None


def render(
    parts: Mapping[str, Any], instance_uuid: str | None = None
) -> Mapping[str, bytes]:
    """Return the files of OpenStack's config drive that ``parts`` become."""
    meta_data = dict(parts.get("meta_data") or {})
    if "uuid" not in meta_data:
        # cloud-init takes none without. The same content is the same one.
        text = json.dumps(parts, sort_keys=True)
        named = uuid.uuid5(uuid.NAMESPACE_OID, text)
        meta_data["uuid"] = instance_uuid or str(named)
    return {
        f"openstack/{version}/{name}": _bytes_of(content)
        for version in _VERSIONS
        for key, content in {**parts, "meta_data": meta_data}.items()
        if content
        for name in _FILES[key]
    }


def _bytes_of(content: object) -> bytes:
    if isinstance(content, str):
        return content.encode()
    return json.dumps(content).encode()


def is_configdrive(text: str) -> bool:
    """Tell whether ``text`` is one, or says where one is."""
    return (
        text == HIDDEN
        or text.startswith((*_URLS, *_PATHS))
        or (_decoded(text.encode()) or b"").startswith(_GZIP_MAGIC)
    )


def read_configdrive(
    configdrive: str, limit_bytes: int, access: Access = ANYBODY
) -> bytes:
    """Return the bytes of the config drive, at most ``limit_bytes``.

    ``configdrive`` is an http(s) URL, an absolute path, or base64 of a
    gzipped ISO; what a URL or path leads to may be base64 of one, gzipped,
    or neither. Raises ImageError.
    """
    where = "the config drive"
    if configdrive == HIDDEN:
        raise ImageError(
            f"{where} is hidden: Ironic shows it to deploy steps only, so"
            " another step that writes it has to be given it"
        )
    if configdrive.startswith(_URLS):
        try:
            # Base64 is a third longer than what it stands for.
            packed = sources.read(configdrive, 2 * limit_bytes, access)
        except ImageError as error:
            raise ImageError(f"{where} {error}") from None
        except ValueError:  # what it says may have a password
            raise ImageError(f"{where} has no sound URL") from None
    elif configdrive.startswith(_PATHS):
        path = Path(configdrive.removeprefix("file://"))
        where += f" {path}"
        packed = _read(path, where, limit_bytes)
    else:
        packed = configdrive.encode()
        if not (_decoded(packed) or b"").startswith(_GZIP_MAGIC):
            raise ImageError(f"{where} is not base64 of something gzipped")
    content = _decoded(packed) or packed
    if content.startswith(_GZIP_MAGIC):
        content = _gunzipped(content, where, limit_bytes)
    if not content or len(content) > limit_bytes:
        raise ImageError(
            f"{where} is empty or larger than {mib_text(limit_bytes)}"
        )
    return content


def _decoded(packed: bytes) -> bytes | None:
    try:
        return base64.b64decode(b"".join(packed.split()), validate=True)
    except binascii.Error:
        return None


def _read(path: Path, where: str, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(2 * limit_bytes)
    except OSError as error:
        raise ImageError(f"{where}: {error.strerror}") from error
    except ValueError as error:  # a NUL in it
        raise ImageError(f"{where}: {error}") from error


def _gunzipped(content: bytes, where: str, limit_bytes: int) -> bytes:
    gunzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        drive = gunzip.decompress(content, limit_bytes + 1)
    except zlib.error as error:
        raise ImageError(f"{where} is not gzipped: {error}") from error
    if not gunzip.eof and len(drive) <= limit_bytes:
        raise ImageError(f"{where} is cut short")
    return drive
