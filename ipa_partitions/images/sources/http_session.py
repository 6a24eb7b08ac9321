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

"""One connection to a web server, with the operator's keys.

Messages say no more than the public part of a URL; the exceptions of
requests and urllib3 hold all of it, so they are not chained (``from
None``).
"""

from __future__ import annotations

import netrc
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from ipa_partitions import urls
from ipa_partitions.errors import ImageError
from ipa_partitions.images.access import Access

RAMDISK = Path("/etc/ipa-partitions")

CONNECT_S = 15
REDIRECTS = 5


class BrokenError(Exception):
    """The connection failed, in a way that may pass."""


class Session:
    """Asks for one URL, as often as need be."""

    def __init__(self, url: str, access: Access) -> None:
        self._url = url
        self._name = urls.public_url(url)
        self._session = requests.Session()
        self._session.max_redirects = REDIRECTS
        self._session.hooks["response"].append(_without_body)
        self._auth = _auth(url, access)
        self._proxies = _proxies(url, access)
        self._verify = access.ca_file or _existing("ca.pem")
        self._client = access.client or _client()

    def get(
        self, headers: Mapping[str, str], timeout_s: float
    ) -> requests.Response:
        """Return the answer, its body yet to be read.

        Raises BrokenError for what may pass, ImageError for what may not.
        """
        try:
            response = self._session.get(
                self._url,
                # Some servers unpack, or pack, what a hash was made of.
                headers={"Accept-Encoding": "identity", **headers},
                auth=self._auth,
                proxies=self._proxies,
                verify=self._verify,
                cert=self._client,
                stream=True,
                timeout=(min(CONNECT_S, timeout_s), timeout_s),
            )
        except requests.exceptions.SSLError as error:
            if not _is_about_trust(error):
                raise BrokenError(reason(error)) from None
            raise ImageError(f"{self._name}: {reason(error)}") from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise BrokenError(reason(error)) from None
        except (requests.RequestException, ValueError, OSError) as error:
            raise ImageError(f"{self._name}: {reason(error)}") from None
        schemes = [
            urlsplit(r.url).scheme for r in (*response.history, response)
        ]
        if schemes[0] == "https" and "http" in schemes:
            response.close()
            raise ImageError(f"{self._name}: redirects to plain http")
        return response

    def close(self) -> None:
        """Close all that is open."""
        self._session.close()


def _without_body(response: requests.Response, **_: object) -> None:
    """Leave away what a redirect says: requests would read all of it."""
    if response.is_redirect:
        response.close()
        response._content = b""


class _Header(AuthBase):
    """An authorization that is known as it is."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(
        self, request: requests.PreparedRequest
    ) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


def _auth(url: str, access: Access) -> AuthBase | None:
    """Return who we are: the document's word, the URL's, the ramdisk's."""
    parts = urlsplit(url)
    if access.authorization:
        return _Header(access.authorization)
    file = RAMDISK / "netrc"
    if parts.username or not file.exists():
        return None  # requests takes what the URL says
    try:
        known = netrc.netrc(str(file)).authenticators(parts.hostname or "")
    except (OSError, netrc.NetrcParseError) as error:
        # The text of the error may hold a password.
        raise ImageError(f"{file}: {type(error).__name__}") from None
    return HTTPBasicAuth(known[0], known[2] or "") if known else None


def _proxies(url: str, access: Access) -> dict[str, str]:
    """Return the proxies that go before those of the environment."""
    if access.no_proxy and requests.utils.should_bypass_proxies(
        url, access.no_proxy
    ):
        return {"http": "", "https": ""}  # none, whatever is in there
    return dict(access.proxies)


def _client() -> tuple[str, str] | None:
    certificate, key = _existing("client.crt"), _existing("client.key")
    return (certificate, key) if certificate and key else None


def _existing(name: str) -> str | None:
    file = RAMDISK / name
    return str(file) if file.exists() else None


def reason(error: BaseException) -> str:
    """Say what went wrong, without the URL that may hold secrets."""
    *_, innermost = _causes(error)
    if isinstance(innermost, OSError) and not isinstance(
        innermost, requests.RequestException
    ):
        return innermost.strerror or str(innermost)
    if "IncompleteRead" in type(innermost).__name__:
        return "the connection ended"
    return type(innermost).__name__


def _is_about_trust(error: BaseException) -> bool:
    """Tell whether trying again will not help: not a handshake cut short."""
    *_, innermost = _causes(error)
    return isinstance(innermost, ssl.SSLError) and not isinstance(
        innermost, ssl.SSLEOFError | ssl.SSLZeroReturnError
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
