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


"""A real Ironic Python Agent, on this machine's loopback only.

It has no conductor, so it never looks up a node nor sends a heartbeat; it
serves its REST API, and wants a token, as in a ramdisk.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

START_TIMEOUT_S = 60
# What a request may take that waits for a deployment.
TIMEOUT_S = 900

CONFIG = """[DEFAULT]
listen_host = 127.0.0.1
listen_port = {port}
advertise_host = 127.0.0.1
advertise_port = {port}
agent_token = {token}
enable_auto_tls = false
debug = true
[mdns]
use_mdns = false
"""


@dataclass(frozen=True)
class Agent:
    """The agent that runs: its address, its token, and where it logs."""

    url: str
    token: str
    log: Path

    def post(
        self,
        name: str,
        params: Mapping[str, Any],
        wait: bool = True,
        token: str | None = None,
    ) -> requests.Response:
        """Send a command; with ``wait`` the answer comes when it is done."""
        with _session() as session:
            return session.post(
                f"{self.url}/v1/commands/",
                params={
                    "agent_token": token or self.token,
                    "wait": str(wait).lower(),
                },
                json={"name": name, "params": params},
                timeout=TIMEOUT_S,
            )

    def get(self, path: str, token: str | None = None) -> requests.Response:
        """Read ``path`` of the API, such as ``commands/``."""
        with _session() as session:
            return session.get(
                f"{self.url}/v1/{path}",
                params={"agent_token": token or self.token},
                timeout=TIMEOUT_S,
            )

    def command(
        self, name: str, params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run a command to its end and return what it is then.

        Raises requests.HTTPError if the agent does not take it.
        """
        response = self.post(name, params or {})
        response.raise_for_status()
        return dict(response.json())

    def follow(
        self,
        name: str,
        params: Mapping[str, Any],
        watch: Callable[[dict[str, Any]], None],
        every_s: float = 0.2,
    ) -> dict[str, Any]:
        """Run a command as ``command`` does, and ``watch`` its progress."""
        until = time.monotonic() + TIMEOUT_S
        response = self.post(name, params, wait=False)
        response.raise_for_status()
        command = response.json()
        while command["command_status"] == "RUNNING":
            assert time.monotonic() < until, f"{name} does not end"
            progress = (command["command_result"] or {}).get("progress")
            if progress:
                watch(progress)
            time.sleep(every_s)
            command = self.get(f"commands/{command['id']}").json()
        return dict(command)


def _session() -> requests.Session:
    session = requests.Session()
    # A proxy of the environment does not lead to this machine.
    session.trust_env = False
    return session


@contextmanager
def running(
    folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Agent]:
    """Start an agent that keeps its files in ``folder``; stop it after."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    config = folder / "ipa.conf"
    config.write_text(CONFIG.format(port=port, token=token))
    agent = Agent(f"http://127.0.0.1:{port}", token, folder / "ipa.log")
    program = Path(sys.executable).with_name("ironic-python-agent")
    with agent.log.open("wb") as log:
        process = subprocess.Popen(
            [str(program), "--config-file", str(config)],
            env=os.environ | (environment or {}),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            # A group of its own, so that all it started ends with it.
            start_new_session=True,
        )
        try:
            _wait_until_up(process, agent)
            yield agent
        finally:
            _stop(process)


def _wait_until_up(process: subprocess.Popen[bytes], agent: Agent) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < until:
        try:
            agent.get("status").raise_for_status()
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    tail = "\n".join(agent.log.read_text().splitlines()[-20:])
    raise AssertionError(f"the agent did not start:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=10)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
