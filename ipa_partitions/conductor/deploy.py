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

"""The deploy interface ``partitions``.

``custom-agent``, with ``deploy_partitions`` as a step of its own that runs
unless it is told not to; with the documents checked before the node is
powered on; and with the results kept.
"""

from __future__ import annotations

from typing import Any

from ironic.conductor import task_manager
from ironic.drivers import base
from ironic.drivers.modules import agent, agent_base, pxe_base

from ipa_partitions.conductor import (
    catalog_boot,
    documents,
    follow_up,
    results,
)
from ipa_partitions.conductor.target import LOCAL, target
from ipa_partitions.step_arguments import ARGUMENTS

# Behind the agent's own steps of RAID and BIOS (above), before the boot is
# prepared (60).
_PRIORITY = 80


def _step_of_the_agent(name: str, priority: int) -> Any:
    """Return the deploy step that has the agent run its own of that name."""

    @base.deploy_step(priority=priority, argsinfo=ARGUMENTS)  # type: ignore[untyped-decorator]
    @task_manager.require_exclusive_lock  # type: ignore[untyped-decorator]
    def step(self: Any, task: Any, **_arguments: Any) -> Any:
        return agent_base.execute_step(task, task.node.deploy_step, "deploy")

    step.__name__ = name
    return step


class PartitionsDeploy(agent.CustomAgentDeploy):  # type: ignore[misc]
    """Has the agent lay out disks and deploy systems onto them."""

    def validate(self, task: Any) -> None:
        """Raise InvalidParameterValue with every problem of the document.

        It is that of the node; the documents of steps are looked at when
        the steps are known, in ``deploy``.
        """
        super().validate(task)
        layout = documents.refuse_bad_document(task.node)
        follow_up.refuse_bad_target(task.node, layout)

    @base.deploy_step(priority=100)  # type: ignore[untyped-decorator]
    @task_manager.require_exclusive_lock  # type: ignore[untyped-decorator]
    def deploy(self, task: Any) -> Any:
        """Power the node on, if no step has a bad document."""
        node = task.node
        steps = node.driver_internal_info.get("deploy_steps") or ()
        layouts = documents.refuse_bad_steps(node, steps)
        results.forget(node)
        layout = layouts.get("deploy_partitions")
        follow_up.refuse_bad_target(node, layout)
        catalog_boot.keep(node, layout)
        node.save()
        return super().deploy(task)

    deploy_partitions = _step_of_the_agent("deploy_partitions", _PRIORITY)
    # To be asked for. Ironic knows them here before the agent runs, and so
    # are their documents.
    apply_partitions = _step_of_the_agent("apply_partitions", 0)
    verify_partitions = _step_of_the_agent("verify_partitions", 0)

    def process_next_step(
        self, task: Any, step_type: str, **kwargs: Any
    ) -> Any:
        """Keep what service steps did, while the agent can be asked."""
        if step_type == "service":
            results.keep_service(task)
        return super().process_next_step(task, step_type, **kwargs)

    @base.deploy_step(priority=60)  # type: ignore[untyped-decorator]
    @task_manager.require_exclusive_lock  # type: ignore[untyped-decorator]
    def prepare_instance_boot(self, task: Any) -> None:
        """Have the node boot what was deployed, from where it is wanted."""
        # Else what is left of the agent's ramdisk is booted once more. Media
        # are ejected anyway; here that would switch off a running agent.
        if target(task.node) != LOCAL and isinstance(
            task.driver.boot, pxe_base.PXEBaseMixin
        ):
            task.driver.boot.clean_up_ramdisk(task)
        follow_up.follow(task)
        super().prepare_instance_boot(task)

    @task_manager.require_exclusive_lock  # type: ignore[untyped-decorator]
    def prepare(self, task: Any) -> None:
        """Prepare a deployment, or at a takeover the boot of an instance."""
        if task.node.provision_state in follow_up.INSTANCE_STATES:
            follow_up.follow(task)
        super().prepare(task)

    def tear_down_service(self, task: Any) -> None:
        """Boot the instance again, from where it is wanted."""
        follow_up.follow(task)
        super().tear_down_service(task)

    @task_manager.require_exclusive_lock  # type: ignore[untyped-decorator]
    def tear_down(self, task: Any) -> Any:
        """Power off, and forget what was deployed."""
        results.forget(task.node)
        catalog_boot.forget(task.node)
        return super().tear_down(task)
