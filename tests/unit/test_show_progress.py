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
from ipa_partitions.progress import Progress, Sums
from ipa_partitions.show import as_progress
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
    (Progress(IMAGE, 2, 9, 5 * MIB, 20 * MIB, 7.4, 3 * MIB // 2,
              Sums(5 * MIB)),
     "[2/9] deploy debian: 5 MiB of 20 MiB, 25%, 1.5 MiB/s, 7 s left"),
    (Progress(IMAGE, 2, 9, MIB, 2 * MIB, 1, MIB, Sums(8 * MIB, 9 * MIB, 3.2)),
     "[2/9] deploy debian: 1 MiB of 2 MiB, 50%, 1.0 MiB/s, 1 s left; in all"
     " 8 MiB of 9 MiB, 3 s left"),
    (Progress(IMAGE, 2, 9, MIB, None, None, None, Sums(8 * MIB)),
     "[2/9] deploy debian: 1 MiB; in all 8 MiB"),
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


def test_elsewhere_than_on_a_terminal_a_line_comes_every_few_seconds(
    monkeypatch,
):
    now = [7.0]
    monkeypatch.setattr(as_progress.time, "monotonic", lambda: now[0])
    lines = []
    tell = as_progress.Lines(lines.append)
    for progress in STORY:
        tell(progress)
        now[0] += 0.25
    assert len(lines) == 2 + 4
    assert lines[2] == (
        "[2/2] deploy debian: 20 MiB of 100 MiB, 20%, 1 s left"
    )
    tell(Progress(IMAGE, 2, 2, 100 * MIB, 100 * MIB, 0.0))
    tell(Progress(IMAGE, 2, 2, 100 * MIB, 100 * MIB, 0.0))
    assert lines[6:] == [
        "[2/2] deploy debian: 100 MiB of 100 MiB, 100%, 0 s left"
    ]


def test_a_terminal_with_rich_has_a_bar_for_all_images():
    progress = Progress(
        IMAGE, 2, 2, MIB, 2 * MIB, 1, MIB, Sums(8 * MIB, 9 * MIB)
    )
    text = heard(Terminal(), [progress])
    assert "all images" in text
    assert "8.0/9.0 MiB" in text


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
