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

"""The digest of a device, quickly where most of it is zero."""

from __future__ import annotations

import hashlib
import os

PIECE_BYTES = 1024**2

_ZERO = bytes(PIECE_BYTES)


def digest(device: str, but: range = range(0)) -> str:
    """Return the sha256 of all that is not zero, and of where it is.

    The pieces that begin ``but`` there, in bytes, are left out.
    """
    found = hashlib.sha256()
    # Not what the kernel remembers of it: what is on it.
    node = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(node, 0, 0, os.POSIX_FADV_DONTNEED)
        offset = 0
        while piece := os.pread(node, PIECE_BYTES, offset):
            if offset not in but and piece != _ZERO[: len(piece)]:
                found.update(b"%d:" % offset + piece)
            offset += len(piece)
    finally:
        os.close(node)
    return f"{offset} bytes, {found.hexdigest()}"
