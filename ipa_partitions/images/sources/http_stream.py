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

"""Images from web servers: resumed when cut, never restarted.

Messages say no more than the public part of a URL; the exceptions of
requests and urllib3 hold all of it, so they are not chained (``from
None``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests
import urllib3

from ipa_partitions import urls
from ipa_partitions.errors import ImageError

CONNECT_S = 15
# Less than this much while we wait that long is a connection that stalls.
STALL_S = 60
STALL_BYTES = 64 * 1024

# Before each new attempt. Until something has arrived the address is more
# likely to be wrong than the network to be down: fewer attempts then.
WAITS_S = (0.5, 1, 2, 4, 8, 16, 16)
FIRST_WAITS = 3

REDIRECTS = 5

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class _BrokenError(Exception):
    """The connection failed, in a way that may pass."""


class HttpStream:
    """The body of one resource, in as many connections as it takes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._name = urls.public_url(url)
        self._session = requests.Session()
        self._session.max_redirects = REDIRECTS
        self._waits = iter(WAITS_S[:FIRST_WAITS])
        self._offset = 0
        self._waited_s = 0.0
        self._waited_at = 0
        self.size_bytes: int | None = None
        self._response: requests.Response | None = None
        while self._response is None:
            try:
                self._response = self._first()
            except _BrokenError as error:
                self._pause(error)

    def readinto(self, buffer: memoryview) -> int:
        """Read on; see ByteStream."""
        while True:
            try:
                if self._response is None:
                    self._response = self._next()
                data = self._read(self._response, len(buffer))
            except _BrokenError as error:
                self._pause(error)
                continue
            if not self._offset:
                self._waits = iter(WAITS_S)
            buffer[: len(data)] = data
            self._offset += len(data)
            return len(data)

    def read_at(self, offset: int, count: int) -> bytes | None:
        """Ask for a part; see RandomAccess."""
        last = offset + count - 1
        try:
            with self._get({"Range": f"bytes={offset}-{last}"}) as response:
                found = _CONTENT_RANGE.fullmatch(
                    response.headers.get("Content-Range", "")
                )
                if (
                    response.status_code != 206
                    or not found
                    or (int(found[1]), int(found[2])) != (offset, last)
                    or response.headers.get("ETag") != self._etag
                    or response.headers.get("Last-Modified") != self._modified
                ):
                    return None
                data: bytes = response.raw.read(count, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError, _BrokenError):
            return None
        return data if len(data) == count else None

    def close(self) -> None:
        """Close the connection."""
        self._session.close()
        if self._response is not None:
            self._response.close()

    def _read(self, response: requests.Response, count: int) -> bytes:
        started = time.monotonic()
        try:
            # One recv at most: read() would wait for all of count.
            data: bytes = response.raw.read1(count, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _BrokenError(_reason(error)) from None
        if not data and self._offset < (self.size_bytes or 0):
            raise _BrokenError("the server closed the connection")
        if self.size_bytes and self._offset + len(data) > self.size_bytes:
            raise ImageError(f"{self._name}: longer than the server said")
        self._waited_s += time.monotonic() - started
        if self._waited_s >= STALL_S:
            if self._offset - self._waited_at < STALL_BYTES and data:
                raise _BrokenError("the server stalls")
            self._waited_s, self._waited_at = 0.0, self._offset
        return data

    def _first(self) -> requests.Response:
        response = self._get({})
        if response.status_code != 200:
            raise self._refused(response)
        length = response.headers.get("Content-Length")
        if length is not None and length.isdecimal():
            self.size_bytes = int(length)
        elif not getattr(response.raw, "chunked", False):
            raise ImageError(
                f"{self._name}: the server does not say how long it is"
            )
        self._etag = response.headers.get("ETag")
        self._modified = response.headers.get("Last-Modified")
        return response

    def _next(self) -> requests.Response:
        headers = {"Range": f"bytes={self._offset}-"}
        if self._etag and not self._etag.startswith("W/"):
            headers["If-Range"] = self._etag
        response = self._get(headers)
        if response.status_code == 200:
            raise ImageError(
                f"{self._name}: the server ignores Range, or the image"
                f" changed, after {self._offset} bytes"
            )
        if response.status_code != 206:
            raise self._refused(response)
        found = _CONTENT_RANGE.fullmatch(
            response.headers.get("Content-Range", "")
        )
        if not found or int(found[1]) != self._offset:
            raise ImageError(f"{self._name}: the server sent another range")
        sizes = {"*", str(self.size_bytes)}
        if (
            (self.size_bytes is not None and found[3] not in sizes)
            or response.headers.get("ETag") != self._etag
            or response.headers.get("Last-Modified") != self._modified
        ):
            raise ImageError(f"{self._name}: changed while it was downloaded")
        return response

    def _get(self, headers: dict[str, str]) -> requests.Response:
        try:
            response = self._session.get(
                self._url,
                # Some servers unpack, or pack, what a hash was made of.
                headers={"Accept-Encoding": "identity", **headers},
                stream=True,
                timeout=(CONNECT_S, STALL_S),
            )
        except requests.exceptions.SSLError as error:
            raise ImageError(f"{self._name}: {_reason(error)}") from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _BrokenError(_reason(error)) from None
        except (requests.RequestException, ValueError) as error:
            raise ImageError(f"{self._name}: {_reason(error)}") from None
        schemes = [
            urlsplit(r.url).scheme for r in (*response.history, response)
        ]
        if schemes[0] == "https" and "http" in schemes:
            response.close()
            raise ImageError(f"{self._name}: redirects to plain http")
        return response

    def _refused(self, response: requests.Response) -> Exception:
        response.close()
        said = f"HTTP {response.status_code} {response.reason}"
        if response.status_code >= 500:
            return _BrokenError(said)
        return ImageError(f"{self._name}: {said}")

    def _pause(self, error: _BrokenError) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
        self._waited_s, self._waited_at = 0.0, self._offset
        wait_s = next(self._waits, None)
        if wait_s is None:
            at = f" after {self._offset} bytes" if self._offset else ""
            raise ImageError(f"{self._name}: {error}{at}, tried too often")
        time.sleep(wait_s)


def _reason(error: BaseException) -> str:
    """Say what went wrong, without the URL that may hold secrets."""
    *_, innermost = _causes(error)
    if isinstance(innermost, OSError) and not isinstance(
        innermost, requests.RequestException
    ):
        return innermost.strerror or str(innermost)
    if "IncompleteRead" in type(innermost).__name__:
        return "the connection ended"
    return type(innermost).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
