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

"""Parts of a file on a web server, which may not hold up a plan."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ipa_partitions.images.sources import http_stream


@pytest.mark.parametrize(("pieces", "piece_s", "wanted"), [
    ([b"ab", b"c", b"d"], 1, b"abcd"),
    ([b"ab", b""], 1, None),
    # Each in time for its connection, and all of them not.
    ([b"a", b"b", b"c", b"d"], 20, None),
])  # fmt: skip
def test_a_part_comes_soon_or_not_at_all(monkeypatch, pieces, piece_s, wanted):
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(http_stream.time, "monotonic", lambda: clock.now_s)

    def read1(count: int, decode_content: bool) -> bytes:
        clock.now_s += piece_s
        return pieces.pop(0)

    response = SimpleNamespace(raw=SimpleNamespace(read1=read1))
    assert http_stream._read_soon(response, 4) == wanted
