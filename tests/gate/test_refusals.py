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

"""Story (e): a bad document is refused while the node is still off."""

from __future__ import annotations

import pytest

from tests.gate import documents
from tests.gate.node import Console, Node, Refused, api, step

BAD = documents.bad("http://images.invalid")


@pytest.fixture
def ours(node: Node) -> Node:
    """Return the node, available, with our deploy interface, off."""
    node.set(deploy_interface="partitions")
    if node.shown()["power_state"] != "power off":
        node.power("power off")
    return node


@pytest.mark.parametrize("where", [
    {"instance_info": {"image_info": BAD}},
    {"extra": {"default_image_info": BAD}},
])  # fmt: skip
def test_e_a_bad_document_of_the_node_is_refused_at_once(
    ours: Node, console: Console, where: dict
):
    ours.set(**where)
    with pytest.raises(Refused) as refused:
        ours.deploy()
    reason = api("GET", f"/v1/nodes/{ours.uuid}/validate")["deploy"]
    assert reason["result"] is False
    for path in documents.PATHS:
        assert path in refused.value.text
        assert path in reason["reason"]
    stays_off(ours, console, "available")


def test_e_a_bad_document_of_a_step_fails_before_the_power_is_on(
    ours: Node, console: Console
):
    ours.provision(
        "active", "deploy failed", 600,
        deploy_steps=[step("deploy_partitions", image_info=BAD)],
    )  # fmt: skip
    for path in documents.PATHS:
        assert path in ours.errors()[0]
    stays_off(ours, console, "deploy failed")


def stays_off(node: Node, console: Console, state: str) -> None:
    shown = node.shown()
    assert shown["provision_state"] == state
    assert shown["power_state"] == "power off"
    assert console.text() == ""
    assert not any("power on" in now for _, now in node.trail)
