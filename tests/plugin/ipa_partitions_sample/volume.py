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

"""A type of volume: a partition that holds a note of the document."""

from __future__ import annotations

from typing import Literal

from ipa_partitions.layout.objects import Text
from ipa_partitions.layout.partitions import Partition

TYPE = "sample_note"


class NotePartition(Partition):
    """A partition whose filesystem has a note in it."""

    type: Literal["sample_note"]  # type: ignore[assignment]
    text: Text
    """The note."""
