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

"""Two systems, a redeployment under verify, and switch_boot.

The node has the deploy interface ``partitions``, which keeps boot-info where
it can be read through the API.
"""

from tempest import config, test
from tempest.lib import decorators

from ipa_partitions_tempest_plugin import documents, node

CONF = config.CONF


class TwoSystemsTest(test.BaseTestCase):
    """One node, from nothing to a switch of systems."""

    credentials = ("admin",)

    @classmethod
    def skip_checks(cls):
        """Skip without an image, and without our ramdisk."""
        super().skip_checks()
        if not CONF.service_available.ipa_partitions:
            raise cls.skipException("the ramdisk has no ipa-partitions")
        if not CONF.ipa_partitions.image_url:
            raise cls.skipException("no [ipa_partitions]image_url")

    @classmethod
    def setup_clients(cls):
        """Make a client of Ironic."""
        super().setup_clients()
        cls.client = node.BaremetalClient(
            cls.os_admin.auth_provider, "baremetal", CONF.identity.region
        )

    @classmethod
    def resource_setup(cls):
        """Take a node, to be given back as it was."""
        super().resource_setup()
        cls.uuid = CONF.ipa_partitions.node or cls.client.nodes("available")[0]
        before = cls.client.show(cls.uuid)["deploy_interface"]
        cls.client.update(cls.uuid, deploy_interface="partitions")
        cls.addClassResourceCleanup(
            cls.client.update, cls.uuid, deploy_interface=before
        )
        cls.addClassResourceCleanup(cls.undeploy)

    @classmethod
    def undeploy(cls):
        """Make the node available again."""
        cls.client.provision(cls.uuid, "deleted")
        cls.wait("available")

    @classmethod
    def wait(cls, state):
        """Return the node when it is in a state."""
        options = CONF.ipa_partitions
        return node.wait_for_state(
            cls.client, cls.uuid, state,
            options.provision_timeout, options.poll_interval,
        )  # fmt: skip

    def document(self, **keys):
        """Return the document of this scenario."""
        options = CONF.ipa_partitions
        return documents.two_systems(
            options.image_url, options.image_sha256, **keys
        )

    def boot_info(self, shown):
        """Return what Ironic keeps of a node's systems."""
        return shown["driver_internal_info"]["boot_info"]

    @decorators.idempotent_id("5b4a8a6e-5f0b-4f8c-9c2f-5a1f0c8e7d11")
    def test_two_systems_redeployed_and_switched(self):
        """Deploy two, make one of them anew, boot the other."""
        steps = [
            documents.step("deploy_partitions", image_info=self.document())
            | {"priority": 80}
        ]
        self.client.provision(self.uuid, "active", deploy_steps=steps)
        first = self.boot_info(self.wait("active"))
        self.assertEqual(set(documents.NAMES), set(documents.uuids(first)))

        again = self.document(policy="verify", keep_first=False)
        instance_info = {
            "image_info": again,
            # Ironic 39 fails on a rebuild without an image of its own.
            "image_source": CONF.ipa_partitions.image_url,
            "image_type": "partition",
        }
        self.client.update(self.uuid, instance_info=instance_info)
        self.client.provision(self.uuid, "rebuild")
        second = self.boot_info(self.wait("active"))
        changed = {
            name
            for name, uuid in documents.uuids(first).items()
            if documents.uuids(second)[name] != uuid
        }
        self.assertEqual({documents.NAMES[0]}, changed)

        switch = documents.step("switch_boot", image=documents.NAMES[1])
        self.client.provision(self.uuid, "service", service_steps=[switch])
        third = self.boot_info(self.wait("active"))
        self.assertEqual(documents.NAMES[1], documents.default(third))
