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

"""The part of the rig that runs in the test machine: a plugin of pytest.

Everything is imported once; then each test that is asked for runs in a
process forked for it, with a limited time, and what it leaves is cleared.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import select
import signal
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import pytest
from _pytest.runner import runtestprotocol

from tests.vm import leftovers
from tests.vm.machine import PORT

SYSRQ = Path("/proc/sysrq-trigger")
LINKS = Path("/dev/disk/by-id")
DISK_TIMEOUT_S = 120

_disks: tuple[str, ...] = ()


@pytest.fixture
def disks() -> tuple[str, ...]:
    """Return the fresh disks that the mark of the test asks for."""
    return _disks


def failed(item: pytest.Item, problem: str, when: str = "call") -> Any:
    """Return the report of a test that could not report itself."""
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=problem,
        when=when,  # type: ignore[arg-type]
    )


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run what is asked for, until nobody asks any more."""
    items = {item.nodeid: item for item in session.items}
    before = leftovers.Before.now()
    with (
        Path("/dev/virtio-ports", PORT).open("r+b", buffering=0) as raw,
        io.BufferedRWPair(raw, raw) as port,
    ):
        _send(port, {"up": True})
        while line := port.readline():
            request = json.loads(line)
            if request:
                _send(port, _answer(items, before, **request))
            else:
                _send(port, {"stuck": before.cleared(but_disks=False)})
    return True


def _send(port: io.BufferedIOBase, message: object) -> None:
    port.write(json.dumps(message).encode() + b"\n")
    port.flush()


def _answer(
    items: dict[str, pytest.Item],
    before: leftovers.Before,
    test: str,
    serials: list[str],
    timeout_s: float,
) -> dict[str, Any]:
    global _disks
    item = items[test]
    _disks = tuple(_device(serial) for serial in serials)
    reports = _run_forked(item, timeout_s)
    left = before.left()
    if left and all(report["outcome"] == "passed" for report in reports):
        reports.append(_plain(item, failed(item, "\n".join(left), "teardown")))
    before.cleared(but_disks=True)
    return {"reports": reports}


def _device(serial: str) -> str:
    """Return the disk with this serial number, once udev knows it."""
    until = time.monotonic() + DISK_TIMEOUT_S
    while time.monotonic() < until:
        for link in LINKS.glob(f"*_{serial}"):
            return str(link.resolve())
        time.sleep(0.01)
    raise AssertionError(f"{serial}: no such disk appeared")


def _plain(item: pytest.Item, report: Any) -> dict[str, Any]:
    """Return a report as JSON has it."""
    hook = item.config.hook.pytest_report_to_serializable
    return dict(hook(config=item.config, report=report))


def _run_forked(item: pytest.Item, timeout_s: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryFile("w+") as traces:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                faulthandler.dump_traceback_later(timeout_s, file=traces)
                _run_here(item, writer)
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            told = _line(pipe.fileno(), timeout_s + 2)
        if not told:
            SYSRQ.write_text("w")  # what hangs in the kernel: to the console
        os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if told:
            return list(json.loads(told))
        return [_plain(item, _died(item, status, traces))]


def _died(item: pytest.Item, status: int, traces: IO[str]) -> Any:
    """Return the report of a test that ended without one."""
    capture: Any = item.config.pluginmanager.getplugin("capturemanager")
    traces.seek(0)
    report = failed(
        item, f"status {status}; a limit ends with\n{traces.read()}"
    )
    output = zip(
        ("stdout", "stderr"), capture.read_global_capture(), strict=True
    )
    report.sections = [section for section in output if section[1]]
    return report


def _run_here(item: pytest.Item, writer: int) -> None:
    with tempfile.TemporaryDirectory(prefix="test-") as scratch:
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        reports = runtestprotocol(item, log=False)
        if left := [path.name for path in Path(scratch).iterdir()]:
            reports.append(failed(item, f"left files: {left}", "teardown"))
        plain = [_plain(item, report) for report in reports]
        with os.fdopen(writer, "w") as pipe:
            pipe.write(json.dumps(plain, default=str) + "\n")


def _line(descriptor: int, timeout_s: float) -> bytes:
    """Return a line, or nothing if none is complete in time."""
    until = time.monotonic() + timeout_s
    text = b""
    while not text.endswith(b"\n"):
        wait_s = max(until - time.monotonic(), 0)
        if not select.select([descriptor], [], [], wait_s)[0]:
            return b""
        received = os.read(descriptor, 65536)
        if not received:
            return b""
        text += received
    return text
