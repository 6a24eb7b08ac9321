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

from __future__ import annotations

import json
import logging
import threading

import ironic_python_agent.config  # noqa: F401
import pytest
from ironic_python_agent import encoding, errors, hardware
from ironic_python_agent.extensions import base

from ipa_partitions import boot_info, deploy, layout, registry
from ipa_partitions.boot_info import BootInfo, Element
from ipa_partitions.errors import ActionError, MachineError, PluginError
from ipa_partitions.extensions import command
from ipa_partitions.progress import Progress
from tests.unit.plans import document, planned

INFO = BootInfo((Element(0, "one", "one", None, "One", "u-u"),), 0, None)
RESULT = deploy.Result("u-u", None, INFO)


class Agent(base.ExecuteCommandMixin):
    """All of the agent but its API server and its heartbeats."""

    def __init__(self) -> None:
        super().__init__()
        self.ext_mgr = base.init_ext_manager(self)

    def force_heartbeat(self) -> None:
        """Do nothing: there is no conductor."""

    def listed(self) -> list[dict[str, object]]:
        """Return what GET /v1/commands answers."""
        encode = encoding.RESTJSONEncoder().encode
        return json.loads(encode([*self.command_results.values()]))


@pytest.fixture(scope="module")
def loaded():
    return Agent()


@pytest.fixture
def agent(loaded, monkeypatch):
    loaded.command_results.clear()
    loaded.get_extension("standby").partition_uuids = None
    monkeypatch.setattr(hardware, "NODE", None)
    monkeypatch.setattr(hardware, "dispatch_to_managers", lambda *_args: None)
    return loaded


def test_a_good_document_is_valid(agent):
    result = agent.execute_command(
        "partitions.validate", image_info=document()
    )
    assert result.serialize()["command_result"] == {"valid": True}


BAD = document(version=2, nonsense=1)


@pytest.mark.parametrize(("command", "params", "problems"), [
    ("validate", {"image_info": BAD}, ["$.nonsense: ", "$.version: "]),
    ("plan",     {"image_info": BAD}, ["$.nonsense: ", "$.version: "]),
    ("deploy",   {"image_info": BAD}, ["$.nonsense: ", "$.version: "]),
    ("deploy",   {"image_info": document(), "configdrive": 7},
     ["$.configdrive"]),
    ("validate", {"image_info": []},  ["$: "]),
    ("validate", {},                  ["'image_info' is required"]),
    ("plan",     {"image_info": None}, ["$: "]),
    ("deploy",   {"nodes": 1, "x": 1},
     ["unknown parameter 'nodes'", "unknown parameter 'x'",
      "'image_info' is required"]),
    ("deploy",   {"image_info": BAD, "node": 1}, ["'node' is not an object"]),
    ("deploy",   {"image_info": BAD, "node": {}}, ["'node' has no uuid"]),
    ("get_boot_info", {"x": 1},       ["unknown parameter 'x'"]),
    ("switch_boot", {},               ["'image' is required"]),
    ("switch_boot", {"image": True},  ["'image' is not a name"]),
    ("switch_boot", {"image": None},  ["'image' is not a name"]),
    ("switch_boot", {"image": 1, "once": "no"}, ["'once' is not true or"]),
    *((name, {"_extension": 1}, ["unknown parameter '_extension'"])
      for name in ("get_boot_info", "capture")),
    ("dance",    {},                  ["Unknown command: dance"]),
])  # fmt: skip
def test_bad_parameters_are_refused_in_the_request(
    agent, command, params, problems
):
    with pytest.raises(errors.InvalidContentError) as error:
        agent.execute_command(f"partitions.{command}", **params)
    assert error.value.status_code == 400
    lines = str(error.value).splitlines()
    assert len(lines) == len(problems)
    assert all(p in line for p, line in zip(problems, lines, strict=True))
    assert agent.listed() == []


@pytest.mark.parametrize("error", [
    PluginError("broken"), RecursionError("deep"), KeyError("k"),
])  # fmt: skip
@pytest.mark.parametrize("command", ["validate", "deploy"])
def test_no_other_error_of_the_parser_spoils_the_list_of_commands(
    agent, monkeypatch, command, error
):
    def fail(*_args: object) -> None:
        raise error

    monkeypatch.setattr(layout, "parse", fail)
    agent.execute_command(f"partitions.{command}", image_info=document())
    (listed,) = agent.listed()
    assert listed["command_status"] == "FAILED"
    assert listed["command_error"]["type"] == "CommandExecutionError"


@pytest.mark.parametrize(("command", "params"), [
    ("validate", {"image_info": document()}), ("get_boot_info", {}),
    ("switch_boot", {"image": 1}), ("capture", {}),
])  # fmt: skip
def test_a_broken_plug_in_stops_every_command(
    agent, monkeypatch, command, params
):
    def fail() -> None:
        raise PluginError("plug-in 'worn' cannot be loaded")

    monkeypatch.setattr(registry, "load_all", fail)
    agent.execute_command(f"partitions.{command}", **params)
    (listed,) = agent.listed()
    assert listed["command_status"] == "FAILED"
    assert "'worn' cannot be loaded" in listed["command_error"]["details"]


def test_a_plan_is_its_actions_and_a_text(agent, monkeypatch):
    plan = planned()
    monkeypatch.setattr(deploy, "make_plan", lambda _request: plan)
    command = agent.execute_command("partitions.plan", image_info=document())
    result = command.wait()
    assert [each["text"] for each in result["plan"]] == [
        str(action) for action in plan.actions
    ]
    assert result["text"].startswith("/dev/vda: 10000 MiB")


def test_progress_is_shown_until_the_result_takes_its_place(
    agent, monkeypatch, caplog
):
    told, seen = threading.Event(), threading.Event()
    first, late = [], []

    caplog.set_level(logging.INFO, "ipa_partitions")

    def do(_request, listener):
        first.append(agent.listed()[0]["command_result"])
        late.append(listener)
        # Bytes are told from other threads than the command's own.
        progress = Progress("write", 2, 9, 10, 20, 1.5)
        other = threading.Thread(target=listener, args=[progress])
        other.start()
        other.join()
        told.set()
        seen.wait(10)
        return RESULT

    monkeypatch.setattr(deploy, "deploy", do)
    command = agent.execute_command("partitions.deploy", image_info=document())
    assert told.wait(10)
    assert first[0]["progress"]["action"].startswith("look at the disks")
    assert agent.listed()[0]["command_result"] == {
        "progress": {
            "action": "write",
            "number": 2,
            "of": 9,
            "bytes": 10,
            "total_bytes": 20,
            "seconds_left": 1.5,
        },
        "bytes_per_s": None,
        "all": {"bytes": 0, "total_bytes": None, "seconds_left": None},
    }
    assert "[2/9] write: 0 MiB of 0 MiB, 50%, 2 s left" in caplog.messages
    seen.set()
    command.join()
    late[0](Progress("write", 3, 9))
    assert agent.listed()[0]["command_result"] == RESULT.to_json()
    standby = agent.get_extension("standby")
    assert standby.get_partition_uuids().command_result == {
        "root uuid": "u-u",
        "efi system partition uuid": None,
    }


@pytest.mark.parametrize("error", [
    MachineError("$.a", "b"), ActionError("half"), ZeroDivisionError("bug"),
])  # fmt: skip
def test_a_failure_is_told_in_full_and_leaves_no_progress(
    agent, monkeypatch, error
):
    def do(_request, listener):
        listener(Progress("write", 2, 9))
        raise error

    monkeypatch.setattr(deploy, "deploy", do)
    agent.execute_command("partitions.deploy", image_info=document()).join()
    (listed,) = agent.listed()
    assert listed["command_status"] == "FAILED"
    assert listed["command_result"] is None
    assert str(error) in listed["command_error"]["details"]
    assert agent.get_extension("standby").partition_uuids is None


def test_the_disk_is_chosen_by_ironic_s_rules_for_the_node(agent, monkeypatch):
    asked = []

    def dispatch(method):
        asked.append((method, (hardware.NODE or {}).get("uuid")))
        return "/dev/vdz"

    def do(request, _listener):
        assert request.os_install() == "/dev/vdz"
        return RESULT

    monkeypatch.setattr(deploy, "deploy", do)
    monkeypatch.setattr(hardware, "dispatch_to_managers", dispatch)
    agent.execute_command(
        "partitions.deploy", image_info=document(), node={"uuid": "n-n"}
    ).wait()
    assert asked[-1] == ("get_os_install_device", "n-n")
    assert hardware.NODE["properties"] == {}


def test_no_disk_by_ironic_s_rules_is_an_error_of_the_machine(
    agent, monkeypatch
):
    def dispatch(_method):
        raise errors.DeviceNotFound("no disk")

    def do(request, _listener):
        with pytest.raises(MachineError, match="no disk"):
            request.os_install()
        return RESULT

    monkeypatch.setattr(deploy, "deploy", do)
    monkeypatch.setattr(hardware, "dispatch_to_managers", dispatch)
    agent.execute_command("partitions.deploy", image_info=document()).wait()


def test_boot_commands_answer_boot_info(agent, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(boot_info, "RAMDISK", tmp_path)
    monkeypatch.setattr(deploy, "get_boot_info", lambda: INFO)
    monkeypatch.setattr(
        deploy,
        "switch_boot",
        lambda image, once: calls.append((image, once)) or INFO,
    )
    got = agent.execute_command("partitions.get_boot_info").wait()
    agent.execute_command("partitions.switch_boot", image="one").wait()
    switched = agent.execute_command(
        "partitions.switch_boot", image=1, once=True
    ).wait()
    assert got == switched == INFO.to_json()
    assert calls == [("one", False), (1, True)]
    written = (tmp_path / "boot-info.json").read_text()
    assert json.loads(written) == switched


def test_a_node_without_properties_is_remembered(monkeypatch):
    seen = []
    monkeypatch.setattr(hardware, "cache_node", seen.append)
    command.remember({"uuid": "u", "properties": None})
    assert seen == [{"uuid": "u", "properties": {}, "instance_info": {}}]
