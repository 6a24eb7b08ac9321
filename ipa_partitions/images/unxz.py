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

"""xz by its program, which unpacks on all processors.

The library has one thread for it, and is too slow for all but a look at how
an image starts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.images import pipe, unpack

TOOL = "xz"


def unpacked(blocks: Iterator[memoryview], name: str) -> Generator[bytes]:
    """Yield the plain bytes of ``blocks`` in pieces.

    Raises ImageError, which begins with ``name``, for damaged data and for
    data that ends too early.
    """
    argv = (
        TOOL,
        "--decompress",
        "--stdout",
        "--threads=0",
        f"--memlimit-decompress={unpack.XZ_MEMORY_BYTES}",
    )
    try:
        yield from pipe.through(argv, blocks)
    except CommandError as error:
        raise ImageError(f"{name}: {error}") from error
