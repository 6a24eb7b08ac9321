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

"""The progress of a program that says how many percent it has done."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipa_partitions import progress

_PERCENT = re.compile(r"\b(\d{1,3})%")


@dataclass
class Percent:
    """Bytes that a program works off once they are all there.

    What it says is given line by line; see ``pipe.follow``.
    """

    whole_bytes: int = 0
    done_bytes: int = 0

    def expect(self, whole_bytes: int) -> None:
        """Say how many they are, before it begins."""
        self.whole_bytes = whole_bytes
        progress.expect_also(whole_bytes)

    def __call__(self, line: str) -> None:
        """Tell the progress that ``line`` is about, if it is."""
        if "ir-chk" in line:
            return  # of rsync: a part of what it has found so far
        for percent in _PERCENT.findall(line):
            self._reach(self.whole_bytes * min(int(percent), 100) // 100)

    def end(self) -> None:
        """Say that all is done: rounding, and links, may leave a rest."""
        self._reach(self.whole_bytes)

    def _reach(self, done_bytes: int) -> None:
        if done_bytes > self.done_bytes:
            progress.advance(done_bytes - self.done_bytes)
            self.done_bytes = done_bytes
