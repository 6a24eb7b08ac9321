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

"""What the agent answers stays with the node, as far as it may."""

from __future__ import annotations

from unittest import mock

from ironic.common import states
from ironic.conductor import utils as conductor_utils
from ironic.drivers.modules import agent_base, agent_client, deploy_utils

from tests.conductor import base

RESULT = {
    "root_uuid": base.ROOT_UUID,
    "efi_system_partition_uuid": None,
    "boot_info": base.BOOT_INFO,
}
SWITCHED = base.BOOT_INFO | {"multiboot_partition": base.ROOT_UUID}


def step(name, **args):
    return {"interface": "deploy", "step": name, "args": args, "priority": 80}


def command(kind, name, result, status="SUCCEEDED"):
    return {
        "command_name": f"execute_{kind}_step",
        "command_status": status,
        "command_result": {
            f"{kind}_result": result,
            f"{kind}_step": step(name),
        },
    }


class DeployStepTest(base.TestCase):
    """Through Ironic's own handling of a heartbeat."""

    def heartbeat(self, name, result, **values):
        node = self.node(
            provision_state=states.DEPLOYWAIT,
            target_provision_state=states.ACTIVE,
            deploy_step=values.pop("deploy_step", step(name)),
            **values,
        )
        commands = [command("deploy", name, result)]
        commands[0]["command_result"]["deploy_step"] = node.deploy_step
        with (
            mock.patch.object(
                agent_client.AgentClient,
                "get_commands_status",
                return_value=commands,
            ),
            mock.patch.object(agent_base, "_continue_steps") as go_on,
            mock.patch.object(agent_base, "_step_failure_handler") as failed,
            self.task(node) as task,
        ):
            task.driver.deploy.process_next_step(task, "deploy")
        self.assertNotEqual(go_on.called, failed.called)
        self.failure = failed.call_args[0][1] if failed.called else None
        node.refresh()
        return node.driver_internal_info

    def test_the_root_and_boot_info_are_stored(self):
        info = self.heartbeat("deploy_partitions", RESULT)
        self.assertEqual(base.ROOT_UUID, info["root_uuid_or_disk_id"])
        self.assertEqual(base.BOOT_INFO, info["boot_info"])
        self.assertNotIn("partitions_kernel_params", info)

    def test_kernel_params_are_stored_from_the_document_that_counted(self):
        with_params = base.GOOD | {
            "deploy_data": {"kernel_params": "console=ttyS0"}
        }
        for values in (
            {"instance_info": {"image_info": with_params}},
            {
                "instance_info": {"image_info": base.GOOD},
                "deploy_step": step(
                    "deploy_partitions", image_info=with_params
                ),
            },
        ):
            info = self.heartbeat("deploy_partitions", RESULT, **values)
            self.assertEqual("console=ttyS0", info["partitions_kernel_params"])

    def test_boot_info_over_8_kib_is_not_stored(self):
        element = base.BOOT_INFO["elements"][0]
        many = [element | {"grub_id": n} for n in range(60)]
        info = self.heartbeat(
            "deploy_partitions",
            RESULT | {"boot_info": base.BOOT_INFO | {"elements": many}},
            driver_internal_info={"boot_info": base.BOOT_INFO},
        )
        self.assertNotIn("boot_info", info)
        self.assertEqual(base.ROOT_UUID, info["root_uuid_or_disk_id"])

    def test_what_is_no_boot_info_is_not_stored(self):
        info = self.heartbeat(
            "deploy_partitions", RESULT | {"boot_info": {"x": "y"}}
        )
        self.assertNotIn("boot_info", info)

    def test_a_root_that_is_a_subvolume_is_on_its_command_line(self):
        root = {
            "type": "partition", "size": "remaining", "file_system": "btrfs",
            "subvolumes": [{"name": "@", "mount": "/"}],
        }  # fmt: skip
        document = base.GOOD | {
            "partitions": [base.DISK | {"volumes": [root]}],
            "images": [base.IMAGE | {"disk_format": "tar"}],
            "deploy_data": {"kernel_params": "quiet"},
        }
        info = self.heartbeat(
            "deploy_partitions", RESULT,
            instance_info={"image_info": document},
        )  # fmt: skip
        self.assertEqual(
            "rootflags=subvol=@ quiet", info["partitions_kernel_params"]
        )

    def test_kernel_params_over_8_kib_fail_the_deployment(self):
        params = {"deploy_data": {"kernel_params": "a" * 8193}}
        self.heartbeat(
            "deploy_partitions", RESULT,
            instance_info={"image_info": base.GOOD | params},
        )  # fmt: skip
        self.assertIn("more than 8192 bytes", self.failure)

    def test_nodes_of_other_interfaces_are_left_alone(self):
        for name, result in (
            ("deploy_partitions", RESULT), ("switch_boot", SWITCHED),
        ):  # fmt: skip
            info = self.heartbeat(
                name, result, deploy_interface="custom-agent"
            )
            self.assertNotIn("boot_info", info)
            self.assertNotIn("root_uuid_or_disk_id", info)

    def test_a_uuid_that_is_none_fails_the_deployment(self):
        self.heartbeat(
            "deploy_partitions", RESULT | {"root_uuid": "x init=/bin/sh"}
        )
        self.assertIn("is not the UUID of a filesystem", self.failure)

    def test_a_whole_disk_image_has_the_id_of_its_disk(self):
        info = self.heartbeat(
            "deploy_partitions",
            RESULT | {"root_uuid": "0x1234abcd", "boot_info": None},
        )
        self.assertEqual("0x1234abcd", info["root_uuid_or_disk_id"])

    def test_a_document_without_systems_stores_nothing(self):
        info = self.heartbeat("deploy_partitions", dict.fromkeys(RESULT))
        self.assertNotIn("root_uuid_or_disk_id", info)
        self.assertNotIn("boot_info", info)

    def test_switch_boot_stores_boot_info(self):
        info = self.heartbeat("switch_boot", SWITCHED)
        self.assertEqual(SWITCHED, info["boot_info"])


class ServiceTest(base.TestCase):
    """Service steps have no hooks: the agent is asked with a heartbeat."""

    def serviced(self, *commands):
        node = self.node(
            provision_state=states.SERVICEWAIT,
            target_provision_state=states.ACTIVE,
            service_step=step("verify_partitions"),
            driver_internal_info={
                "boot_info": base.BOOT_INFO,
                "root_uuid_or_disk_id": "0123-4567",
                "partitions_kernel_params": "quiet",
            },
        )
        with (
            mock.patch.object(
                agent_client.AgentClient,
                "get_commands_status",
                return_value=[*commands],
            ),
            mock.patch.object(agent_base, "_continue_steps"),
            mock.patch.object(agent_base, "_step_failure_handler"),
            self.task(node) as task,
        ):
            task.driver.deploy.continue_servicing(task)
        node.refresh()
        self.info = node.driver_internal_info
        return self.info["boot_info"]

    def test_the_last_one_counts(self):
        self.assertEqual(SWITCHED, self.serviced(
            command("service", "deploy_partitions", RESULT),
            command("service", "switch_boot", SWITCHED),
            command("service", "verify_partitions", {"matches": True}),
        ))  # fmt: skip

    def test_a_deployment_stores_the_root_and_its_command_line(self):
        redeployed = command("service", "deploy_partitions", RESULT)
        redeployed["command_result"]["service_step"]["args"] = {
            "image_info": base.GOOD
            | {"deploy_data": {"kernel_params": "console=ttyS0"}}
        }
        self.serviced(redeployed)
        self.assertEqual(base.ROOT_UUID, self.info["root_uuid_or_disk_id"])
        self.assertEqual(
            "console=ttyS0", self.info["partitions_kernel_params"]
        )

    def test_a_failed_one_does_not(self):
        self.assertEqual(base.BOOT_INFO, self.serviced(
            command("service", "switch_boot", SWITCHED, "FAILED"),
            command("service", "switch_boot", None),
        ))  # fmt: skip

    def test_the_end_of_service_finds_no_agent_and_asks_none(self):
        node = self.node(
            provision_state=states.SERVICING, driver_internal_info={}
        )
        with (
            mock.patch.object(
                agent_client.AgentClient, "get_commands_status"
            ) as asked,
            mock.patch.object(
                deploy_utils, "tear_down_inband_service"
            ) as tear_down,
            self.task(node) as task,
        ):
            task.driver.deploy.tear_down_service(task)
        self.assertTrue(tear_down.called)
        self.assertFalse(asked.called)


class ForgetTest(base.TestCase):
    """With the instance goes what was known of it."""

    def test_undeploy_forgets(self):
        node = self.node(
            provision_state=states.DELETING,
            driver_internal_info={
                "boot_info": base.BOOT_INFO,
                "root_uuid_or_disk_id": base.ROOT_UUID,
                "partitions_kernel_params": "quiet",
                "agent_status_message": "[1/2] ...",
                "agent_version": "13",
            },
        )
        with (
            mock.patch.object(conductor_utils, "node_power_action") as power,
            self.task(node) as task,
        ):
            task.driver.deploy.tear_down(task)
            task.node.save()
        self.assertTrue(power.called)
        node.refresh()
        self.assertEqual({"agent_version": "13"}, node.driver_internal_info)
