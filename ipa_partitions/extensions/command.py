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

"""What both doors into the agent share: jobs, progress, errors.

The REST extension and the hardware manager run the same jobs inside a
command of the agent, whose result the conductor and a person read.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ironic_python_agent import config, errors, hardware
from ironic_python_agent import utils as agent_utils
from ironic_python_agent.extensions import base

from ipa_partitions import boot_info
from ipa_partitions import deploy as core
from ipa_partitions.errors import (
    LayoutErrors,
    MachineError,
    PartitionsError,
)
from ipa_partitions.extensions.heartbeat import reported
from ipa_partitions.images.access import Access, basic
from ipa_partitions.images.catalog import KERNEL_PARAMETER
from ipa_partitions.locate import Servers
from ipa_partitions.progress import Listener, Progress
from ipa_partitions.show.as_progress import Lines

LOG = logging.getLogger(__name__)

# The name of the thread of a running command, before its id.
_THREAD = "agent-command-"


@contextmanager
def translated() -> Iterator[None]:
    """Turn our errors into the agent's, with their full text."""
    try:
        yield
    except LayoutErrors as error:
        raise errors.InvalidCommandParamsError(str(error)) from error
    except PartitionsError as error:
        raise errors.CommandExecutionError(str(error)) from error


def plain(value: object) -> Any:
    """Return ``value`` as plain JSON; raises TypeError if it is not."""
    # The agent answers every later GET with 500 once a result is not.
    return json.loads(json.dumps(value))


def os_install_device() -> str:
    """Return the disk that Ironic's rules choose; raises MachineError."""
    try:
        return str(hardware.dispatch_to_managers("get_os_install_device"))
    except errors.RESTError as error:
        raise MachineError("$", str(error)) from error


def servers(node: Mapping[str, Any] | None = None) -> Servers:
    """Return what the agent knows of servers of images, for ``node``."""
    node = node or hardware.get_cached_node() or {}
    conf = config.CONF
    authorization = None
    if conf.image_server_auth_strategy == "http_basic":
        authorization = basic(
            conf.image_server_user or "", conf.image_server_password or ""
        )
    client = (conf.certfile, conf.keyfile)
    return Servers(
        Access(
            authorization,
            ca_file=conf.cafile or None,
            client=client if all(client) else None,
        ),
        node.get("uuid"),
        agent_utils.get_agent_params().get(KERNEL_PARAMETER),
    )


def remember(node: Mapping[str, Any] | None) -> None:
    """Let the agent choose disks for ``node``, as its own commands do."""
    if node is not None:
        # The rules look into these two without asking.
        given = {k: node.get(k) or {} for k in ("instance_info", "properties")}
        hardware.cache_node({**node, **given})


def run_deployment(request: core.Request) -> dict[str, Any]:
    """Deploy inside a command of the agent and return its result.

    The command shows the progress meanwhile, and the agent's own extension
    knows the UUIDs afterwards.
    """
    with translated(), _progress_shown() as listener:
        result = core.deploy(request, listener)
    _tell_standby(result)
    return dict(plain(result.to_json()))


def switch_boot(image: str | int, once: bool) -> dict[str, Any]:
    """Make ``image`` what boots, and return boot-info as it is then.

    As after a deployment it is in the ramdisk, too.
    """
    info = core.switch_boot(image, once)
    boot_info.write(boot_info.RAMDISK, info)
    return dict(plain(info.to_json()))


def _tell_standby(result: core.Result) -> None:
    """Leave the UUIDs where the conductor asks for those of an image."""
    standby = _extension("standby")
    if standby is not None:
        standby.partition_uuids = {
            "root uuid": result.root_uuid,
            "efi system partition uuid": result.efi_system_partition_uuid,
        }


def _extension(name: str) -> Any:
    try:
        return base.get_extension(name)
    except errors.ExtensionError:
        return None  # run by no agent


@contextmanager
def _progress_shown() -> Iterator[Listener]:
    """Yield a listener that fills in the result of this thread's command.

    While one command runs the agent refuses every other POST, so this is
    the only place where anybody can ask it how far it is. Ironic is told.
    """
    command = _running_command()
    lines = Lines(partial(LOG.info, "%s"))
    standby = _extension("standby")

    try:
        with reported(command and standby.agent) as tell_ironic:

            def show(progress: Progress) -> None:
                if progress.bytes:  # that it has begun is logged already
                    lines(progress)
                _set_result(command, progress.to_json())
                tell_ironic(progress)

            show(Progress("look at the disks, plan and validate", 0, 0))
            yield show
    except BaseException:
        _set_result(command, None)
        raise


def _running_command() -> base.AsyncCommandResult | None:
    """Return the command that this thread runs."""
    name = threading.current_thread().name
    standby = _extension("standby")
    if standby is None or not name.startswith(_THREAD):
        return None
    agent = standby.agent
    # Held by the agent until it has listed the command that it started.
    with agent.command_lock:
        return agent.command_results.get(name.removeprefix(_THREAD))


def _set_result(
    command: base.AsyncCommandResult | None, result: object
) -> None:
    if command is None:
        return
    with command.command_state_lock:
        # A listener that is late must not replace the final result.
        if command.command_status == base.AgentCommandStatus.RUNNING:
            command.command_result = result
