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

from __future__ import annotations

import io

import pytest

from ipa_partitions.disk.size import MIB
from ipa_partitions.progress import Progress
from ipa_partitions.show.as_progress import shown, told

IMAGE = "deploy debian"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("progress", "line"), [
    (Progress("clear", 1, 9), "[1/9] clear"),
    (Progress(IMAGE, 2, 9, 5 * MIB), "[2/9] deploy debian: 5 MiB"),
    (Progress(IMAGE, 2, 9, 5 * MIB, 20 * MIB, 7.4),
     "[2/9] deploy debian: 5 MiB of 20 MiB, 25%, 7 s left"),
    (Progress(IMAGE, 2, 9, 20 * MIB, 20 * MIB),
     "[2/9] deploy debian: 20 MiB of 20 MiB, 100%"),
])  # fmt: skip
def test_progress_is_told_in_a_line(progress, line):
    assert told(progress) == line


def heard(stream, progresses):
    with shown(stream) as listener:
        for progress in progresses:
            listener(progress)
    return stream.getvalue()


STORY = [
    Progress("clear", 1, 2),
    Progress(IMAGE, 2, 2),
    *(Progress(IMAGE, 2, 2, n * MIB, 100 * MIB, 1.0) for n in range(1, 100)),
]


def test_elsewhere_than_on_a_terminal_a_line_tells_each_tenth():
    lines = heard(io.StringIO(), STORY).splitlines()
    assert len(lines) == 2 + 9
    assert lines[2] == (
        "[2/2] deploy debian: 10 MiB of 100 MiB, 10%, 1 s left"
    )


def test_a_terminal_without_rich_has_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rich.progress", None)
    text = heard(Terminal(), STORY)
    *overwritten, last = text.split("\r")
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert {len(line) for line in overwritten[1:]} == {79}
    assert last.startswith("#" * 23 + ". [2/2] deploy debian: 99 MiB of 100")


def test_a_terminal_with_rich_has_a_bar_for_what_moves():
    text = heard(Terminal(), STORY)
    assert "[1/2] clear" in text
    assert "99.0/100.0 MiB" in text
