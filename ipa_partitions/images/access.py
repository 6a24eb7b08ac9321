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

"""How a server is spoken to: who we are there, and the way to it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Access:
    """What a server of images asks for; nothing of it is ever printed.

    ``authorization`` is the header's value. ``proxies`` are pairs of a
    scheme and a URL, and go before those of the environment. Without
    ``ca_file`` and ``client``, a certificate and its key, the files of the
    ramdisk are used, else the system's.
    """

    authorization: str | None = field(default=None, repr=False)
    proxies: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    no_proxy: str | None = None
    ca_file: str | None = None
    client: tuple[str, str] | None = None

    def moved(self, url: str, other: str) -> Access:
        """Return the access to ``other`` of who may have ``url``.

        The authorization is for one server only.
        """
        if urlsplit(url)[:2] == urlsplit(other)[:2]:
            return self
        return replace(self, authorization=None)

    def or_else(self, default: Access) -> Access:
        """Return it with what it lacks filled in from ``default``."""
        return Access(
            self.authorization or default.authorization,
            self.proxies or default.proxies,
            self.no_proxy or default.no_proxy,
            self.ca_file or default.ca_file,
            self.client or default.client,
        )


ANYBODY = Access()


def basic(user: str, password: str) -> str:
    """Return the authorization of a user with a password."""
    pair = base64.b64encode(f"{user}:{password}".encode())
    return f"Basic {pair.decode()}"
