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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from ipa_partitions.errors import ImageError
from ipa_partitions.images.access import Access

if TYPE_CHECKING:
    from ipa_partitions.images.sources.http_stream import HttpStream


class HttpStatusError(ImageError):
    """A server answered, and what it answered is an error."""

    def __init__(
        self, problem: str, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.headers = headers


@dataclass(frozen=True)
class HttpSource:
    """Connects to web servers, certificates verified."""

    kind: Literal["bytes"] = "bytes"
    tools: tuple[str, ...] = ()

    def open(
        self,
        url: str,
        access: Access,
        headers: Mapping[str, str] = MappingProxyType({}),
        renewed: Callable[[str], Access] | None = None,
    ) -> HttpStream:
        """Ask for ``url``; raises HttpStatusError if that is refused.

        For ``renewed`` see HttpStream.
        """
        # requests is slow to load, and a plan is made without it.
        from ipa_partitions.images.sources.http_stream import HttpStream

        return HttpStream(url, access, headers, renewed=renewed)

    def open_start(self, url: str, access: Access, count: int) -> HttpStream:
        """Ask for the start of ``url``; see StartSource."""
        from ipa_partitions.images.sources.http_stream import HttpStream

        return HttpStream(url, access, {}, count)


HTTP = HttpSource()
