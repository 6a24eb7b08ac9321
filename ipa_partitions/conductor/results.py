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
only, with the node locked; of service steps the agent is asked with each of
its heartbeats, since at their end Ironic has forgotten where it is.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ironic.common.exception import IronicException
from ironic.drivers.modules import agent_base, agent_client

from ipa_partitions.boot_info import BootInfo
from ipa_partitions.conductor import catalog_boot, documents
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
# What a whole-disk image has instead.
_DISK_ID = re.compile(r"0x[0-9A-Fa-f]{8}")


def forget(node: Any) -> None:
    """Remove what an earlier deployment has left; the caller saves."""
    for key in (BOOT_INFO, ROOT_UUID, KERNEL_PARAMS, STATUS):
        node.del_driver_internal_info(key)


@agent_base.post_deploy_step_hook("deploy", "deploy_partitions")  # type: ignore[untyped-decorator]
def keep_deployment(task: Any, command: Mapping[str, Any]) -> None:
    """Store what the step ``deploy_partitions`` has deployed.

    Raises ValueError, which fails the deployment, for a UUID that is none.
    """
    node = task.node
    if _is_ours(node):
        _keep_deployed(node, _result(command, "deploy"), node.deploy_step)
        node.save()


@agent_base.post_deploy_step_hook("deploy", "switch_boot")  # type: ignore[untyped-decorator]
def keep_switch(task: Any, command: Mapping[str, Any]) -> None:
    """Store boot-info as ``switch_boot`` has left it."""
    if _is_ours(task.node):
        _keep_boot_info(task.node, _result(command, "deploy"))
        task.node.save()


def _is_ours(node: Any) -> bool:
    """Tell whether it is forgotten again: a hook runs for every node."""
    return bool(node.deploy_interface == "partitions")


def keep_service(task: Any) -> None:
    """Store what the service steps of a running agent have left."""
    commands = agent_client.get_client(task).get_commands_status(task.node)
    for step, result, command_id in _serviced(commands):
        if step.get("step") == "switch_boot":
            _keep_boot_info(task.node, result)
        elif step.get("step") == "deploy_partitions":
            _keep_served(task.node, result, step, command_id)
    task.node.save()


def _serviced(
    commands: list[Mapping[str, Any]],
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], str]]:
    """Yield each step that was done, its result, and its command's id."""
    for command in commands:
        if (
            command.get("command_name") == "execute_service_step"
            and command.get("command_status") == "SUCCEEDED"
        ):
            of_command = _mapping(command.get("command_result"))
            step = _mapping(of_command.get("service_step"))
            command_id = str(command.get("id"))
            yield step, _result(command, "service"), command_id


def _result(command: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    of_command = _mapping(command.get("command_result"))
    return _mapping(of_command.get(f"{kind}_result"))


def _keep_served(
    node: Any,
    result: Mapping[str, Any],
    step: Mapping[str, Any],
    command_id: str,
) -> None:
    args = _mapping(step.get("args"))
    try:
        _keep_deployed(node, result, step)
        layout = documents.refuse_bad_document(
            node, args.get("image_info"), args.get("layout")
        )
        # With each heartbeat, and the catalog asked until it answers.
        catalog_boot.keep(node, layout, command_id)
    except (ValueError, IronicException) as error:
        LOG.warning("Node %s: not all is stored: %s", node.uuid, error)


def _keep_deployed(node: Any, result: Mapping[str, Any], step: object) -> None:
    """Store the root's UUID, boot-info, and what its command line has.

    Raises ValueError for a UUID that is none, and for a long line.
    """
    root_uuid = result.get("root_uuid")
    if root_uuid is not None:
        text = str(root_uuid)
        if not (_FILESYSTEM_UUID.fullmatch(text) or is_disk_id(text)):
            raise ValueError(f"{root_uuid!r} is not the UUID of a filesystem")
        node.set_driver_internal_info(ROOT_UUID, root_uuid)
    args = _mapping(_mapping(step).get("args"))
    try:
        params = documents.kernel_params(
            node, args.get("image_info"), args.get("layout")
        )
    except PartitionsError:
        params = ""  # the agent, with another release, understood it
    if len(params.encode()) > _LIMIT_BYTES:
        raise ValueError(
            f"the kernel_params are more than {_LIMIT_BYTES} bytes"
        )
    if params:
        node.set_driver_internal_info(KERNEL_PARAMS, params)
    else:
        node.del_driver_internal_info(KERNEL_PARAMS)
    _keep_boot_info(node, result.get("boot_info"))


def is_disk_id(root_uuid: str) -> bool:
    """Tell whether it is that of a disk, which no kernel finds a root by."""
    return bool(_DISK_ID.fullmatch(root_uuid))


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
