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

"""A bad document is refused while the node is still off."""

from __future__ import annotations

from unittest import mock

from ironic.common import exception, states
from ironic.conductor import steps as conductor_steps
from ironic.conductor import utils as conductor_utils
from ironic.drivers.modules.redfish import boot

from ipa_partitions.conductor import documents
from tests.conductor import base


class ValidateTest(base.TestCase):
    """What ``baremetal node validate`` and ``deploy`` answer."""

    def setUp(self):
        super().setUp()
        patched = mock.patch.object(
            boot.RedfishVirtualMediaBoot, "validate", autospec=True
        )
        patched.start()
        self.addCleanup(patched.stop)

    def refused(self, **values):
        with self.task(self.node(**values)) as task:
            error = self.assertRaises(
                exception.InvalidParameterValue,
                task.driver.deploy.validate,
                task,
            )
        return str(error)

    def accepted(self, **values):
        with self.task(self.node(**values)) as task:
            task.driver.deploy.validate(task)

    def test_a_good_document_is_accepted_from_either_place(self):
        self.accepted(instance_info={"image_info": base.GOOD})
        self.accepted(extra={"default_image_info": base.GOOD})

    def test_a_document_that_only_the_ramdisk_has_is_left_to_it(self):
        self.accepted()

    def test_every_problem_is_told_with_its_path(self):
        for values in (
            {"instance_info": {"image_info": base.BAD}},
            {"extra": {"default_image_info": base.BAD}},
        ):
            told = self.refused(**values)
            for path in base.PATHS:
                self.assertIn(path, told)

    def test_the_first_place_alone_counts(self):
        self.accepted(
            instance_info={"image_info": base.GOOD},
            extra={"default_image_info": base.BAD},
        )

    def test_a_target_is_known_and_fits_the_boot_interface(self):
        for target, told in (
            ("floppy", "not one of local, pxe, ipxe, http, virtual-media"),
            ("ipxe", "which the boot interface redfish-virtual-media does"),
        ):
            info = base.FOLLOW_UP | {"partitions_boot_target": target}
            self.assertIn(told, self.refused(instance_info=info))

    def test_a_target_needs_what_is_booted(self):
        info = {
            "partitions_boot_target": "virtual-media",
            "kernel": "x",
            "image_info": base.GOOD,
        }
        with self.task(self.node(instance_info=info)) as task:
            error = self.assertRaises(
                exception.MissingParameterValue,
                task.driver.deploy.validate,
                task,
            )
        self.assertIn("has no ramdisk of the image", str(error))
        self.accepted(instance_info=base.FOLLOW_UP)

    def test_a_target_needs_a_root_that_is_known(self):
        whole = {
            "id": "x",
            "urls": ["file:///x.raw"],
            "image_type": "whole-disk",
        }
        told = self.refused(
            instance_info=base.FOLLOW_UP | {"image_info": whole}
        )
        self.assertIn("the image is one of a whole disk", told)
        self.accepted(instance_info={"image_info": whole})


class StepsTest(base.TestCase):
    """Documents of steps are seen in ``deploy``, before the power is."""

    def deploy(self, *steps):
        node = self.node(
            provision_state=states.DEPLOYING,
            extra={"layouts": {"bad": base.BAD, "good": base.GOOD}},
            driver_internal_info={
                "deploy_steps": [*steps],
                "boot_info": base.BOOT_INFO,
            },
        )
        with (
            mock.patch.object(conductor_utils, "node_power_action") as power,
            self.task(node) as task,
        ):
            try:
                return task.driver.deploy.deploy(task), power, task.node
            except exception.InvalidParameterValue as error:
                self.assertFalse(power.called)
                return str(error)

    def step(self, name="deploy_partitions", priority=80, **args):
        return {
            "interface": "deploy", "step": name,
            "priority": priority, "args": args,
        }  # fmt: skip

    def test_a_good_step_powers_the_node_on_and_forgets(self):
        state, power, node = self.deploy(
            self.step(image_info=base.GOOD), self.step(layout="good")
        )
        self.assertEqual(states.DEPLOYWAIT, state)
        self.assertEqual(1, power.call_count)
        self.assertNotIn("boot_info", node.driver_internal_info)

    def test_a_bad_step_does_not(self):
        for step in (
            self.step(image_info=base.BAD),
            self.step(layout="bad"),
            self.step("apply_partitions", image_info=base.BAD),
            self.step("verify_partitions", layout="bad"),
        ):
            told = self.deploy(self.step(image_info=base.GOOD), step)
            for path in base.PATHS:
                self.assertIn(path, told)

    def test_ironic_itself_knows_them_before_the_agent_runs(self):
        for name in documents.STEPS:
            asked = self.step(name, image_info=base.BAD)
            node = self.node(
                provision_state=states.DEPLOYING,
                driver_internal_info={"user_deploy_steps": [asked]},
            )
            with (
                mock.patch.object(conductor_utils, "node_power_action") as on,
                self.task(node) as task,
            ):
                conductor_steps.set_node_deployment_steps(
                    task, skip_missing=True
                )
                error = self.assertRaises(
                    exception.InvalidParameterValue,
                    task.driver.deploy.deploy,
                    task,
                )
            self.assertFalse(on.called)
            for path in base.PATHS:
                self.assertIn(path, str(error))

    def test_two_documents_are_one_too_many(self):
        told = self.deploy(self.step(image_info=base.GOOD, layout="good"))
        self.assertIn("both image_info and layout", told)

    def test_what_is_not_ours_or_not_to_run_is_left_alone(self):
        state, _, _ = self.deploy(
            {"interface": "bios", "step": "deploy_partitions", "args": None},
            self.step("erase", image_info=base.BAD),
            self.step(priority=0, image_info=base.BAD),
            self.step(layout="only-the-ramdisk-knows"),
        )
        self.assertEqual(states.DEPLOYWAIT, state)
