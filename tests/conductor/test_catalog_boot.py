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

"""A system of the catalog is booted by the kernel that lies beside it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from unittest import mock

from ironic.common import exception, states
from ironic.conductor import utils as conductor_utils
from ironic.drivers.modules import agent_client
from ironic.drivers.modules.redfish import boot

from ipa_partitions.conductor import follow_up, results
from tests import servers, simplestreams
from tests.conductor import base

TARGET = {"partitions_boot_target": "virtual-media"}
AMD64 = {"cpu_arch": "x86_64"}
FILES = {"squashfs": b"s", "boot-kernel": b"k", "boot-initrd": b"i"}
KEPT = "partitions_catalog_boot"
OLD = {"kernel": "k", "ramdisk": "r", "image": "debian", "reason": ""}


class CatalogBootTest(base.TestCase):
    """A catalog and a tree, signed and over https, are asked for real."""

    block_execute = False  # of gpgv

    def setUp(self):
        super().setUp()
        # A path that is short enough for the sockets of GnuPG.
        scratch = Path(self.enterContext(tempfile.TemporaryDirectory()))
        certificate = servers.self_signed(scratch)
        self.enterContext(mock.patch.dict(
            os.environ, {"REQUESTS_CA_BUNDLE": str(certificate)}
        ))  # fmt: skip
        self.web = scratch / "web"
        self.key = simplestreams.Key.make(scratch / "h")
        self.addCleanup(self.key.stop)
        self.server = self.enterContext(
            servers.http_server(self.web, certificate)
        )
        self.tree = simplestreams.Tree(self.web / "tree", self.key)
        self.tree.add("20240101", FILES)
        self.tree.add("20240201", FILES)
        self.tree.add("20240301", FILES, "ubuntu:noble:a", arch="arm64")
        self.power = self.enterContext(
            mock.patch.object(conductor_utils, "node_power_action")
        )

    def document(self, **keys):
        return base.GOOD | {
            "catalog_url": f"{self.server.url}/catalog",
            "images": [
                base.IMAGE | {"image_pull_url": "catalog:ubuntu/noble"}
            ],
            **keys,
        }

    def deploying(self, info=None, steps=(), url=None, key=None, **values):
        """Return a node of the catalog that a deployment begins on."""
        self.tree.write()
        info = {"image_info": self.document()} if info is None else info
        steps = steps or [
            {"interface": "deploy", "step": "deploy_partitions",
             "priority": 80, "args": {}},
        ]  # fmt: skip
        node = self.node(**{
            "instance_info": TARGET | info,
            "properties": AMD64,
            "provision_state": states.DEPLOYING,
            "driver_internal_info": {"deploy_steps": steps, KEPT: OLD},
        } | values)  # fmt: skip
        source = simplestreams.boot_source(
            url or f"{self.server.url}/tree",
            (key or self.key).in_base64,
            arches=["*"],
        )
        catalog = self.web / "catalog" / node.uuid
        catalog.parent.mkdir(exist_ok=True)
        catalog.write_text(json.dumps([source]))
        return node

    def deploy(self, node):
        with self.task(node) as task:
            task.driver.deploy.deploy(task)
        return self.kept(node)

    def kept(self, node):
        node.refresh()
        kept = node.driver_internal_info.get(KEPT)
        return kept and {key: kept[key] for key in ("kernel", "ramdisk")}

    def refused(self, node):
        with self.task(node) as task:
            error = self.assertRaises(
                exception.IronicException, task.driver.deploy.deploy, task
            )
        self.assertFalse(self.power.called)
        return str(error)

    def files(self, version="20240201", release="noble"):
        folder = f"{self.server.url}/tree/ubuntu/{release}/{version}"
        return {
            "kernel": f"{folder}/boot-kernel",
            "ramdisk": f"{folder}/boot-initrd",
        }

    def test_it_is_that_of_the_newest_version(self):
        node = self.deploying()
        with (
            mock.patch.object(boot.RedfishVirtualMediaBoot, "validate"),
            self.task(node) as task,
        ):
            task.driver.deploy.validate(task)
        self.assertEqual(self.files(), self.deploy(node))
        self.assertTrue(self.power.called)

    def test_it_is_that_of_the_machine(self):
        node = self.deploying(properties={"cpu_arch": "aarch64"})
        self.assertEqual(self.files("20240301"), self.deploy(node))

    def test_the_document_may_be_that_of_a_step(self):
        step = {
            "interface": "deploy", "step": "deploy_partitions",
            "priority": 80, "args": {"image_info": self.document()},
        }  # fmt: skip
        node = self.deploying(info={}, steps=[step])
        self.assertEqual(self.files(), self.deploy(node))

    def test_who_names_them_or_boots_the_disk_asks_for_none(self):
        document = {"image_info": self.document()}
        for info in (
            document | {"kernel": "http://k", "ramdisk": "http://r"},
            document | {"partitions_boot_target": "local"},
        ):
            self.assertIsNone(self.deploy(self.deploying(info)))
        self.assertEqual([], self.server.requests)

    def test_it_is_booted_and_not_stored(self):
        node = self.deploying()
        self.deploy(node)
        node.set_driver_internal_info("root_uuid_or_disk_id", base.ROOT_UUID)
        node.save()
        seen = []
        with self.task(node) as task:
            task.driver.boot = mock.Mock()
            task.driver.boot.prepare_instance = lambda task: seen.append(
                task.node.instance_info
            )
            follow_up.follow(task)
            task.driver.boot.prepare_instance(task)
        (booted,) = seen
        self.assertEqual(self.files(), {k: booted[k] for k in self.files()})
        node.refresh()
        self.assertNotIn("kernel", node.instance_info)

    def test_what_cannot_be_had_or_trusted_is_refused_before_power(self):
        other = simplestreams.Key.make(self.web.parent / "o")
        self.addCleanup(other.stop)
        plain = self.enterContext(servers.http_server(self.web))
        local = self.document(images=[base.IMAGE])
        without = self.document()
        del without["catalog_url"]
        for values, told in (
            ({"properties": {}}, "properties['cpu_arch'] has to be set"),
            ({"properties": {"cpu_arch": "s390x"}}, "no source has it for"),
            ({"key": other}, "is not signed by a key"),
            ({"url": f"{plain.url}/tree"}, "/tree: is not over https"),
            (
                {
                    "info": {
                        "image_info": self.document(
                            catalog_url=f"{plain.url}/catalog"
                        )
                    }
                },
                "is not over https",
            ),
            ({"info": {"image_info": local}}, "no kernel and no ramdisk"),
            ({"info": {"image_info": without}}, "no kernel and no ramdisk"),
            ({"info": {}}, "no kernel and no ramdisk"),
        ):
            self.assertIn(told, self.refused(self.deploying(**values)))
        self.assertEqual([], plain.requests)

    def test_a_system_that_stays_keeps_its_kernel(self):
        verify = self.document(partitions_policy="verify")
        node = self.deploying({"image_info": verify})
        self.assertEqual({"kernel": "k", "ramdisk": "r"}, self.deploy(node))
        # Of one that nobody knows a kernel of it is asked for.
        node.set_driver_internal_info(KEPT, OLD | {"image": "another"})
        node.save()
        self.assertEqual(self.files(), self.deploy(node))

    def test_after_a_service_step_it_is_asked_for_until_it_is_there(self):
        node = self.deploying(provision_state=states.SERVICEWAIT)
        catalog = self.web / "catalog" / node.uuid
        sources = catalog.read_text()
        catalog.unlink()
        done = {
            "id": "1",
            "command_name": "execute_service_step",
            "command_status": "SUCCEEDED",
            "command_result": {
                "service_step": {"step": "deploy_partitions", "args": {}},
                "service_result": {"root_uuid": base.ROOT_UUID},
            },
        }

        def heartbeat():
            with (
                mock.patch.object(
                    agent_client.AgentClient,
                    "get_commands_status",
                    return_value=[done],
                ),
                self.task(node) as task,
            ):
                results.keep_service(task)
            return self.kept(node)

        self.assertEqual("k", heartbeat()["kernel"])
        catalog.write_text(sources)
        self.assertEqual(self.files(), heartbeat())
        asked = len(self.server.requests)
        self.assertEqual(self.files(), heartbeat())
        self.assertEqual(asked, len(self.server.requests))
        done["id"] = "2"
        self.tree.add("20240901", FILES)
        self.tree.write()
        self.assertEqual(self.files("20240901"), heartbeat())

    def test_a_version_without_them_is_refused(self):
        self.tree.add("20250101", {"squashfs": b"s"})
        self.assertIn(
            "version 20250101 has no boot-kernel",
            self.refused(self.deploying()),
        )

    def test_a_node_that_the_catalog_does_not_know_is_refused(self):
        node = self.deploying()
        (self.web / "catalog" / node.uuid).unlink()
        self.assertIn("does not know node", self.refused(node))
