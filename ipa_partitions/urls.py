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

"""URLs of images: which source serves them, and what a log may say."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

HINT = (
    "http(s)://, file:///, rsync://host/module/path, host::module/path,"
    " user@host:path, oci:// or catalog:os/release"
)

_WITH_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Of bounded length or possessive: what is searched may be made to be slow.
_IN_TEXT = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s'\"]*[^\s'\",.:;)]\.*"
)
_LOGIN_IN_TEXT = re.compile(
    r"(?:(?<![^\s'\"])|(?<=//))[^\s'\"/@:]++:[^\s'\"/@]*+@"
)
_RSYNC_MODULE = re.compile(
    r"(?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9_.-]*::[^:/-][^:]*"
)
# As the specification of the registries' API has them.
OCI_PATH = re.compile(
    r"/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_CATALOG = re.compile(r"catalog:[A-Za-z0-9.-]+(?:/[A-Za-z0-9._-]+){1,2}")
_SSH = re.compile(r"[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:[^:].*")


def public_url(url: str) -> str:
    """Return ``url`` without user, password, query and fragment.

    For every log, message and plan: those parts may be secrets.
    """
    if not _WITH_SCHEME.match(url):
        host, colon, path = url.partition("?")[0].partition(":")
        if "@" not in host and not path.startswith(":"):
            # No URL of an image, unless that is a user with a password.
            path = path.rpartition("@")[2]
        return host.rpartition("@")[2] + colon + path
    try:
        parts = urlsplit(url)
        _ = parts.port  # what is none may be a piece of a password
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return url.partition(":")[0] + "://..."
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def public_text(text: str) -> str:
    """Return ``text`` with what ``public_url`` leaves of the URLs in it."""
    text = _IN_TEXT.sub(lambda url: public_url(url[0]), text)
    return _LOGIN_IN_TEXT.sub("", text)


def url_scheme(url: str) -> str:
    """Return the name of the source that serves ``url``.

    rsync's short form ``host::module`` is ``rsync``, ``user@host:path`` is
    ``ssh``. Raises ValueError for what is no URL of an image.
    """
    if not url.isprintable() or " " in url or url.startswith("-"):
        raise ValueError("is empty, or has a space or control character")
    if _WITH_SCHEME.match(url):
        return _checked_scheme(url)
    for pattern, scheme in (
        (_CATALOG, "catalog"),
        (_RSYNC_MODULE, "rsync"),
        (_SSH, "ssh"),
    ):
        if pattern.fullmatch(url):
            return scheme
    raise ValueError(f"{public_url(url)!r} is not one of {HINT}")


def _checked_scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # What it says may hold the user and the password.
        raise ValueError("its host or port cannot be read") from None
    scheme = parts.scheme.lower()
    if scheme in ("catalog", "ssh"):  # they have no slashes
        raise ValueError(f"{public_url(url)!r} is not one of {HINT}")
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ValueError(f"{public_url(url)!r} names a host")
        if not parts.path.startswith("/") or parts.query or parts.fragment:
            raise ValueError(f"{public_url(url)!r} is not file:///path")
    elif not parts.hostname or parts.hostname.startswith("-"):
        raise ValueError(f"{public_url(url)!r} names no host")
    elif scheme == "rsync" and not parts.path.strip("/"):
        raise ValueError(f"{public_url(url)!r} names no module")
    elif scheme == "rsync" and parts.password is not None:
        # rsync takes none from there, and would have it on its command line.
        raise ValueError(f"{public_url(url)!r} has a password")
    elif scheme == "oci" and (
        not OCI_PATH.fullmatch(parts.path) or parts.query or parts.fragment
    ):
        raise ValueError(
            f"{public_url(url)!r} is not oci://host/repository[:tag][@digest]"
        )
    return scheme


def is_web_url(url: str) -> bool:
    """Tell whether ``url`` can be asked for over http or https."""
    try:
        return url_scheme(url) in ("http", "https")
    except ValueError:
        return False


def url_path(url: str) -> str:
    """Return the path of ``url``, without query, for its suffixes."""
    if not _WITH_SCHEME.match(url):
        return url
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
