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

"""The layers of a container image as one archive, on the way.

Layers are archives that are laid over each other. Read from the top one
down, each member is passed on unless a layer above has replaced or removed
it: so nothing is unpacked twice, or removed again, and nothing is kept but
names. Members are passed on as they are, byte for byte.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ipa_partitions.errors import ImageError

BLOCK_BYTES = 512
_END = bytes(2 * BLOCK_BYTES)
_PIECE_BYTES = 256 * 1024
# What stands before a member: its long names, and pax records.
_EXTENSIONS = {b"x": "pax", b"L": "path", b"K": "link"}
_GLOBAL = b"g"
_EXTENSION_BYTES = 4 * 1024**2
_HARD_LINK, _DIRECTORY, _SPARSE = b"1", b"5", b"S"
_FILES = (b"0", b"\0", b"7", _SPARSE)
# Where the old style of GNU says that more of a sparse file's map follows.
_MAP_GOES_ON, _MORE_MAP_GOES_ON = 482, 504
# Of all names that are kept: two million and more, of usual length.
_NAMES_BYTES = 512 * 1024**2
# What a set takes for each that is in it, besides the name.
_SLOT_BYTES = 100

# https://github.com/opencontainers/image-spec, layer.md
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"

_PAX = re.compile(rb"(\d{1,9}) ([^=]+)=")
_SIZE = re.compile(r"\d{1,19}")


@dataclass
class _Names:
    """What layers have: ``hiding`` hides all below it as well."""

    hiding: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)
    directories: set[str] = field(default_factory=set)
    size_bytes: int = 0

    def count(self, path: str) -> None:
        """Note that ``path`` is to be kept; raises ImageError."""
        self.size_bytes += sys.getsizeof(path) + _SLOT_BYTES
        if self.size_bytes > _NAMES_BYTES:
            raise ImageError("the names in its layers have no end")

    def add(self, other: _Names) -> None:
        self.hiding |= other.hiding
        self.opaque |= other.opaque
        self.directories |= other.directories

    def hide(self, path: str) -> bool:
        """Tell whether a lower layer's ``path`` is not seen."""
        if path in self.hiding or path in self.directories:
            return True
        parent = path.rpartition("/")[0]
        while True:
            if parent in self.opaque or parent in self.hiding:
                return True
            if not parent:
                return False
            parent = parent.rpartition("/")[0]


@dataclass(frozen=True)
class _Member:
    """A member; ``head`` are its header and what stands before it."""

    head: bytes
    kind: bytes
    path: str
    link: str
    size_bytes: int

    @property
    def padded_bytes(self) -> int:
        return -(-self.size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def merged(layers: Iterable[Iterator[bytes]]) -> Iterator[bytes]:
    """Yield the bytes of one archive that stands for all ``layers``.

    The top one comes first; all of each is read. Raises ImageError for
    what is no sound archive.
    """
    above = _Names()
    for layer in layers:
        own = _Names(size_bytes=above.size_bytes)
        yield from _layer(_Reader(layer), above, own)
        above.add(own)
        above.size_bytes = own.size_bytes
    yield _END


def _layer(reader: _Reader, above: _Names, own: _Names) -> Iterator[bytes]:
    hidden: set[str] = set()
    while member := _next_member(reader):
        path = _normal(member.path)
        own.count(path)
        folder, _, name = path.rpartition("/")
        if name.startswith(_WHITEOUT):
            _note_whiteout(own, folder, name)
        elif not path or above.hide(path):
            hidden.add(path)
        else:
            if member.kind == _HARD_LINK and _normal(member.link) in hidden:
                raise ImageError(
                    f"{path!r} of a layer is a hard link to what a later"
                    " layer replaces"
                )
            is_directory = member.kind == _DIRECTORY
            (own.directories if is_directory else own.hiding).add(path)
            yield member.head
            yield from reader.pieces(member.padded_bytes)
            continue
        for _ in reader.pieces(member.padded_bytes):
            pass
    reader.drain()


def _note_whiteout(own: _Names, folder: str, name: str) -> None:
    if name == _OPAQUE:
        own.opaque.add(folder)
    elif not name.startswith(2 * _WHITEOUT):
        gone = name.removeprefix(_WHITEOUT)
        own.hiding.add(f"{folder}/{gone}" if folder else gone)


def _normal(path: str) -> str:
    """Return ``path`` as tar extracts it: relative, without ``.``."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ImageError(f"{path!r} of a layer has '..' in it")
    return "/".join(parts)


def _next_member(reader: _Reader) -> _Member | None:
    """Return the next member with all that stands before it."""
    head = b""
    known: dict[str, str] = {}
    while True:
        header = reader.take(BLOCK_BYTES)
        if not header.strip(b"\0"):
            if head:
                raise ImageError("a layer ends within a member")
            return None
        _check_sum(header)
        kind, size_bytes = header[156:157], _number(header[124:136])
        if kind not in _EXTENSIONS and kind != _GLOBAL:
            break
        if size_bytes > _EXTENSION_BYTES or len(head) > _EXTENSION_BYTES:
            raise ImageError("a layer has names without end")
        data = reader.take(-(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES)
        if kind == _GLOBAL:
            continue  # it would hold for the other layers as well
        head += header + data
        if kind == b"x":
            known |= _pax(data[:size_bytes])
        else:
            known[_EXTENSIONS[kind]] = _text(data[:size_bytes])
    if kind == _SPARSE and header[_MAP_GOES_ON]:
        header += b"".join(_more_map(reader))
    path = known.get("GNU.sparse.name") or known.get("path")
    link = known.get("linkpath") or known.get("link")
    if "size" in known:
        size_bytes = int(known["size"])
    return _Member(
        head + header,
        kind,
        path or _path(header),
        link or _text(header[157:257]),
        size_bytes if kind in _FILES else 0,
    )


def _more_map(reader: _Reader) -> Iterator[bytes]:
    for _ in range(_EXTENSION_BYTES // BLOCK_BYTES):
        block = reader.take(BLOCK_BYTES)
        yield block
        if not block[_MORE_MAP_GOES_ON]:
            return
    raise ImageError("a layer has a sparse file without end")


def _path(header: bytes) -> str:
    name = _text(header[:100])
    # A prefix has POSIX's style alone: GNU's has times there.
    if header[257:263] == b"ustar\0" and header[345]:
        return f"{_text(header[345:500])}/{name}"
    return name


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(data: bytes) -> int:
    if data[0] & 0x80:  # base 256, for what octal digits cannot hold
        return int.from_bytes(bytes([data[0] & 0x7F]) + data[1:], "big")
    digits = data.strip(b" \0") or b"0"
    try:
        return int(digits, 8)
    except ValueError as error:
        raise ImageError("a layer is no tar archive") from error


def _check_sum(header: bytes) -> None:
    blank = header[:148] + b" " * 8 + header[156:]
    if sum(blank) != _number(header[148:156]):
        raise ImageError("a layer is no tar archive")


def _pax(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    while data:
        match = _PAX.match(data)
        length = int(match[1]) if match else 0
        if not match or not match.end() < length <= len(data):
            raise ImageError("a layer has damaged pax records")
        value = data[match.end() : length - 1]
        name = _text(match[2])
        found[name] = value.decode("utf-8", "surrogateescape")
        data = data[length:]
    if not _SIZE.fullmatch(found.get("size", "0")):
        raise ImageError("a layer has damaged pax records")
    return found


class _Reader:
    """Exactly as many bytes as asked for, of pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def take(self, count: int) -> bytes:
        return b"".join(self.pieces(count))

    def pieces(self, count: int) -> Iterator[bytes]:
        while count:
            while not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    raise ImageError("a layer ends too early")
                self._rest = memoryview(piece)
            some = self._rest[: min(count, _PIECE_BYTES)]
            self._rest = self._rest[len(some) :]
            count -= len(some)
            yield bytes(some)

    def drain(self) -> None:
        """Read what there still is, to be hashed."""
        for _ in self._pieces:
            pass
