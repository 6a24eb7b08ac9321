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

"""Layers of containers, merged into one archive, as overlayfs shows them."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterator

import pytest

from ipa_partitions.errors import ImageError
from ipa_partitions.images import layers
from ipa_partitions.images.layers import BLOCK_BYTES, merged

LONG = "long/" + "x" * 180


def layer(*entries: object, style: int = tarfile.PAX_FORMAT) -> bytes:
    """Return an archive of paths, ``(path, content)``, or members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=style) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
                continue
            path, content = entry if isinstance(entry, tuple) else (entry, "")
            member = tarfile.TarInfo(path.rstrip("/"))
            if path.endswith("/"):
                member.type = tarfile.DIRTYPE
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    return file.getvalue()


def special(path: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type, member.linkname = kind, link
    return member


def sparse(path: str, content: dict[int, bytes], size_bytes: int) -> bytes:
    """Return a file as ``tar --format=gnu --sparse`` has it: 4 + 21 pieces."""
    data = b"".join(content.values())
    member = special(path, tarfile.GNUTYPE_SPARSE)
    member.size = len(data)
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT)[:BLOCK_BYTES])
    places = [
        b"%011o\0%011o\0" % (at, len(piece)) for at, piece in content.items()
    ]
    header[386:482] = b"".join(places[:4]).ljust(96, b"\0")
    header[482] = len(places) > 4
    header[483:495] = b"%011o\0" % size_bytes
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    for at in range(4, len(places), 21):
        header += b"".join(places[at : at + 21]).ljust(504, b"\0")
        header += bytes([len(places) > at + 21]) + bytes(7)
    return bytes(header) + data.ljust(-(-len(data) // 512) * 512, b"\0")


@pytest.mark.parametrize("count", [1, 4, 5, 25, 26, 60])
def test_sparse_files_in_the_old_style_of_gnu(count):
    parts = {2000 * n: b"%03d" % n for n in range(count)}
    lower = sparse("s", parts, 200_000) + layer(("after", "1"))
    wanted = bytearray(200_000)
    for at, part in parts.items():
        wanted[at : at + len(part)] = part

    found = seen(lower, layer("other"))

    assert found.pop("s").encode() == wanted
    assert found == {"after": "1", "other": ""}
    assert seen(lower, layer(("s", "new")))["s"] == "new"


def pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield ``data`` in pieces as a network has them."""
    while data:
        count = chance.randrange(1, 2000)
        yield data[:count]
        data = data[count:]


def seen(*layers: bytes) -> dict[str, str]:
    """Return what there is of ``layers``, of which the last is on top."""
    chance = random.Random(len(layers))
    data = b"".join(merged(pieces(each, chance) for each in reversed(layers)))
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            path = member.name.removeprefix("./")
            assert path not in found, "twice"
            found[path] = file.read().decode() if file else "-"
    return found


@pytest.mark.parametrize(("stack", "wanted"), [
    ([["a/", ("a/b", "1"), ("c", "2")]], {"a": "-", "a/b": "1", "c": "2"}),
    ([[("a", "old")], [("a", "new")]], {"a": "new"}),
    ([[("./a", "old")], [("a", "new")]], {"a": "new"}),
    ([[("/a", "old")], [("a//", "")]], {"a": "-"}),
    # Whiteouts: of a file, of a directory, of nothing.
    ([["a/", "a/b", "a/c"], ["a/.wh.b"]], {"a": "-", "a/c": ""}),
    ([["a/", "a/b/", "a/b/c"], ["a/.wh.b"]], {"a": "-"}),
    ([["a"], [".wh.b"]], {"a": ""}),
    ([["a"], [".wh.a"], [("a", "back")]], {"a": "back"}),
    ([["ab"], [".wh.a"]], {"ab": ""}),
    # Opaque: what is below is gone, but not the directory.
    ([["a/", "a/b", "a/c/", "a/c/d"], ["a/", "a/.wh..wh..opq", "a/n"]],
     {"a": "-", "a/n": ""}),
    ([["a/", "a/b"], ["a/.wh..wh..opq"]], {"a": "-"}),
    ([["a", "b/", "b/c"], [".wh..wh..opq", "n"]], {"n": ""}),
    # Whatever the order within the layer that has it.
    ([["a/", "a/old"], ["a/n", "a/.wh..wh..opq"]], {"a/n": "", "a": "-"}),
    # Directories are merged, and become files, and the other way round.
    ([["a/", "a/b"], ["a/", "a/c"]], {"a": "-", "a/b": "", "a/c": ""}),
    ([["a/", "a/b"], [("a", "file")]], {"a": "file"}),
    ([[("a", "file")], ["a/", "a/b"]], {"a": "-", "a/b": ""}),
    # A link of an upper layer takes the place of a directory.
    ([["a/", "a/b"], [special("a", tarfile.SYMTYPE, "/etc")]], {"a": "-"}),
    ([["a", ".wh..wh.plnk", ".wh..wh.aufs/", "b"]], {"a": "", "b": ""}),
    ([[("a", "1"), special("b", tarfile.LNKTYPE, "a")], ["c"]],
     {"a": "1", "b": "-", "c": ""}),
    ([[(LONG, "1"), "b"], [(LONG, "2")]], {LONG: "2", "b": ""}),
    ([[]], {}),
])  # fmt: skip
@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_what_is_seen_of_layers(style, stack, wanted):
    archives = [layer(*entries, style=style) for entries in stack]
    assert seen(*archives) == wanted


def test_members_are_passed_on_byte_for_byte():
    member = tarfile.TarInfo("x")
    member.mtime, member.uid, member.gid = 1.25, 3_000_000, 7
    member.pax_headers = {"SCHILY.xattr.user.a": "\udc80b"}
    archive = layer(member, ("y", "z" * 3000), style=tarfile.PAX_FORMAT)
    data = b"".join(merged([iter([archive])]))
    assert archive.startswith(data)
    assert archive[len(data) :].strip(b"\0") == b""


def test_global_headers_do_not_reach_other_layers():
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode="w", format=tarfile.PAX_FORMAT,
        pax_headers={"path": "evil"},
    ) as tar:  # fmt: skip
        tar.addfile(tarfile.TarInfo("a"))
    assert b"evil" in file.getvalue()
    assert b"evil" not in b"".join(merged([iter([file.getvalue()])]))


GOOD = layer("a", ("b", "x" * 600), (LONG, "1"))


@pytest.mark.parametrize(("archives", "problem"), [
    ([layer("../a")],                      r"'\.\.'"),
    ([b"no archive" * 600],                "no tar archive"),
    ([b""],                                "ends too early"),
    ([GOOD[:700]],                         "ends too early"),
    ([GOOD[:1536]],                        "ends too early"),
    ([layer(("a", "1"), special("b", tarfile.LNKTYPE, "./a")),
      layer(("a", "2"))],                  "hard link to what a later"),
    ([sparse("a", dict.fromkeys(range(2 * 10**5), b""), 0)], "without end"),
    ([sparse("a", dict.fromkeys(range(9), b"1"), 9)[:700]],  "ends too early"),
    ([GOOD[:2560].replace(b"path=", b"path+")],  "damaged pax|no tar|early"),
])  # fmt: skip
def test_what_is_no_sound_layer_is_refused(archives, problem):
    with pytest.raises(ImageError, match=problem):
        seen(*archives)


@pytest.mark.parametrize("name", ["{}" + "x" * 2**20, ".wh.{}", "{}"])
def test_names_without_end_do_not_fill_the_memory(monkeypatch, name):
    monkeypatch.setattr(layers, "_NAMES_BYTES", 2 * 2**20)

    def members() -> Iterator[bytes]:
        for number in range(50_000):
            data = layer(name.format(number)).rstrip(b"\0")
            yield data.ljust(-(-len(data) // BLOCK_BYTES) * BLOCK_BYTES, b"\0")

    with pytest.raises(ImageError, match="names in its layers have no end"):
        for _ in merged([members()]):
            pass
