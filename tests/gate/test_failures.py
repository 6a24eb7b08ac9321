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

"""Stories (f) and (g): half-way failures, and layouts for one time only."""

from __future__ import annotations

from tests import servers
from tests.gate import documents, evidence
from tests.gate.node import Console, Node

# More than what stands before the images, less than one of them.
DIES_AT_BYTES = 24 << 20


def test_f_an_image_server_that_dies_half_way(
    node: Node, images: servers.Server, console: Console
):
    # A default of the node, and for this one time another layout.
    default = documents.one_system(images.url)
    node.set(
        deploy_interface="partitions",
        extra={"default_image_info": default},
        instance_info={"image_info": documents.lvm(images.url)},
    )
    images.faults = servers.Faults(cuts=[DIES_AT_BYTES, *[0] * 99])
    node.provision("active", "deploy failed")
    (reason, *_) = node.errors()
    assert "Deploy step deploy.deploy_partitions failed" in reason
    assert "debian-13.tar.zst" in reason

    images.faults = servers.Faults()
    node.deploy()
    assert console.system().mounts["/"]["source"] == "/dev/mapper/vg0-root"


def test_g_without_a_layout_the_default_one_is_deployed(
    node: Node, images: servers.Server, console: Console
):
    shown = node.shown()
    for key in ("boot_info", "root_uuid_or_disk_id"):
        assert key not in shown["driver_internal_info"]
    default = documents.one_system(images.url)
    node.set(
        deploy_interface="partitions",
        extra={"default_image_info": default},
    )
    shown = node.deploy()
    up = console.system()
    assert up.mounts["/"]["source"].startswith("/dev/vda")
    assert documents.NEW in evidence.partitions()
    assert shown["extra"] == {"default_image_info": default}
    assert shown["instance_info"].keys() <= {"configdrive", "capabilities"}
