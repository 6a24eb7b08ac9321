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

"""Images from a web server that misbehaves."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ipa_partitions.errors import ImageError
from ipa_partitions.images import magic, sources, stream
from ipa_partitions.images.access import ANYBODY, Access, basic
from ipa_partitions.images.image import Image
from ipa_partitions.images.sources import http_session, patience
from ipa_partitions.images.sources import http_stream as http
from tests.servers import Faults, Server, http_server, self_signed

DATA = random.Random(2).randbytes(3_000_000)


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setattr(http, "FIRST_WAITS_S", (0, 0.01))
    monkeypatch.setattr(http, "WAITS_S", (0, 0.01, 0.01, 0.01, 0.1))
    monkeypatch.setattr(patience, "PATIENCE_S", 10)
    monkeypatch.setattr(http_session, "RAMDISK", tmp_path)
    (tmp_path / "served").mkdir()
    (tmp_path / "served/x y.raw").write_bytes(DATA)
    with http_server(tmp_path / "served") as server:
        yield server


def download(url: str, access: Access = ANYBODY) -> bytes:
    data = bytearray()
    buffer = memoryview(bytearray(100_000))
    with sources.opened(url, access) as stream:
        while count := stream.readinto(buffer):
            data += buffer[:count]
    return bytes(data)


@pytest.mark.parametrize(("faults", "ranges"), [
    (Faults(), [""]),
    (Faults(is_chunked=True), [""]),
    (Faults(statuses=[503, 500]), ["", "", ""]),
    (Faults(cuts=[1000]), ["", "bytes=1000-"]),
    (Faults(cuts=[1000, 0, 0, 5]),
     ["", "bytes=1000-", "bytes=1000-", "bytes=1000-", "bytes=1005-"]),
    (Faults(cuts=[1000], statuses=[0, 502]),
     ["", "bytes=1000-", "bytes=1000-"]),
    (Faults(cuts=[8192], is_chunked=True), ["", "bytes=8192-"]),
    (Faults(cuts=[2_999_999]), ["", "bytes=2999999-"]),
])  # fmt: skip
def test_a_broken_download_is_resumed_where_it_broke(
    server: Server, faults: Faults, ranges: list[str]
) -> None:
    server.faults = faults
    assert download(f"{server.url}/x%20y.raw") == DATA
    assert [r.get("range", "") for r in server.requests] == ranges
    for request in server.requests[1:]:
        assert ("if-range" in request) == ("range" in request)


@pytest.mark.parametrize(("faults", "requests", "problem"), [
    (Faults(statuses=[404]), 1, "HTTP 404"),
    (Faults(statuses=[401]), 1, "HTTP 401"),
    (Faults(statuses=[429]), 1, "HTTP 429"),
    (Faults(statuses=[503] * 9), 3, "HTTP 503 .*, tried too often"),
    (Faults(cuts=[9], ignores_range=True), 2, "ignores Range"),
    (Faults(cuts=[9], other_range=True), 2, "sent another range"),
    (Faults(cuts=[9], changes=True), 2, "changed while"),
    (Faults(cuts=[9], statuses=[0, 416]), 2, "HTTP 416"),
    (Faults(has_no_length=True), 1, "does not say how long"),
    (Faults(location="/x%20y.raw"), 6, "TooManyRedirects"),
    (Faults(location="ftp://127.0.0.1/x"), 1, "InvalidSchema"),
])  # fmt: skip
def test_what_cannot_be_trusted_fails_and_shows_no_secret(
    server: Server, faults: Faults, requests: int, problem: str
) -> None:
    server.faults = faults
    url = server.url.replace("//", "//user:hunter2@") + "/x%20y.raw?t=hunter2"
    with pytest.raises(ImageError, match=problem) as raised:
        download(url)
    assert str(raised.value).startswith(f"{server.url}/x%20y.raw: ")
    assert "hunter2" not in str(raised.value)
    assert len(server.requests) == requests


def test_what_a_redirect_says_is_not_read(server: Server) -> None:
    sent: list[int] = []
    location = f"{server.url}/x%20y.raw"

    def redirect() -> None:
        connection, _ = listening.accept()
        with connection, suppress(ConnectionError):
            connection.recv(65536)
            connection.sendall(
                f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n"
                f"Content-Length: {2**40}\r\n\r\n".encode()
            )
            while sum(sent) < 2**30:
                sent.append(connection.send(bytes(2**20)))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=redirect)
        thread.start()
        got = download(f"http://127.0.0.1:{listening.getsockname()[1]}/x")
        thread.join()
    assert got == DATA
    # No more than buffers hold.
    assert sum(sent) < 2**26


def test_a_handshake_that_is_cut_is_tried_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with (
        http_server(server.folder, certificate) as secure,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        port = int(secure.url.rpartition(":")[2])

        def balance() -> None:
            hasty, _ = listening.accept()
            with hasty:
                # Closed with nothing unread, it ends and is not reset.
                hasty.recv(65536)
            client, _ = listening.accept()
            with (
                client,
                socket.create_connection(("127.0.0.1", port)) as behind,
            ):
                threads = [
                    threading.Thread(target=relay, args=pair)
                    for pair in ((client, behind), (behind, client))
                ]
                for each in threads:
                    each.start()
                for each in threads:
                    each.join()

        thread = threading.Thread(target=balance)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/x%20y.raw"
        assert download(url) == DATA
        thread.join()


def relay(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("cut", [0, 9, 1_000_000])
def test_a_server_that_stalls_for_good_ends_in_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr(patience, "STALL_S", 0.3)
    monkeypatch.setattr(patience, "PATIENCE_S", 1)
    server.faults = Faults(cuts=[cut, *[0] * 99], stall_s=2)
    started = time.monotonic()
    with pytest.raises(ImageError, match=r"nothing came|too often"):
        download(f"{server.url}/x%20y.raw")
    assert time.monotonic() - started < 5
    assert len(server.requests) < 20


def test_a_trickle_ends_in_an_error_and_steps_forward_do_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "STALL_S", 0.3)
    monkeypatch.setattr(patience, "PATIENCE_S", 1.5)
    server.faults = Faults(cuts=[300_000] * 9, stall_s=0.5)
    assert download(f"{server.url}/x%20y.raw") == DATA
    server.faults = Faults(cuts=[9] * 99, stall_s=0.2)
    with pytest.raises(ImageError, match="nothing came for"):
        download(f"{server.url}/x%20y.raw")


def test_a_server_that_stalls_is_left_and_asked_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "STALL_S", 1)
    server.faults = Faults(cuts=[1000], stall_s=5)
    assert download(f"{server.url}/x%20y.raw") == DATA
    assert len(server.requests) == 2


def test_nobody_listening_is_told_without_the_query(
    server: Server,
) -> None:
    with pytest.raises(ImageError) as raised:
        download("http://127.0.0.1:1/x?token=hunter2")
    assert str(raised.value) == (
        "http://127.0.0.1:1/x: Connection refused, tried too often"
    )


def test_certificates_are_verified_and_https_stays_https(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    with http_server(server.folder, certificate) as secure:
        url = f"{secure.url}/x%20y.raw"
        with pytest.raises(ImageError, match="certificate verify failed"):
            download(url)
        monkeypatch.setenv(
            "REQUESTS_CA_BUNDLE", str(certificate.with_suffix(".crt"))
        )
        secure.faults.cuts = [1000]
        assert download(url) == DATA
        secure.faults.location = f"{server.url}/x%20y.raw"
        with pytest.raises(ImageError, match="redirects to plain http"):
            download(url)


def test_the_ramdisk_has_who_is_trusted_and_who_we_are(
    server: Server, tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path)
    with http_server(server.folder, certificate, certificate) as secure:
        url = f"{secure.url}/x%20y.raw"
        with pytest.raises(ImageError, match="certificate verify failed"):
            download(url)
        (tmp_path / "ca.pem").symlink_to(certificate)
        with pytest.raises(ImageError):
            download(url)
        (tmp_path / "client.crt").symlink_to(certificate)
        (tmp_path / "client.key").symlink_to(certificate)
        assert download(url) == DATA
        missing = str(tmp_path / "missing")
        with pytest.raises(ImageError, match=r"x%20y\.raw: .*missing"):
            download(url, Access(ca_file=missing))
        for name in ("ca.pem", "client.crt", "client.key"):
            (tmp_path / name).unlink()
        pair = (str(certificate), str(certificate))
        access = Access(ca_file=str(certificate), client=pair)
        assert download(url, access) == DATA


@pytest.mark.parametrize(("access", "netrc", "user", "sent"), [
    (ANYBODY,                "",        "",       None),
    (Access("Bearer token"), "",        "",       "Bearer token"),
    (Access("Bearer token"), "default", "u:pw@",  "Bearer token"),
    (ANYBODY,                "default", "u:pw@",  basic("u", "pw")),
    (ANYBODY,                "default", "",       basic("n", "secret")),
    (ANYBODY,                "machine 127.0.0.1", "", basic("n", "secret")),
    (ANYBODY,                "machine other",     "", None),
])  # fmt: skip
def test_a_server_is_told_who_we_are(
    server: Server, tmp_path: Path, access: Access, netrc: str,
    user: str, sent: str | None,
) -> None:  # fmt: skip
    if netrc:
        file = tmp_path / "netrc"
        file.write_text(f"{netrc} login n password secret\n")
    url = server.url.replace("//", f"//{user}") + "/x%20y.raw"
    server.faults.cuts = [1000]
    assert download(url, access) == DATA
    told = [request.get("authorization") for request in server.requests]
    assert told == [sent, sent]


def test_a_broken_netrc_is_told_without_what_is_in_it(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine a login b hunter2 hunter2")
    with pytest.raises(ImageError, match="netrc: NetrcParseError") as raised:
        download(f"{server.url}/x%20y.raw")
    assert "hunter2" not in str(raised.value)


def test_another_server_is_not_told_who_we_are(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    with http_server(tmp_path / "elsewhere") as first:
        (first.folder / "x%20y.raw").write_bytes(b"")
        (first.folder / "x y.raw").write_bytes(b"")
        first.faults.location = f"{server.url}/x%20y.raw"
        got = download(f"{first.url}/x%20y.raw", Access("Bearer token"))
    assert got == DATA
    assert first.requests[0]["authorization"] == "Bearer token"
    assert "authorization" not in server.requests[0]


def test_where_our_keys_go_is_not_for_a_redirect_to_say(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    asked: list[str] = []

    def renewed(challenge: str) -> Access:
        asked.append(challenge)
        return ANYBODY

    with http_server(tmp_path / "elsewhere") as first:
        first.faults.location = f"{server.url}/x%20y.raw"
        server.faults.statuses = [401]
        with pytest.raises(ImageError, match="HTTP 401"):
            http.HttpStream(f"{first.url}/x", ANYBODY, {}, renewed=renewed)
        assert asked == []
        first.faults = Faults(statuses=[401])
        first.folder.joinpath("x").write_bytes(b"x")
        http.HttpStream(f"{first.url}/x", ANYBODY, {}, renewed=renewed).close()
        assert asked == [""]


@pytest.mark.parametrize(("faults", "count", "ranges"), [
    (Faults(),                   1000, ["bytes=0-999", "bytes=1000-"]),
    (Faults(ignores_range=True), 1000, ["bytes=0-999"]),
    (Faults(statuses=[416]),     1000, ["bytes=0-999", ""]),
    (Faults(cuts=[10]),          1000, ["bytes=0-999", "bytes=10-"]),
    (Faults(),              len(DATA), [f"bytes=0-{len(DATA) - 1}"]),
])  # fmt: skip
def test_the_start_is_asked_for_alone_and_the_rest_if_it_is_read(
    server: Server, faults: Faults, count: int, ranges: list[str]
) -> None:
    server.faults = faults
    url = f"{server.url}/x%20y.raw"
    with sources.opened(url, ANYBODY, count) as stream:
        assert stream.size_bytes == len(DATA)
        assert sources.read_rest(stream, 10**9, url) == DATA
    assert [r.get("range", "") for r in server.requests] == ranges


def test_who_looks_at_the_start_asks_for_no_more(server: Server) -> None:
    server.faults.is_chunked = False
    image = Image("x", f"{server.url}/x%20y.raw", "raw")
    assert stream.peek(image).head == DATA[: magic.HEAD_BYTES]
    last = stream.START_BYTES - 1
    assert [r["range"] for r in server.requests] == [f"bytes=0-{last}"]


@pytest.mark.parametrize(("environment", "access", "proxied"), [
    ({},      ANYBODY, False),
    ({"http_proxy": ""}, ANYBODY, True),
    ({"http_proxy": "", "no_proxy": "127.0.0.0/8"}, ANYBODY, False),
    ({},      Access(proxies=(("http", ""),)), True),
    ({},      Access(proxies=(("http", ""),), no_proxy="127.0.0.1"), False),
    ({},      Access(proxies=(("http", ""),), no_proxy="other"), True),
    ({"http_proxy": ""}, Access(no_proxy="127.0.0.1"), False),
])  # fmt: skip
def test_proxies_are_those_of_the_document_or_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str], access: Access, proxied: bool,
) -> None:  # fmt: skip
    with http_server(server.folder) as proxy:
        for name, value in environment.items():
            monkeypatch.setenv(name, value or proxy.url)
        pairs = tuple((scheme, proxy.url) for scheme, _ in access.proxies)
        url = f"{server.url}/x%20y.raw"
        assert download(url, replace(access, proxies=pairs)) == DATA
        assert [r["path"] for r in proxy.requests] == [url] * proxied
        assert len(server.requests) == (not proxied)


def test_an_unknown_scheme_names_those_that_are_known() -> None:
    with pytest.raises(ImageError, match=r"no source for ftp, .*file.*http"):
        download("ftp://127.0.0.1/x")
