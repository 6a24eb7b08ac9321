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

"""An image as its deployer sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipa_partitions import urls
from ipa_partitions.images.access import ANYBODY, Access


@dataclass(frozen=True)
class Image:
    """What to deploy, and what its bytes must be.

    ``digest`` is hex, over the bytes downloaded; where ``sums_url`` is set
    it is looked up there, by the file name of ``url``. ``size_bytes`` is
    what has to come, if that is known. Both URLs may hold
    secrets: print ``public_url``.
    """

    name: str
    url: str = field(repr=False)
    disk_format: str = "raw"
    compression: str = "none"
    algorithm: str | None = None
    digest: str | None = None
    sums_url: str | None = field(default=None, repr=False)
    access: Access = ANYBODY
    size_bytes: int | None = None

    @property
    def public_url(self) -> str:
        """The URL without anything secret."""
        return urls.public_url(self.url)

    @property
    def kind(self) -> str:
        """Format and compression, as a person reads them."""
        if self.compression == "none":
            return self.disk_format
        return f"{self.disk_format}, {self.compression}"
