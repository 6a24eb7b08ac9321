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

"""Tempest finds the plug-in, and its scenario asks Ironic for the story."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tempest.lib import exceptions

from ipa_partitions import layout
from ipa_partitions.boot_info import BootInfo
from ipa_partitions_tempest_plugin import documents, node, plugin

URL, SHA256 = "http://images.example.com/one.raw", "5c8b" * 16


def test_tempest_lists_it():
    tempest = Path(sys.executable).with_name("tempest")
    listed = subprocess.run(
        [tempest, "list-plugins"], check=True, capture_output=True, text=True
    ).stdout
    assert "ipa_partitions" in listed
    assert (
        "IpaPartitionsTempestPlugin" in listed or "ipa_partitions_" in listed
    )


def test_its_tests_are_found_where_it_says():
    tests, top = plugin.IpaPartitionsTempestPlugin().load_tests()
    assert Path(tests).is_relative_to(top)
    assert (Path(tests) / "test_scenarios.py").is_file()


def test_its_options_are_registered_once():
    groups = dict(plugin.IpaPartitionsTempestPlugin().get_opt_lists())
    assert groups.keys() == {"ipa_partitions", "service_available"}
    names = {option.name for option in groups["ipa_partitions"]}
    assert names >= {"image_url", "image_sha256", "provision_timeout"}


@pytest.mark.parametrize("keep_first", [True, False])
@pytest.mark.parametrize("policy", ["clean", "verify"])
def test_its_documents_are_valid(policy, keep_first):
    parsed = layout.parse(
        documents.two_systems(URL, SHA256, policy, keep_first)
    )
    assert len(parsed.images) == 2


def test_waiting_ends_with_the_state_or_with_the_error():
    def client(*states):
        queue = list(states)
        return SimpleNamespace(show=lambda uuid: queue.pop(0))

    def shown(state, target=None):
        return {"provision_state": state, "target_provision_state": target,
                "last_error": "why"}  # fmt: skip

    def wait(*states):
        return node.wait_for_state(
            client(*states), "n", "active", 3, 1, sleep=lambda _: None
        )

    assert wait(shown("deploying", "active"), shown("active"))
    with pytest.raises(exceptions.UnexpectedResponseCode, match="why"):
        wait(shown("deploying"), shown("deploy failed"))
    with pytest.raises(exceptions.TimeoutException, match="deploying"):
        wait(*[shown("deploying")] * 3)


class Ironic:
    """A node that does what it is asked, at once."""

    def __init__(self):
        self.asked = []
        self.boot_info = None

    def update(self, uuid, **values):
        self.asked.append(("update", values))

    def provision(self, uuid, target, **body):
        self.asked.append((target, body))
        if target == "active":
            self.boot_info = boot_info(0, "a", "b")
        elif target == "rebuild":
            self.boot_info = boot_info(0, "c", "b")
        elif target == "service":
            self.boot_info = boot_info(1, "c", "b")

    def show(self, uuid):
        return {
            "provision_state": "active", "target_provision_state": None,
            "driver_internal_info": {
                "boot_info": copy.deepcopy(self.boot_info)
            },
        }  # fmt: skip


def boot_info(current, *uuids):
    elements = [
        {"grub_id": n, "image_name": name, "os_id": name, "image_uuid": None,
         "boot_name": name, "root_uuid": uuid}
        for n, (name, uuid) in enumerate(
            zip(documents.NAMES, uuids, strict=True))
    ]  # fmt: skip
    made = {"elements": elements, "current_element": current,
            "multiboot_partition": "m"}  # fmt: skip
    import json

    BootInfo.from_json(json.dumps(made))
    return made


def test_the_scenario_deploys_rebuilds_and_switches(monkeypatch):
    scenarios = importlib.import_module(
        "ipa_partitions_tempest_plugin.tests.test_scenarios"
    )
    options = SimpleNamespace(
        image_url=URL, image_sha256=SHA256, provision_timeout=3,
        poll_interval=1, node="n-n",
    )  # fmt: skip
    monkeypatch.setattr(
        scenarios, "CONF", SimpleNamespace(ipa_partitions=options)
    )
    ironic = Ironic()
    scenario = scenarios.TwoSystemsTest
    monkeypatch.setattr(scenario, "client", ironic, raising=False)
    monkeypatch.setattr(scenario, "uuid", "n-n", raising=False)
    story = scenario("test_two_systems_redeployed_and_switched")
    story.test_two_systems_redeployed_and_switched()
    assert [what for what, _ in ironic.asked] == [
        "active", "update", "rebuild", "service",
    ]  # fmt: skip
    (step,) = ironic.asked[0][1]["deploy_steps"]
    assert (step["step"], step["priority"]) == ("deploy_partitions", 80)
    again = ironic.asked[1][1]["instance_info"]["image_info"]
    assert again["partitions_policy"] == "verify"
    (step,) = ironic.asked[3][1]["service_steps"]
    assert step["args"] == {"image": documents.NAMES[1]}
