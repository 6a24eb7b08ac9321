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

"""Read the files of an ISO 9660 filesystem, without mounting it.

It is not ours: a kernel that mounts what strangers made has been crashed
before. ECMA-119, with the names of Joliet or Rock Ridge (SUSP and RRIP).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ipa_partitions.errors import ImageError

BLOCK_BYTES = 2048
_FIRST_DESCRIPTOR = 16
_DESCRIPTORS_MAX = 64
_MAGIC = b"CD001"
_PRIMARY, _SUPPLEMENTARY, _END = 1, 2, 255
# The levels of UCS-2 that Joliet has.
_JOLIET = (b"%/@", b"%/C", b"%/E")

_DIRECTORY, _CONTINUED = 0x02, 0x80
_RECORD_BYTES = 34
_DEPTH_MAX = 16
_FILES_MAX = 4096


def is_iso9660(content: bytes) -> bool:
    """Tell whether ``content`` is one."""
    at = _FIRST_DESCRIPTOR * BLOCK_BYTES
    return content[at + 1 : at + 6] == _MAGIC


def read_files(content: bytes) -> Mapping[str, bytes]:
    """Return the files by their paths, which have no leading slash.

    Links and devices are left out. Raises ImageError for what is no sound
    filesystem.
    """
    try:
        root, is_joliet = _root(content)
        tree = _Tree(content, is_joliet)
        return dict(tree.files(root))
    except (IndexError, UnicodeDecodeError) as error:
        raise ImageError("its ISO 9660 filesystem is damaged") from error


@dataclass(frozen=True)
class _Record:
    """A file or directory, where it is, and what it is called."""

    start: int
    size_bytes: int
    flags: int
    name: bytes
    further: bytes


def _root(content: bytes) -> tuple[_Record, bool]:
    """Return the root directory, and whether its names are Joliet's."""
    found: dict[int, bytes] = {}
    for number in range(_DESCRIPTORS_MAX):
        at = (_FIRST_DESCRIPTOR + number) * BLOCK_BYTES
        descriptor = content[at : at + BLOCK_BYTES]
        if descriptor[1:6] != _MAGIC or descriptor[0] == _END:
            break
        if descriptor[0] == _SUPPLEMENTARY and descriptor[88:91] in _JOLIET:
            found[_SUPPLEMENTARY] = descriptor
        elif descriptor[0] == _PRIMARY:
            found[_PRIMARY] = descriptor
    if _PRIMARY not in found:
        raise ImageError("it is no ISO 9660 filesystem")
    is_joliet = _SUPPLEMENTARY in found
    descriptor = found[_SUPPLEMENTARY if is_joliet else _PRIMARY]
    return _record(descriptor, 156), is_joliet


def _record(data: bytes, at: int) -> _Record:
    record = data[at : at + data[at]]
    if len(record) < _RECORD_BYTES:
        raise IndexError(at)
    name_end = 33 + record[32]
    return _Record(
        int.from_bytes(record[2:6], "little") * BLOCK_BYTES,
        int.from_bytes(record[10:14], "little"),
        record[25],
        record[33:name_end],
        record[name_end + (1 - record[32] % 2) :],
    )


class _Tree:
    def __init__(self, content: bytes, is_joliet: bool) -> None:
        self._content = content
        self._is_joliet = is_joliet
        self._count = 0
        self._left_bytes = len(content)

    def files(
        self, directory: _Record, path: str = "", depth: int = 0
    ) -> Iterator[tuple[str, bytes]]:
        """Yield every file below ``directory``."""
        for record in self._records(self._data(directory)):
            if record.name in (b"\0", b"\1"):
                continue  # the directory itself, and the one above
            self._count += 1
            name = self._name(record)
            if self._count > _FILES_MAX or depth > _DEPTH_MAX:
                raise ImageError("its ISO 9660 filesystem has no end")
            if not name or name in (".", "..") or set("/\0") & set(name):
                raise ImageError(f"a file of it is called {name!r}")
            if record.flags & _DIRECTORY:
                yield from self.files(record, f"{path}{name}/", depth + 1)
            elif not _is_special(record):
                yield path + name, self._data(record)

    def _records(self, data: bytes) -> Iterator[_Record]:
        at = 0
        while at < len(data):
            if not data[at]:  # none crosses a block
                at += BLOCK_BYTES - at % BLOCK_BYTES
                continue
            yield _record(data, at)
            at += data[at]

    def _data(self, record: _Record) -> bytes:
        end = record.start + record.size_bytes
        # What is counted twice is a loop, or meant to fill the memory.
        self._left_bytes -= record.size_bytes
        if end > len(self._content) or self._left_bytes < 0:
            raise IndexError(end)
        if record.flags & _CONTINUED:
            raise ImageError("a file of it is in several pieces")
        return self._content[record.start : end]

    def _name(self, record: _Record) -> str:
        if self._is_joliet:
            name = record.name.decode("utf-16-be")
        else:
            rock_ridge = b"".join(
                data[1:] for kind, data in _further(record) if kind == b"NM"
            )
            if rock_ridge:
                return rock_ridge.decode()
            name = record.name.decode("ascii").lower()
        return name.partition(";")[0].rstrip(".")


def _is_special(record: _Record) -> bool:
    """Tell whether Rock Ridge says that it is no file at all."""
    return any(kind in (b"SL", b"PN") for kind, _ in _further(record))


def _further(record: _Record) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields that SUSP adds, without their length and version."""
    data = record.further
    while len(data) >= 4 and data[2] >= 4:
        yield data[:2], data[4 : data[2]]
        data = data[data[2] :]
