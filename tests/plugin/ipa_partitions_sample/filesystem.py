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

"""A filesystem: ext4 without a journal, for what is written once."""

from __future__ import annotations

from dataclasses import replace

from ipa_partitions.disk.filesystem import EXT4

SAMPLE_EXT4 = replace(EXT4, mkfs=(*EXT4.mkfs, "-O", "^has_journal"))
