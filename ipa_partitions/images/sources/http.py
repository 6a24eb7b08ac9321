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

"""Images from web servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ipa_partitions.images.sources.http_stream import HttpStream


@dataclass(frozen=True)
class HttpSource:
    """Connects to web servers, certificates verified."""

    kind: Literal["bytes"] = "bytes"
    tools: tuple[str, ...] = ()

    def open(self, url: str) -> HttpStream:
        """Ask for ``url``."""
        # requests is slow to load, and a plan is made without it.
        from ipa_partitions.images.sources.http_stream import HttpStream

        return HttpStream(url)


HTTP = HttpSource()
