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

"""Read a config drive as Ironic sends it; no byte of it is ever logged."""

from __future__ import annotations

import base64
import binascii
import zlib
from pathlib import Path

from ipa_partitions.disk.size import mib_text
from ipa_partitions.errors import ImageError
from ipa_partitions.urls import public_url

_GZIP_MAGIC = b"\x1f\x8b"
_TIMEOUT_S = 60
_CHUNK_BYTES = 1024**2


def read_configdrive(configdrive: str, limit_bytes: int) -> bytes:
    """Return the bytes of the config drive, at most ``limit_bytes``.

    ``configdrive`` is an http(s) URL, an absolute path, or base64 of a
    gzipped ISO; what a URL or path leads to may be base64 of one, gzipped,
    or neither. Raises ImageError.
    """
    if configdrive.startswith(("http://", "https://")):
        where = f"the config drive {public_url(configdrive)}"
        packed = _download(configdrive, where, limit_bytes)
    elif configdrive.startswith(("/", "file:///")):
        path = Path(configdrive.removeprefix("file://"))
        where = f"the config drive {path}"
        packed = _read(path, where, limit_bytes)
    else:
        where = "the config drive"
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


def _download(url: str, where: str, limit_bytes: int) -> bytes:
    import requests  # slow to load, and most config drives come without

    content = bytearray()
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response:
            response.raise_for_status()
            for chunk in response.iter_content(_CHUNK_BYTES):
                content += chunk
                # Base64 is a third longer than what it stands for.
                if len(content) > 2 * limit_bytes:
                    break
    except requests.RequestException as error:
        # The text of the error may hold the URL with its query.
        raise ImageError(
            f"{where} cannot be fetched: {type(error).__name__}"
        ) from None
    return bytes(content)


def _read(path: Path, where: str, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(2 * limit_bytes)
    except OSError as error:
        raise ImageError(f"{where}: {error.strerror}") from error


def _gunzipped(content: bytes, where: str, limit_bytes: int) -> bytes:
    gunzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        drive = gunzip.decompress(content, limit_bytes + 1)
    except zlib.error as error:
        raise ImageError(f"{where} is not gzipped: {error}") from error
    if not gunzip.eof and len(drive) <= limit_bytes:
        raise ImageError(f"{where} is cut short")
    return drive
