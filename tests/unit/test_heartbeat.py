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

"""Ironic is told how far a deployment is, and hinders it never."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import requests
from ironic_python_agent import errors

from ipa_partitions.extensions import heartbeat
from ipa_partitions.extensions.heartbeat import Teller, reported
from ipa_partitions.progress import Progress


class Ironic:
    """As much of the agent's API client as a heartbeat takes."""

    heartbeat_api = "/v1/heartbeat/{uuid}"
    agent_token = "t"

    def __init__(self, version=(1, 95), failure=None):
        self.version = version
        self.failure = failure
        self.heard = []

    def _get_ironic_api_version(self):
        return self.version

    def _get_agent_url(self, address, protocol):
        return f"{protocol}://{address[0]}:{address[1]}"

    def _get_ironic_api_version_header(self, version):
        return {"version": version}

    def _request(self, method, path, data, headers):
        self.heard.append((method, path, data, headers))
        if self.failure:
            raise self.failure
        return SimpleNamespace(status_code=202)


def agent_of(api):
    return SimpleNamespace(
        api_client=api,
        advertise_address=("192.0.2.1", 9999),
        advertise_protocol="https",
        generated_cert="PEM",
        get_node_uuid=lambda: "n-n",
    )


def messages(api):
    return [data["agent_status_message"] for _, _, data, _ in api.heard]


def test_a_heartbeat_has_what_the_agents_own_has_and_the_progress():
    api = Ironic()
    with reported(agent_of(api)) as listener:
        listener(Progress("write", 2, 9))
    method, path, data, headers = api.heard[-1]
    assert (method, path) == ("POST", "/v1/heartbeat/n-n")
    assert headers == {"version": (1, 72)}
    assert data.pop("agent_version")
    assert data == {
        "callback_url": "https://192.0.2.1:9999",
        "agent_token": "t",
        "agent_verify_ca": "PEM",
        "agent_status_message": "done, [2/9] write",
    }


def test_a_failure_is_told():
    api = Ironic()
    with pytest.raises(KeyError), reported(agent_of(api)) as listener:
        listener(Progress("write", 2, 9))
        raise KeyError
    assert messages(api)[-1] == "failed, [2/9] write"


@pytest.mark.parametrize("failure", [
    requests.exceptions.ConnectionError("no route"),
    errors.HeartbeatConflictError("locked"),
])  # fmt: skip
def test_an_ironic_that_does_not_answer_hinders_nothing(failure):
    api = Ironic(failure=failure)
    with reported(agent_of(api)) as listener:
        listener(Progress("write", 2, 9))
    assert api.heard


def test_an_older_ironic_is_told_nothing():
    api = Ironic(version=(1, 71))
    with reported(agent_of(api)) as listener:
        listener(Progress("write", 2, 9))
    assert api.heard == []


@pytest.mark.parametrize("agent", [None, agent_of(None)])
def test_without_an_ironic_nobody_is_told(agent):
    with reported(agent) as listener:
        listener(Progress("write", 2, 9))


def test_only_news_is_passed_on_and_only_once_in_a_while():
    heard = []
    both = threading.Event()

    def send(message):
        heard.append(message)
        if len(heard) == 2:
            both.set()

    teller = Teller(send, interval_s=0.01)
    thread = threading.Thread(target=teller.run)
    thread.start()
    teller(Progress("a" * 300, 1, 2))
    teller(Progress("a" * 300, 1, 2))
    while not heard:
        pass
    teller(Progress("b", 2, 2))
    assert both.wait(10)
    teller.end("done")
    thread.join()
    assert heard == [
        ("[1/2] " + "a" * 300)[: heartbeat._LIMIT], "[2/2] b", "done, [2/2] b"
    ]  # fmt: skip
