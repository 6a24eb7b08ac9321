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


"""Which of two kernels is the newer one."""

from __future__ import annotations

import re

_PART = re.compile(r"(\d+)|(~|rc(?=\d))|([A-Za-z]+)", re.ASCII)

# What a part is, in rising order: 6.2~rc1 and 6.2-rc1 come before 6.2.
_BEFORE_END, _END, _LETTERS, _NUMBER = range(4)


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts kernel versions, the oldest first."""
    key = [
        (_NUMBER, int(number), "")
        if number
        else (_BEFORE_END, 0, "")
        if before
        else (_LETTERS, 0, letters)
        for number, before, letters in _PART.findall(version)
    ]
    return (*key, (_END, 0, ""))
