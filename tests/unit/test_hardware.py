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

import inspect
from dataclasses import replace

import pytest
from ironic_python_agent import config, errors
from ironic_python_agent import hardware as agent_hardware

from ipa_partitions import boot_info, deploy, hardware
from ipa_partitions.boot_info import BootInfo
from ipa_partitions.errors import ActionError
from ipa_partitions.extensions.command import servers
from ipa_partitions.images.access import Access
from ipa_partitions.locate import Servers
from tests.unit.plans import document

NODE = {"uuid": "n-n", "instance_info": {}, "properties": {}, "extra": {}}
RESULT = deploy.Result("u-u", None, None)
MANAGER = hardware.PartitionsHardwareManager()

# What ours is there for; everything else is another manager's.
OURS = {
    "evaluate_hardware_support", "initialize", "get_version",
    "get_deploy_steps", "get_clean_steps", "get_service_steps",
    "deploy_partitions", "apply_partitions", "verify_partitions",
    "switch_boot", "collect_system_logs",
}  # fmt: skip
INHERITED = sorted(
    name
    for name, _ in inspect.getmembers(
        agent_hardware.HardwareManager, inspect.isfunction
    )
    if not name.startswith("_") and name not in OURS
)


@pytest.mark.parametrize("method", INHERITED)
def test_the_generic_manager_is_not_hidden(method):
    call = getattr(MANAGER, method)
    needed = [
        None
        for parameter in inspect.signature(call).parameters.values()
        if parameter.default is parameter.empty
    ]
    with pytest.raises(errors.IncompatibleHardwareMethodError):
        call(*needed)


def test_only_steps_and_hooks_of_the_agent_are_public():
    public = {
        name
        for name, _ in inspect.getmembers(MANAGER, inspect.ismethod)
        if not name.startswith("_")
    }
    assert public == OURS | set(INHERITED)


@pytest.mark.parametrize(("kind", "names"), [
    ("deploy",  ["deploy_partitions", "apply_partitions",
                 "verify_partitions", "switch_boot"]),
    ("clean",   ["apply_partitions", "verify_partitions", "switch_boot"]),
    ("service", ["deploy_partitions", "apply_partitions",
                 "verify_partitions", "switch_boot"]),
])  # fmt: skip
def test_steps_run_only_when_asked_for(kind, names):
    steps = getattr(MANAGER, f"get_{kind}_steps")(NODE, [])
    assert [step["step"] for step in steps] == names
    for step in steps:
        assert step["priority"] == 0
        assert step["interface"] == "deploy"
        assert step["reboot_requested"] is False
        arguments = inspect.signature(getattr(MANAGER, step["step"]))
        assert list(arguments.parameters) == [
            "node", "ports", *step["argsinfo"],
        ]  # fmt: skip
        required = {k for k, v in step["argsinfo"].items() if v["required"]}
        assert required == ({"image"} & {*step["argsinfo"]})


@pytest.fixture
def requests(monkeypatch):
    """Return the requests that reach the core, which answers RESULT."""
    made = []

    def do(request, _listener):
        made.append(request)
        return RESULT

    monkeypatch.setattr(deploy, "deploy", do)
    monkeypatch.setattr(agent_hardware, "NODE", NODE)
    return made


@pytest.mark.parametrize(("step", "deploy_images"), [
    ("deploy_partitions", True), ("apply_partitions", False),
])  # fmt: skip
def test_a_step_deploys_the_document_that_is_found(
    requests, step, deploy_images
):
    node = NODE | {"instance_info": {"image_info": document()}}
    answer = getattr(MANAGER, step)(node, [], configdrive="http://drive")
    assert answer == RESULT.to_json()
    (request,) = requests
    assert request.image_info == document()
    assert request.configdrive == "http://drive"
    assert request.deploy_images is deploy_images
    assert agent_hardware.NODE["instance_info"] == node["instance_info"]


def test_no_document_is_an_error_of_the_agent_s(requests):
    with pytest.raises(errors.RESTError, match="no document"):
        MANAGER.deploy_partitions(NODE, [])
    assert requests == []


def test_a_failed_step_says_all(monkeypatch, requests):
    def fail(*_args: object) -> None:
        raise ActionError("/dev/vda is half-written")

    monkeypatch.setattr(deploy, "deploy", fail)
    with pytest.raises(errors.RESTError, match="/dev/vda is half-written"):
        MANAGER.deploy_partitions(NODE, [], image_info=document())


INFO = BootInfo((), 0, None)


@pytest.mark.parametrize(("args", "asked"), [
    ({"image": "debian"},                   ("debian", False)),
    ({"image": 1, "once": True},            (1, True)),
    ({"image": "1", "once": "true"},        ("1", True)),
    ({"image": "debian", "once": "no"},     ("debian", False)),
    ({"image": "debian", "once": None},     ("debian", False)),
])  # fmt: skip
def test_switch_boot_asks_the_core(monkeypatch, tmp_path, args, asked):
    heard = []

    def switch(*given):
        heard.append(given)
        return INFO

    monkeypatch.setattr(deploy, "switch_boot", switch)
    monkeypatch.setattr(boot_info, "RAMDISK", tmp_path)
    assert MANAGER.switch_boot(NODE, [], **args) == INFO.to_json()
    assert heard == [asked]


@pytest.mark.parametrize(("args", "told"), [
    ({"image": True},                   "not a name, a UUID or a grub_id"),
    ({"image": None},                   "not a name, a UUID or a grub_id"),
    ({"image": "a", "once": "perhaps"}, "'perhaps' is not true or false"),
])  # fmt: skip
def test_switch_boot_refuses_what_it_cannot_mean(args, told):
    with pytest.raises(errors.InvalidCommandParamsError, match=told):
        MANAGER.switch_boot(NODE, [], **args)


@pytest.mark.parametrize("there", [True, False])
def test_boot_info_is_among_the_logs(monkeypatch, tmp_path, there):
    path = tmp_path / "boot-info.json"
    if there:
        path.write_text("{}")
    monkeypatch.setattr(boot_info, "RAMDISK", tmp_path)
    files = ["/var/log/syslog"]
    MANAGER.collect_system_logs({}, files)
    assert files[1:] == ([str(path)] if there else [])


def test_servers_are_spoken_to_as_the_agent_is_configured_to():
    conf = config.CONF
    assert servers() == Servers()
    conf.set_override("image_server_auth_strategy", "http_basic")
    conf.set_override("image_server_user", "u")
    conf.set_override("image_server_password", "pw")
    conf.set_override("cafile", "/ca")
    conf.set_override("certfile", "/crt")
    try:
        access = Access("Basic dTpwdw==", ca_file="/ca")
        assert servers() == Servers(access)
        conf.set_override("keyfile", "/key")
        access = replace(access, client=("/crt", "/key"))
        assert servers() == Servers(access)
    finally:
        conf.clear_override("cafile")
        for name in (
            "image_server_auth_strategy", "image_server_user",
            "image_server_password", "certfile", "keyfile",
        ):  # fmt: skip
            conf.clear_override(name)
