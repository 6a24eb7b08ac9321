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

"""Images from web servers: resumed when cut, never restarted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat

import requests
import urllib3

from ipa_partitions import urls
from ipa_partitions.errors import ImageError
from ipa_partitions.images.access import Access
from ipa_partitions.images.sources import patience
from ipa_partitions.images.sources.http import HttpStatusError
from ipa_partitions.images.sources.http_session import (
    BrokenError,
    Session,
    reason,
)
from ipa_partitions.images.sources.patience import Patience

# Before each new attempt. Until something has arrived the address is more
# likely to be wrong than the network to be down: few attempts then.
FIRST_WAITS_S = (0.5, 1, 2)
WAITS_S = (0.5, 1, 2, 4, 8, 16)

_UNAUTHORIZED = 401
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_LENGTH = re.compile(r"\d{1,19}")


class HttpStream:
    """The body of one resource, in as many connections as it takes.

    With ``first_bytes`` that many are asked for first, and the rest only
    when it is read: who looks at the start alone costs the server no more.
    ``renewed`` gives the keys once more where a server no longer takes them,
    of what that asks for (``WWW-Authenticate``).
    """

    def __init__(
        self,
        url: str,
        access: Access,
        headers: Mapping[str, str],
        first_bytes: int | None = None,
        renewed: Callable[[str], Access] | None = None,
    ) -> None:
        self._url = url
        self._name = urls.public_url(url)
        self._renewed = renewed
        self._session = Session(url, access)
        self._headers = headers
        self._waits = iter(FIRST_WAITS_S)
        self._offset = 0
        self._first_bytes = first_bytes
        self._part_end: int | None = None
        self._patience = Patience()
        self.size_bytes: int | None = None
        self._response: requests.Response | None = None
        while self._response is None:
            try:
                self._response = self._first()
            except BrokenError as error:
                self._pause(error)

    def readinto(self, buffer: memoryview) -> int:
        """Read on; see ByteStream."""
        while True:
            if self._offset == self._part_end:
                self._end_part()
                if self._offset == self.size_bytes:
                    return 0
            try:
                if self._response is None:
                    self._response = self._next()
                data = self._read(self._response, len(buffer))
            except BrokenError as error:
                self._pause(error)
                continue
            if self._patience.is_renewed or not self._offset:
                self._waits = _waits()
            buffer[: len(data)] = data
            self._offset += len(data)
            return len(data)

    def _end_part(self) -> None:
        self._part_end = None
        if self._response is not None:
            self._response.close()
            self._response = None

    def read_at(self, offset: int, count: int) -> bytes | None:
        """Ask for a part; see RandomAccess."""
        last = offset + count - 1
        try:
            headers = {**self._headers, "Range": f"bytes={offset}-{last}"}
            with self._session.get(headers, patience.STALL_S) as response:
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
                return _read_soon(response, count)
        except (urllib3.exceptions.HTTPError, OSError, BrokenError):
            return None

    def close(self) -> None:
        """Close the connection."""
        self._session.close()
        if self._response is not None:
            self._response.close()

    def _read(self, response: requests.Response, count: int) -> bytes:
        started = time.monotonic()
        data = b""
        try:
            # One recv at most: read() would wait for all of count.
            data = response.raw.read1(count, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise BrokenError(reason(error)) from None
        finally:
            self._patience.waited(time.monotonic() - started, len(data))
        if not data and self._offset < (self.size_bytes or 0):
            raise BrokenError("the server closed the connection")
        if self.size_bytes and self._offset + len(data) > self.size_bytes:
            raise ImageError(f"{self._name}: longer than the server said")
        if data and self._patience.is_stalled:
            raise BrokenError("the server stalls")
        return data

    def _first(self) -> requests.Response:
        headers = {}
        if self._first_bytes:
            headers["Range"] = f"bytes=0-{self._first_bytes - 1}"
        response = self._get(headers)
        part = _CONTENT_RANGE.fullmatch(
            response.headers.get("Content-Range", "")
        )
        if response.status_code == 206 and self._is_start(part):
            self._note_version(response)
            return response
        if self._first_bytes and response.status_code in (206, 416):
            # Nothing of that kind is there: an empty file has no part.
            response.close()
            self._first_bytes = None
            return self._first()
        if response.status_code != 200:
            raise self._refused(response)
        length = response.headers.get("Content-Length")
        if length is not None and _LENGTH.fullmatch(length):
            self.size_bytes = int(length)
        elif not getattr(response.raw, "chunked", False):
            raise ImageError(
                f"{self._name}: the server does not say how long it is"
            )
        self._note_version(response)
        return response

    def _is_start(self, part: re.Match[str] | None) -> bool:
        if not self._first_bytes or not part or part[3] == "*":
            return False
        end = int(part[2]) + 1
        if int(part[1]) or end > min(self._first_bytes, int(part[3])):
            return False
        self._part_end, self.size_bytes = end, int(part[3])
        return True

    def _note_version(self, response: requests.Response) -> None:
        self._etag = response.headers.get("ETag")
        self._modified = response.headers.get("Last-Modified")

    def _next(self) -> requests.Response:
        if not self._offset:
            before = self.size_bytes, self._etag, self._modified
            response = self._first()
            if before != (self.size_bytes, self._etag, self._modified):
                raise self._changed()
            return response
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
            raise self._changed()
        return response

    def _changed(self) -> ImageError:
        return ImageError(f"{self._name}: changed while it was downloaded")

    def _get(self, headers: dict[str, str]) -> requests.Response:
        response = self._ask(headers)
        # Who a server redirects to is not to say where our keys go.
        if response.status_code != _UNAUTHORIZED or response.history:
            return response
        if self._renewed:
            response.close()
            challenge = response.headers.get("WWW-Authenticate", "")
            self._renew(self._renewed, challenge)
            response = self._ask(headers)
        return response

    def _renew(self, renewed: Callable[[str], Access], challenge: str) -> None:
        try:
            access = renewed(challenge)
        except ImageError as error:
            if not self._offset:
                raise
            # Who gives them may be back before the patience is over.
            raise BrokenError(str(error)) from None
        self._session.close()
        self._session = Session(self._url, access)

    def _ask(self, headers: dict[str, str]) -> requests.Response:
        started = time.monotonic()
        try:
            return self._session.get(
                {**self._headers, **headers}, self._patience.timeout_s
            )
        finally:
            self._patience.waited(time.monotonic() - started)

    def _refused(self, response: requests.Response) -> Exception:
        response.close()
        status = response.status_code
        said = f"HTTP {status} {response.reason}"
        if status >= 500:
            return BrokenError(said)
        return HttpStatusError(
            f"{self._name}: {said}", status, response.headers
        )

    def _pause(self, error: BrokenError) -> None:
        """Wait before the next attempt; raises ImageError after the last."""
        self._end_part()
        self._patience.reconnect()
        at = f" after {self._offset} bytes" if self._offset else ""
        if self._patience.is_over:
            raise ImageError(
                f"{self._name}: {error}{at}, nothing came for"
                f" {patience.PATIENCE_S} s"
            )
        wait_s = next(self._waits, None)
        if wait_s is None:
            raise ImageError(f"{self._name}: {error}{at}, tried too often")
        wait_s = min(wait_s, self._patience.left_s)
        time.sleep(wait_s)
        self._patience.waited(wait_s)


def _read_soon(response: requests.Response, count: int) -> bytes | None:
    """Return ``count`` bytes, None if they take longer than one stall."""
    data = b""
    end_s = time.monotonic() + patience.STALL_S
    while len(data) < count and time.monotonic() < end_s:
        # One recv at most, which the connection's timeout bounds.
        piece = response.raw.read1(count - len(data), decode_content=False)
        if not piece:
            break
        data += piece
    return data if len(data) == count else None


def _waits() -> Iterator[float]:
    # The last wait again and again: patience has an end of its own.
    return chain(WAITS_S, repeat(WAITS_S[-1]))
