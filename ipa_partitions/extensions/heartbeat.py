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

"""Tell Ironic how far a deployment is: a heartbeat with a status message.

It is shown as ``driver_internal_info["agent_status_message"]`` of the node,
since version 1.72 of Ironic's API, whichever deploy interface the node has.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ironic_python_agent import errors, version

from ipa_partitions.progress import Listener, Progress
from ipa_partitions.show.as_progress import told

LOG = logging.getLogger(__name__)

# https://docs.openstack.org/ironic/latest/contributor/webapi-version-history
_API_VERSION = (1, 72)

# Each takes the node's lock in the conductor for a moment.
_INTERVAL_S = 10.0

# What Ironic keeps of a node has a limit, and so has a person's patience.
_LIMIT = 250


@contextmanager
def reported(agent: Any) -> Iterator[Listener]:
    """Yield a listener whose news Ironic is told now and then.

    Without an agent, or with one that has no Ironic, nobody is told. A
    conductor that does not answer hinders nothing.
    """
    if agent is None or not getattr(agent, "api_client", None):
        yield lambda _progress: None
        return
    teller = Teller(lambda message: _send(agent, message))
    thread = threading.Thread(
        target=teller.run, name="ipa-partitions-progress", daemon=True
    )
    thread.start()
    try:
        yield teller
    except BaseException:
        teller.end("failed")
        raise
    else:
        teller.end("done")
    finally:
        thread.join()


class Teller:
    """Keeps the last thing heard, and passes it on once in a while."""

    def __init__(
        self,
        send: Callable[[str], None],
        interval_s: float = _INTERVAL_S,
    ) -> None:
        """Give messages to ``send``, in the thread that calls ``run``."""
        self._send = send
        self._interval_s = interval_s
        self._last: Progress | None = None
        self._sent = ""
        self._ending = ""
        self._end = threading.Event()
        self._news = threading.Event()

    def __call__(self, progress: Progress) -> None:
        """Hear of ``progress``; returns at once."""
        self._last = progress
        self._news.set()

    def end(self, word: str) -> None:
        """Make ``run`` return, after it has passed on ``word``."""
        self._ending = word
        self._end.set()
        self._news.set()

    def run(self) -> None:
        """Pass on what is heard, until ``end``."""
        self._news.wait()
        while not self._end.is_set():
            self._tell(told(self._last) if self._last else "")
            self._end.wait(self._interval_s)
        of = f", {told(self._last)}" if self._last else ""
        self._tell(f"{self._ending}{of}")

    def _tell(self, message: str) -> None:
        message = message[:_LIMIT]
        if message != self._sent:
            self._sent = message
            self._send(message)


def _send(agent: Any, message: str) -> None:
    """Send what the agent's own heartbeat has, and ``message``."""
    api = agent.api_client
    try:
        if api._get_ironic_api_version() < _API_VERSION:
            return
        data = {
            "callback_url": api._get_agent_url(
                agent.advertise_address, agent.advertise_protocol
            ),
            "agent_token": api.agent_token,
            "agent_version": version.__version__,
            "agent_status_message": message,
        }
        if agent.generated_cert:
            data["agent_verify_ca"] = agent.generated_cert
        response = api._request(
            "POST",
            api.heartbeat_api.format(uuid=agent.get_node_uuid()),
            data=data,
            headers=api._get_ironic_api_version_header(_API_VERSION),
        )
        LOG.debug("Progress told to Ironic: %s", response.status_code)
    except (OSError, errors.RESTError) as error:
        LOG.debug("Progress not told to Ironic: %s", error)
