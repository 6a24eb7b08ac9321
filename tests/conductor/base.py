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

"""A node of ours in Ironic's own test database."""

from __future__ import annotations

import itertools
import tempfile

from ironic.conductor import task_manager
from ironic.tests.unit.db import base
from ironic.tests.unit.objects import utils as objects
from oslo_utils import uuidutils

ROOT_UUID = "2abf123d-d52f-4f62-a351-7358221bc51f"

DISK = {"type": "disk", "id": {"type": "name", "value": "vda"}}
ROOT = {"type": "partition", "size": "remaining", "mount": "/"}
IMAGE = {"name": "debian", "image_pull_url": "file:///debian.raw"}
GOOD = {
    "partitions_policy": "clean",
    "partitions": [DISK | {"volumes": [ROOT]}],
    "images": [IMAGE],
}
# Two problems, to see that all are told.
BAD = GOOD | {
    "partitions_policy": "maybe",
    "partitions": [DISK | {"volumes": [ROOT | {"size": "1G"}]}],
}
PATHS = ("$.partitions_policy: ", "$.partitions[0].volumes[0].size: '1G'")

BOOT_INFO = {
    "elements": [
        {
            "grub_id": 0,
            "image_name": "debian",
            "os_id": "debian",
            "image_uuid": None,
            "boot_name": "Debian GNU/Linux 13 (trixie) (on /dev/vda3)",
            "root_uuid": ROOT_UUID,
        }
    ],
    "current_element": 0,
    "multiboot_partition": None,
}
FOLLOW_UP = {
    "partitions_boot_target": "virtual-media",
    "kernel": "http://images/vmlinuz",
    "ramdisk": "http://images/initrd",
}

ENABLED = {
    "enabled_hardware_types": ["partitions-redfish", "partitions-ipmi"],
    "enabled_deploy_interfaces": ["partitions", "direct", "custom-agent"],
    "enabled_boot_interfaces": ["redfish-virtual-media", "ipxe", "pxe"],
    "enabled_management_interfaces": ["redfish", "ipmitool"],
    "enabled_power_interfaces": ["redfish", "ipmitool"],
    "enabled_network_interfaces": ["noop"],
    "enabled_inspect_interfaces": ["no-inspect"],
    "enabled_vendor_interfaces": ["no-vendor"],
    "enabled_bios_interfaces": ["no-bios"],
    "enabled_raid_interfaces": ["no-raid"],
    "enabled_firmware_interfaces": ["no-firmware"],
    "enabled_console_interfaces": ["no-console"],
    "enabled_rescue_interfaces": ["no-rescue", "partitions"],
    "enabled_storage_interfaces": ["noop"],
}


_numbers = itertools.count(1)


class TestCase(base.DbTestCase):
    """Ironic with our hardware types, deploy interface and a node."""

    driver = "partitions-redfish"
    boot_interface = "redfish-virtual-media"

    def setUp(self):
        super().setUp()
        self.config(**ENABLED)
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.config(
            default_boot_mode="uefi", http_root=self.folder,
            http_url="http://ironic", group="deploy",
        )  # fmt: skip
        self.config(tftp_root=self.folder, group="pxe")

    def node(self, **values):
        node = objects.create_test_node(
            self.context,
            id=next(_numbers),
            uuid=uuidutils.generate_uuid(),
            driver=self.driver,
            boot_interface=self.boot_interface,
            network_interface="noop",
            driver_info={
                "redfish_address": "http://127.0.0.1:8000",
                "redfish_system_id": "/redfish/v1/Systems/1",
                "deploy_kernel": "http://images/ipa.kernel",
                "deploy_ramdisk": "http://images/ipa.initramfs",
                "rescue_kernel": "http://images/ipa.kernel",
                "rescue_ramdisk": "http://images/ipa.initramfs",
                "bootloader": "http://images/esp.img",
            },
            **{
                "instance_info": {},
                "driver_internal_info": {},
                "deploy_interface": "partitions",
            }
            | values,
        )
        objects.create_test_port(
            self.context,
            node_id=node.id,
            uuid=uuidutils.generate_uuid(),
            address=f"52:54:00:00:00:{node.id:02x}",
        )
        return node

    def task(self, node, shared=False):
        return task_manager.acquire(self.context, node.uuid, shared=shared)
