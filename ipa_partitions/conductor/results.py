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

"""Keep with the node what a deployment found out: SPEC 4.3.

Ironic logs the result of a step and drops it. Hooks run for deploy steps
only, with the node locked; what service steps did is asked of the agent
before it is told to go.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ironic.drivers.modules import agent_base, agent_client

from ipa_partitions.boot_info import BootInfo
from ipa_partitions.conductor import documents
from ipa_partitions.errors import ImageError, PartitionsError

LOG = logging.getLogger(__name__)

BOOT_INFO = "boot_info"
ROOT_UUID = "root_uuid_or_disk_id"
KERNEL_PARAMS = "partitions_kernel_params"
STATUS = "agent_status_message"

# driver_internal_info is 64 KiB on MySQL, and Ironic keeps more in it.
_LIMIT_BYTES = 8 * 1024

# A UUID, or what stands for one on vfat: it goes to a kernel command line.
_FILESYSTEM_UUID = re.compile(r"[0-9A-Fa-f]+(-[0-9A-Fa-f]+)+")


def forget(node: Any) -> None:
    """Remove what an earlier deployment has left; the caller saves."""
    for key in (BOOT_INFO, ROOT_UUID, KERNEL_PARAMS, STATUS):
        node.del_driver_internal_info(key)


@agent_base.post_deploy_step_hook("deploy", "deploy_partitions")  # type: ignore[untyped-decorator]
def keep_deployment(task: Any, command: Mapping[str, Any]) -> None:
    """Store the root's UUID and boot-info of ``deploy_partitions``.

    Raises ValueError, which fails the deployment, for a UUID that is none.
    """
    node = task.node
    result = _result(command, "deploy")
    root_uuid = result.get("root_uuid")
    if root_uuid is not None:
        if not _FILESYSTEM_UUID.fullmatch(str(root_uuid)):
            raise ValueError(f"{root_uuid!r} is not the UUID of a filesystem")
        node.set_driver_internal_info(ROOT_UUID, root_uuid)
    args = (node.deploy_step or {}).get("args") or {}
    try:
        params = documents.kernel_params(
            node, args.get("image_info"), args.get("layout")
        )
    except PartitionsError:
        params = ""  # the agent, with another release, understood it
    if params:
        node.set_driver_internal_info(KERNEL_PARAMS, params)
    _keep_boot_info(node, result.get("boot_info"))
    node.save()


@agent_base.post_deploy_step_hook("deploy", "switch_boot")  # type: ignore[untyped-decorator]
def keep_switch(task: Any, command: Mapping[str, Any]) -> None:
    """Store boot-info as ``switch_boot`` has left it."""
    _keep_boot_info(task.node, _result(command, "deploy"))
    task.node.save()


def keep_service(task: Any) -> None:
    """Store boot-info as the service steps of a running agent left it."""
    try:
        commands = agent_client.get_client(task).get_commands_status(task.node)
    except Exception as error:
        # The agent may be gone already; the steps have run all the same.
        LOG.warning(
            "Node %s: boot-info after service is not known: %s",
            task.node.uuid, error,
        )  # fmt: skip
        return
    for boot_info in _serviced(commands):
        _keep_boot_info(task.node, boot_info)
    task.node.save()


def _serviced(commands: list[Mapping[str, Any]]) -> Iterator[object]:
    for command in commands:
        if (
            command.get("command_name") == "execute_service_step"
            and command.get("command_status") == "SUCCEEDED"
        ):
            result = _result(command, "service")
            step = _mapping(
                _mapping(command.get("command_result")).get("service_step")
            ).get("step")
            if step == "switch_boot":
                yield result
            elif step == "deploy_partitions":
                yield result.get("boot_info")


def _result(command: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    of_command = _mapping(command.get("command_result"))
    return _mapping(of_command.get(f"{kind}_result"))


def _keep_boot_info(node: Any, boot_info: object) -> None:
    if not boot_info:
        return
    text = json.dumps(boot_info)
    try:
        BootInfo.from_json(text)
    except ImageError as error:
        LOG.warning("Node %s: not stored: %s", node.uuid, error)
        return
    if len(text.encode()) > _LIMIT_BYTES:
        LOG.warning(
            "Node %s: boot-info is not stored: it is %d bytes, of at most %d;"
            " the agent's get_boot_info still has it",
            node.uuid, len(text.encode()), _LIMIT_BYTES,
        )  # fmt: skip
        node.del_driver_internal_info(BOOT_INFO)
        return
    node.set_driver_internal_info(BOOT_INFO, boot_info)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
