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

"""qcow2: every order of clusters, every surprise, and damage at random."""

from __future__ import annotations

import errno
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa_partitions.images.qcow2 import Qcow2Error, single_pass
from ipa_partitions.images.qcow2 import tables as tables_module
from ipa_partitions.images.qcow2.header import Header, parse_header
from ipa_partitions.images.qcow2.single_pass import unfold
from ipa_partitions.images.qcow2.start import read_start
from ipa_partitions.images.qcow2.tables import Tables
from tests.qcow2_files import (
    COMPRESSED,
    IN_USE,
    Disk,
    Qcow2,
    blocks,
    deflated,
    reader_of,
)

# What the pieces of a stream are of here; a cluster has at most half of it.
PIECE_BYTES = 4096


def unfolded(
    file: bytes,
    has_range: bool = False,
    knows_size: bool = True,
    piece_bytes: int = PIECE_BYTES,
) -> bytes:
    """Return the disk inside ``file``."""
    tables = Tables(
        parse_header(file[:131072]), len(file) if knows_size else None
    )
    if has_range:
        tables.preload(reader_of(file))
    disk = Disk(tables.header.size_bytes)
    unfold(tables, blocks(file, piece_bytes), disk)
    return bytes(disk.content)


def cluster(text: bytes, bits: int = 9) -> bytes:
    return (text * (1 << bits))[: 1 << bits]


# L1, two L2 tables, one cluster of each kind, and some of the second table.
DATA = [cluster(b"a"), None, cluster(b"bc"), *[None] * 61, cluster(b"def")]
GOOD = Qcow2(9, DATA)


@st.composite
def images(draw: st.DrawFn) -> Qcow2:
    bits = draw(st.sampled_from([9, 11]))
    dice = random.Random(draw(st.integers(0, 99)))
    data = [
        draw(st.sampled_from([None, cluster(b"x", bits), b"noise"]))
        for _ in range(draw(st.integers(1, 150)))
    ]
    data = [dice.randbytes(1 << bits) if d == b"noise" else d for d in data]
    packed = {
        n for n, each in enumerate(data) if each and len(set(each)) == 1
    } if draw(st.booleans()) else set()  # fmt: skip
    count = 1 + -(-len(data) // ((1 << bits) // 8)) + len(data)
    order = [*range(count)]
    if draw(st.booleans()):
        dice.shuffle(order)
    version = draw(st.sampled_from([2, 3]))
    return Qcow2(bits, data, frozenset(packed), order, version)


@settings(deadline=None)
@given(images(), st.booleans(), st.booleans())
def test_any_order_of_clusters_gives_the_disk_inside(
    image: Qcow2, has_range: bool, knows_size: bool
) -> None:
    file = image.build()
    assert unfolded(file, has_range, knows_size) == image.plain
    start = read_start(parse_header(file), reader_of(file), 4096)
    assert start == image.plain[:4096]


@settings(deadline=None)
@given(images(), st.booleans(), st.data())
def test_a_table_too_late_or_damage_is_an_error_of_ours(
    image: Qcow2, has_range: bool, data: st.DataObject
) -> None:
    file = bytearray(image.build())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(file), 6000) - 1))
        file[at] = data.draw(st.sampled_from([0, 1, 0x40, 0x80, 0xFF]))
    kept, single_pass.HELD_BYTES = single_pass.HELD_BYTES, 8192
    try:
        header = parse_header(bytes(file))
        if header.size_bytes < 2**24:
            unfolded(bytes(file), has_range)
        read_start(header, reader_of(bytes(file)), 4096)
    except Qcow2Error:
        pass
    finally:
        single_pass.HELD_BYTES = kept


def test_more_clusters_than_there_is_memory_for(monkeypatch):
    """It was a traceback."""

    def full(_: int, size_bytes: int) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(tables_module.mmap, "mmap", full)
    with pytest.raises(Qcow2Error, match="for which there is no memory"):
        unfolded(Qcow2(9, DATA).build())


def test_a_large_table_of_tables_is_not_asked_for_piece_by_piece():
    """It took 32768 requests for 33 MiB."""
    header = Header(3, 2**36, 9, 2**16, 2**21, "zlib")
    asked = []
    Tables(header, 2**25).preload(lambda *where: asked.append(where))
    assert not asked


def test_a_disk_of_no_size_is_nothing():
    """It took for ever."""
    assert unfolded(Qcow2(9, [], fields={"size_bytes": 0}).build()) == b""


@pytest.mark.parametrize(("fields", "problem"), [
    ({"magic": 0x514649FA}, "is not qcow2"),
    ({"version": 1}, "is of the unknown qcow2 version 1"),
    ({"version": 4}, "is of the unknown qcow2 version 4"),
    ({"backing": 1024}, "needs a backing file"),
    ({"encryption": 1}, "is encrypted"),
    ({"encryption": 2}, "is encrypted"),
    ({"snapshots": 1}, "holds internal snapshots"),
    ({"cluster_bits": 8}, r"has clusters of 2\^8 bytes"),
    ({"cluster_bits": 22}, r"has clusters of 2\^22 bytes"),
    ({"cluster_bits": 2**32 - 1}, "has clusters of"),
    ({"incompatible": 1}, "was not closed cleanly"),
    ({"incompatible": 2}, "is marked corrupt"),
    ({"incompatible": 4}, "keeps its data in an external file"),
    ({"incompatible": 16}, "has extended L2 entries"),
    ({"incompatible": 32}, r"has unknown features \(0x20\)"),
    ({"incompatible": 2**63}, "has unknown features"),
    ({"incompatible": 8}, "contradicts itself about its compression"),
    ({"compression": 1}, "contradicts itself about its compression"),
    ({"compression": 2, "incompatible": 8}, "the unknown compression 2"),
    ({"refcount_order": 7}, r"has reference counts of 2\^7 bits"),
    ({"header_bytes": 96}, "has a header of 96 bytes"),
    ({"header_bytes": 107}, "has a header of 107 bytes"),
    ({"header_bytes": 1024}, "has a header of 1024 bytes"),
    ({"l1_entries": 1}, "has 1 L1 entries for its 33280 bytes"),
    ({"l1_entries": 2**32 - 1}, "has an L1 table of 4294967295 entries"),
    ({"size_bytes": 2**63}, "has 2 L1 entries for its"),
    ({"l1_offset": 0}, "has its L1 table at 0x0"),
    ({"l1_offset": 513}, "has its L1 table at 0x201"),
    ({"l1_offset": 2**60}, "has something beyond its end"),
])  # fmt: skip
@pytest.mark.parametrize("has_range", [True, False])
def test_a_header_with_a_surprise_is_refused(
    fields: dict[str, int], problem: str, has_range: bool
) -> None:
    file = Qcow2(9, DATA, fields=fields).build()
    with pytest.raises(Qcow2Error, match=problem):
        unfolded(file, has_range)


@pytest.mark.parametrize(("image", "problem"), [
    (Qcow2(9, DATA, entries={0: 1 << 55 | 512}), "beyond its end"),
    (Qcow2(9, DATA, entries={0: 1 << 20}), "beyond its end"),
    (Qcow2(9, DATA, entries={0: IN_USE | 2}), "has the L2 entry"),
    (Qcow2(9, DATA, entries={0: 1 << 56 | 2048}), "has the L2 entry"),
    (Qcow2(9, DATA, entries={0: 512}), "two things in one place, at 0x200"),
    (Qcow2(9, DATA, entries={1: 2048}), "two things in one place, at 0x800"),
    (Qcow2(9, DATA, version=2, entries={1: 1}), "has the L2 entry 0x1"),
    (Qcow2(11, [cluster(b"x", 11)], entries={0: 512}), "has the L2 entry"),
    (Qcow2(9, DATA, l1_entries={1: 1024 | IN_USE}), "two things in one"),
    (Qcow2(9, DATA, l1_entries={1: 0x200}), "two things in one place"),
    (Qcow2(9, DATA, l1_entries={1: 1 << 40}), "beyond its end"),
    (Qcow2(9, DATA, l1_entries={1: 1}), "has the L1 entry 0x1"),
    (Qcow2(9, DATA, entries={0: COMPRESSED}), "two things in one place"),
    (Qcow2(9, DATA, entries={0: COMPRESSED | 1 << 40}), "beyond its end"),
    (Qcow2(9, DATA, entries={0: COMPRESSED | IN_USE | 9}), "the L2 entry"),
    (Qcow2(9, DATA, entries={2: COMPRESSED | 2560}), "has a damaged clus"),
])  # fmt: skip
@pytest.mark.parametrize("has_range", [True, False])
def test_a_table_with_a_surprise_is_refused(
    image: Qcow2, problem: str, has_range: bool
) -> None:
    with pytest.raises(Qcow2Error, match=problem):
        unfolded(image.build(), has_range)


def test_zero_clusters_that_have_a_place_are_zero() -> None:
    data = [cluster(b"a"), cluster(b"b")]
    image = Qcow2(9, data, entries={1: 0x8000_0000_0000_0801})
    assert unfolded(image.build()) == data[0] + bytes(512)


@pytest.mark.parametrize("left", [1, 511, 512, 1024, 1537, 2000])
@pytest.mark.parametrize("has_range", [True, False])
def test_a_file_that_is_cut_is_refused(left: int, has_range: bool) -> None:
    file = GOOD.build()[:-left]
    if left < 512:  # a last cluster may be short, and is zero then
        assert unfolded(file, has_range) == GOOD.plain[:-left] + bytes(left)
    else:
        with pytest.raises(Qcow2Error, match=r"is cut|beyond its end"):
            unfolded(file, has_range)


def test_what_a_cluster_unpacks_to_has_its_size_and_no_more() -> None:
    image = Qcow2(12, [bytes(4096)], frozenset({0}))
    good = image.build()
    packed = deflated(bytes(4096))
    for other in (deflated(bytes(4095)), b"\xff" * 4):
        with pytest.raises(Qcow2Error, match="has a damaged cluster"):
            unfolded(good.replace(packed, other.ljust(len(packed), b"\0")))
    bomb = deflated(bytes(400_000))[:512].ljust(512, b"\0")
    at = good.index(packed)
    assert unfolded(good[:at] + bomb + good[at + 512 :]) == bytes(4096)


def test_a_table_long_after_its_data_needs_range(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(single_pass, "HELD_BYTES", 2048)
    data = [cluster(b"%d" % number) for number in range(30)]
    image = Qcow2(9, data, order=[0, 99, *range(1, 31)])
    assert unfolded(image.build(), has_range=True) == image.plain
    with pytest.raises(Qcow2Error, match="a server that knows Range"):
        unfolded(image.build())


def test_tables_that_came_by_themselves_must_be_those_of_the_file() -> None:
    file = GOOD.build()
    tables = Tables(parse_header(file), len(file))
    tables.preload(reader_of(file))
    other = Qcow2(9, DATA, entries={2: 0}).build()
    with pytest.raises(Qcow2Error, match="changed while it was downloaded"):
        unfold(tables, blocks(other), Disk(len(GOOD.plain)))
