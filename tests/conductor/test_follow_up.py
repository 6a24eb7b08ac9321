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

"""The deployed system is booted from where the instance wants it."""

from __future__ import annotations

import types
from pathlib import Path
from unittest import mock

from ironic.common import exception, pxe_utils, states
from ironic.conductor import utils as conductor_utils
from ironic.drivers.modules import boot_mode_utils, image_utils, pxe_base
from ironic.drivers.modules.redfish import boot
from ironic.drivers.modules.redfish import utils as redfish_utils

from ipa_partitions.conductor import follow_up
from ipa_partitions.conductor.deploy import PartitionsDeploy
from tests.conductor import base

LINE = f"root=UUID={base.ROOT_UUID} ro quiet"
KNOWN = {
    "root_uuid_or_disk_id": base.ROOT_UUID,
    "partitions_kernel_params": "quiet",
    "is_whole_disk_image": True,  # Ironic's guess of what it does not know
}
AFTER = {
    "provision_state": states.DEPLOYING,
    "instance_info": base.FOLLOW_UP | {"configdrive": "H4sI"},
    "driver_internal_info": KNOWN,
}


class CommandLineTest(base.TestCase):
    """One line, and what it needs is there."""

    def line(self, **info):
        return follow_up.command_line(self.node(driver_internal_info=info))

    def test_it_finds_the_root(self):
        self.assertEqual(LINE, self.line(**KNOWN))

    def test_it_is_one_line(self):
        for bad in ("a\nb", "a\rb", "a\0b"):
            self.assertRaises(
                exception.InvalidParameterValue, self.line,
                **KNOWN | {"partitions_kernel_params": bad},
            )  # fmt: skip

    def test_without_a_root_there_is_none(self):
        for known in ({}, {"root_uuid_or_disk_id": "0x1234abcd"}):
            self.assertRaises(
                exception.InvalidParameterValue, self.line, **known
            )


class VirtualMediaTest(base.TestCase):
    """Down to the command line of the image that Ironic builds."""

    def setUp(self):
        super().setUp()
        self.made = self.enterContext(
            mock.patch.object(image_utils.images, "create_boot_iso")
        )
        for target, name in (
            (redfish_utils, "get_system"),
            (boot, "_eject_vmedia"),
            (boot_mode_utils, "sync_boot_mode"),
            (boot_mode_utils, "configure_secure_boot_if_needed"),
        ):
            self.enterContext(mock.patch.object(target, name))
        self.enterContext(mock.patch.object(
            boot, "_detect_supported_transport_protocols",
            return_value={"http"},
        ))  # fmt: skip
        self.enterContext(mock.patch.object(
            boot, "_select_transport_protocol", return_value="http",
        ))  # fmt: skip
        self.inserted = self.enterContext(
            mock.patch.object(boot, "_insert_vmedia")
        )
        self.enterContext(mock.patch.object(
            image_utils.ImageHandler, "publish_image",
            return_value="http://ironic/boot.iso",
        ))  # fmt: skip
        self.device = self.enterContext(mock.patch.object(
            boot.RedfishVirtualMediaBoot, "_set_boot_device"
        ))  # fmt: skip

    def booted(self):
        _, _, kernel, ramdisk = self.made.call_args[0]
        line = str(self.made.call_args[1]["kernel_cmd_line"])
        self.assertEqual(base.FOLLOW_UP["kernel"], kernel)
        self.assertEqual(base.FOLLOW_UP["ramdisk"], ramdisk)
        roots = [w for w in line.split() if w.startswith("root=")]
        self.assertEqual(f"root=UUID={base.ROOT_UUID}", roots[-1])
        self.assertIn("quiet", line.split())
        self.assertIn("cdrom", self.device.call_args[0])

    def unchanged(self, node):
        node.refresh()
        self.assertEqual("partitions", node.deploy_interface)
        self.assertEqual(AFTER["instance_info"], node.instance_info)

    def test_a_deployment_ends_with_it(self):
        node = self.node(**AFTER)
        with (
            mock.patch.object(conductor_utils, "node_power_action") as power,
            self.task(node) as task,
        ):
            task.driver.deploy.prepare_instance_boot(task)
        # The agent is still asked for its logs, and to power off.
        self.assertFalse(power.called)
        self.booted()
        self.unchanged(node)

    def test_a_takeover_does_it_again(self):
        node = self.node(**AFTER | {"provision_state": states.ACTIVE})
        with self.task(node) as task:
            task.driver.deploy.prepare(task)
        self.booted()
        self.unchanged(node)

    def test_the_end_of_service_does_it_again(self):
        node = self.node(**AFTER | {"provision_state": states.SERVICING})
        with (
            mock.patch.object(conductor_utils, "node_power_action"),
            mock.patch.object(
                boot.RedfishVirtualMediaBoot, "clean_up_ramdisk"
            ),
            self.task(node) as task,
        ):
            task.driver.deploy.tear_down_service(task)
            self.booted()
            # As Ironic does it when a service was aborted.
            self.made.reset_mock()
            task.driver.boot.prepare_instance(task)
        self.booted()
        self.unchanged(node)

    def test_the_end_of_a_rescue_does_it_again(self):
        secret = {"rescue_password": "x", "hashed_rescue_password": "y"}
        node = self.node(
            **AFTER
            | {
                "provision_state": states.UNRESCUING,
                "instance_info": AFTER["instance_info"] | secret,
            },
            rescue_interface="partitions",
        )
        with (
            mock.patch.object(conductor_utils, "node_power_action"),
            mock.patch.object(
                boot.RedfishVirtualMediaBoot, "clean_up_ramdisk"
            ),
            self.task(node) as task,
        ):
            self.assertEqual(states.ACTIVE, task.driver.rescue.unrescue(task))
        self.booted()
        self.unchanged(node)

    def test_a_local_target_boots_the_disk(self):
        for info in ({}, {"partitions_boot_target": "local"}):
            node = self.node(**AFTER | {"instance_info": info})
            with self.task(node) as task:
                task.driver.deploy.prepare_instance_boot(task)
            self.assertFalse(self.made.called)
            self.assertIn("disk", self.device.call_args[0])

    def test_a_failure_leaves_the_node_as_it_was(self):
        self.inserted.side_effect = exception.RedfishError(error="no slot")
        node = self.node(**AFTER)
        with (
            mock.patch("ironic.drivers.modules.deploy_utils.set_failed_state"),
            self.task(node) as task,
        ):
            error = self.assertRaises(
                exception.InstanceDeployFailure,
                task.driver.deploy.prepare_instance_boot,
                task,
            )
        self.assertIn("no slot", str(error))
        self.unchanged(node)


class NetworkTest(base.TestCase):
    """Down to the configuration that Ironic renders for PXE and iPXE."""

    driver = "partitions-ipmi"
    boot_interface = "ipxe"

    def booted(self, target, state=states.DEPLOYING):
        self.boot_interface = target
        info = base.FOLLOW_UP | {"partitions_boot_target": target}
        node = self.node(
            **AFTER | {"instance_info": info, "provision_state": state}
        )
        self.config(http_url="http://ironic", group="deploy")
        with (
            mock.patch.object(pxe_utils, "cache_ramdisk_kernel") as cached,
            mock.patch.object(pxe_utils, "clean_up_pxe_env") as cleaned,
            mock.patch.object(pxe_base.dhcp_factory, "DHCPFactory"),
            mock.patch.object(boot_mode_utils, "sync_boot_mode"),
            mock.patch.object(
                boot_mode_utils, "configure_secure_boot_if_needed"
            ),
            mock.patch.object(conductor_utils, "node_set_boot_device") as dev,
            self.task(node) as task,
        ):
            if state == states.ACTIVE:
                task.driver.deploy.prepare(task)
            else:
                task.driver.deploy.prepare_instance_boot(task)
        self.assertEqual(state == states.DEPLOYING, cleaned.called)
        self.assertEqual({"kernel", "ramdisk"}, {*cached.call_args[0][1]})
        node.refresh()
        self.assertEqual(info, node.instance_info)
        written = Path(self.folder, node.uuid, "config").read_text()
        self.assertIn(
            "goto boot_ramdisk"
            if target == "ipxe"
            else "default=boot_ramdisk",
            written,
        )
        self.assertIn(LINE, written)
        return dev

    def test_a_deployment_ends_with_it(self):
        for target in ("ipxe", "pxe"):
            device = self.booted(target)
            self.assertEqual("pxe", device.call_args[0][1])

    def test_a_takeover_does_it_again(self):
        self.booted("ipxe", states.ACTIVE)


class InterfaceTest(base.TestCase):
    """Both hardware types offer it, and it is their default."""

    def test_it_is_the_default(self):
        for driver in ("partitions-redfish", "partitions-ipmi"):
            self.driver = driver
            self.boot_interface = "ipxe"
            with self.task(self.node(deploy_interface=None)) as task:
                self.assertIsInstance(task.driver.deploy, PartitionsDeploy)

    def test_its_step_is_run_by_the_agent(self):
        node = self.node(provision_state=states.DEPLOYING)
        with (
            mock.patch(
                "ironic.drivers.modules.agent_base.execute_step",
                return_value=states.DEPLOYWAIT,
            ) as execute,
            self.task(node) as task,
        ):
            (step,) = [
                s for s in task.driver.deploy.get_deploy_steps(task)
                if s["step"] == "deploy_partitions"
            ]  # fmt: skip
            self.assertEqual(80, step["priority"])
            task.node.deploy_step = step
            state = task.driver.deploy.execute_deploy_step(task, step)
        self.assertEqual(states.DEPLOYWAIT, state)
        self.assertEqual(step["step"], execute.call_args[0][1]["step"])

    def test_redfish_finds_its_option(self):
        self.config(verify_ca="/ca.pem", group="partitions-redfish")
        self.assertEqual(
            "/ca.pem",
            redfish_utils.driver_utils.get_verify_ca(
                types.SimpleNamespace(driver="partitions-redfish"), True
            ),
        )
