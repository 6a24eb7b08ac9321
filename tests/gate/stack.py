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

"""Ironic, sushy-tools and libvirt, as processes of the test."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from tests.gate import artefacts, places, settings

BIN = Path(sys.executable).parent
DISK_BYTES = 8 << 30
FOLDERS = (
    "log/deploy", "state/sushy", "pool", "tmp", "http", "images",
    "master/instance", "master/tftp", "certs",
)  # fmt: skip
LIBVIRT = "qemu:///system"


@contextmanager
def running() -> Iterator[None]:
    """Run everything until the block ends; the node is not enrolled yet."""
    for folder in FOLDERS:
        (places.STATE / folder).mkdir(parents=True, exist_ok=True)
    _write_settings()
    blank_disk()
    _ran("ironic-dbsync", "--config-file", _file("ironic.conf"),
         "create_schema")  # fmt: skip
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with _served():
            for name, argv in _services():
                processes.append(_started(name, argv))
                if name == "libvirtd":
                    until("libvirt answers", lambda: virsh("version"))
                    _define_machine()
            until("redfish answers", _answers(f"{places.REDFISH}/redfish/v1/"))
            until("ironic answers", _answers(f"{places.API}/v1/drivers"))
            yield
    finally:
        with suppress(subprocess.CalledProcessError):
            virsh("destroy", places.NODE)
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


def _services() -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "libvirtd", (
        "libvirtd", "--config", _file("libvirtd.conf"),
        "--pid-file", _file("libvirtd.pid"),
    )  # fmt: skip
    yield "sushy", (
        f"{BIN}/sushy-emulator", "--config", _file("sushy.conf"),
    )  # fmt: skip
    yield "ironic", (f"{BIN}/ironic", "--config-file", _file("ironic.conf"))


def _write_settings() -> None:
    made = artefacts.Artefacts.from_environment()
    for name, text in (
        ("ironic.conf", settings.ironic(made)),
        ("sushy.conf", settings.sushy()),
        ("libvirtd.conf", settings.libvirtd()),
        ("domain.xml", settings.domain()),
        ("grub.template", settings.GRUB),
    ):
        Path(_file(name)).write_text(text)


def _define_machine() -> None:
    # sushy-tools puts virtual media into the pool of this name.
    virsh("pool-define-as", "default", "dir", "--target", _file("pool"))
    virsh("pool-start", "default")
    virsh("define", _file("domain.xml"))


def blank_disk() -> None:
    """Give the machine, which must be off, a disk of zeros."""
    with places.DISK.open("wb") as disk:
        disk.truncate(DISK_BYTES)


def virsh(*argv: str) -> str:
    """Return what libvirt's shell prints; CalledProcessError if it fails."""
    return subprocess.run(
        ["virsh", "--quiet", "--connect", LIBVIRT, *argv],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def until(what: str, is_so: Callable[[], Any], timeout_s: float = 300) -> Any:
    """Wait for something true and return it; fail after ``timeout_s``."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with suppress(requests.RequestException, subprocess.SubprocessError):
            if found := is_so():
                return found
        time.sleep(0.3)
    raise AssertionError(f"not within {timeout_s:.0f} s: {what}")


def _answers(url: str) -> Callable[[], bool]:
    return lambda: requests.get(url, timeout=10).ok


@contextmanager
def _served() -> Iterator[None]:
    """Serve the folder that Ironic puts its images into."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """Say nothing."""

    handler = functools.partial(Handler, directory=str(places.HTTP))
    server = http.server.ThreadingHTTPServer(
        ("0.0.0.0", places.HTTP_PORT), handler
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _file(name: str) -> str:
    return str(places.STATE / name)


def _ran(name: str, *argv: str) -> None:
    subprocess.run([BIN / name, *argv], check=True, capture_output=True)


def _started(name: str, argv: tuple[str, ...]) -> subprocess.Popen[bytes]:
    with (places.LOGS / f"{name}.out").open("ab") as log:
        return subprocess.Popen(
            argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
