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

"""One stack, one node and one server of images for all stories."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import servers, systems
from tests.gate import places, stack
from tests.gate.node import Console, Node, enrolled


@pytest.fixture(scope="session")
def enrolled_node() -> Iterator[Node]:
    """Start everything; keep what tells of a failure when it ends."""
    started = time.monotonic()
    with stack.running():
        node = enrolled()
        seconds = time.monotonic() - started
        print(f"\n   {seconds:5.0f} s  Ironic is up, its node available")
        yield node
        with suppress(OSError):
            (places.LOGS / "history.json").write_text(
                json.dumps(node.history(), indent=2)
            )


@pytest.fixture
def node(enrolled_node: Node) -> Node:
    """Return the node, available: what was deployed before is gone."""
    enrolled_node.available()
    return enrolled_node


@pytest.fixture
def console() -> Console:
    """Return the serial port, empty."""
    return Console()


@pytest.fixture
def images(tmp_path: Path) -> Iterator[servers.Server]:
    """Serve the systems on lo, which the machine calls 10.0.2.2."""
    for system in (systems.debian_12(), systems.debian_13()):
        (tmp_path / system.path.name).symlink_to(system.path)
    with servers.http_server(tmp_path) as server:
        server.url = server.url.replace("127.0.0.1", places.HOST)
        yield server


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the evidence is."""
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(
            f"Consoles, logs and the node's history: {places.LOGS}"
        )
