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

"""Images from OCI registries, over https: ``oci://host/repository:tag``.

What is one file there is streamed as it is; the layers of a container
image are one tar archive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ipa_partitions.errors import ImageError
from ipa_partitions.images import magic, unpack
from ipa_partitions.images.access import Access
from ipa_partitions.images.layers import merged
from ipa_partitions.images.unpack import PieceReader

if TYPE_CHECKING:
    from ipa_partitions.images.oci import Artifact, Layer, Registry
    from ipa_partitions.images.sources import ByteStream

_READ_BYTES = 512 * 1024


class LayersStream:
    """The layers of a container image, from the top, as one archive.

    How long it will be nobody knows.
    """

    def __init__(self, registry: Registry, artifact: Artifact) -> None:
        self.size_bytes: int | None = None
        self.fetch_bytes = sum(layer.size_bytes for layer in artifact.layers)
        self.fetched_bytes = 0
        self._name = registry.name
        self._pieces = merged(
            self._plain(registry, layer) for layer in reversed(artifact.layers)
        )
        self._reader = PieceReader(self._pieces)

    def readinto(self, buffer: memoryview) -> int:
        """Read on; see ByteStream."""
        try:
            return self._reader.readinto(buffer)
        except ImageError as error:
            if str(error).startswith(self._name):
                raise
            raise ImageError(f"{self._name}: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        self._pieces.close()  # type: ignore[attr-defined]

    def _plain(self, registry: Registry, layer: Layer) -> Iterator[bytes]:
        """Yield a layer unpacked; raises ImageError if it was another."""
        hasher = hashlib.sha256()
        with registry.blob(layer) as stream:
            chunks = self._hashed(stream, hasher, layer.size_bytes)
            first = next(chunks, memoryview(b""))
            compression = magic.compression_of(bytes(first[:16]))
            whole = _chained(first, chunks)
            if compression == "none":
                yield from map(bytes, whole)
            else:
                yield from unpack.unpacked(whole, compression, self._name)
            for _ in chunks:  # an unpacker may leave padding
                pass
        if hasher.hexdigest() != layer.sha256:
            raise ImageError(
                f"{self._name}: the sha256 of a layer is"
                f" {hasher.hexdigest()}, not {layer.sha256}"
            )

    def _hashed(
        self, stream: ByteStream, hasher: hashlib._Hash, left_bytes: int
    ) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(_READ_BYTES))
        while count := stream.readinto(buffer):
            left_bytes -= count
            if left_bytes < 0:
                raise ImageError("a layer is longer than its manifest says")
            self.fetched_bytes += count
            hasher.update(buffer[:count])
            yield buffer[:count]


@dataclass(frozen=True)
class OciSource:
    """Asks registries, certificates and digests verified."""

    kind: Literal["bytes"] = "bytes"
    tools: tuple[str, ...] = ()

    def open(self, url: str, access: Access) -> ByteStream:
        """Ask for the blob, or the layers, of ``url``."""
        # What it needs of requests is slow to load.
        from ipa_partitions.images.oci import Registry

        registry = Registry(url, access)
        artifact = registry.artifact()
        if artifact.is_container:
            return LayersStream(registry, artifact)
        return registry.open(f"blobs/{artifact.layers[0].digest}", ())


OCI = OciSource()


def _chained(
    first: memoryview, rest: Iterator[memoryview]
) -> Iterator[memoryview]:
    if first:
        yield first
    yield from rest
