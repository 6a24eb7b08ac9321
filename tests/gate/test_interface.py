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

"""Stories (b) and (c): our deploy interface, templates, follow-up boot."""

from __future__ import annotations

import uuid
from pathlib import Path

from tests import servers
from tests.gate import artefacts, documents, evidence, places
from tests.gate.node import Console, Node, api, step

TRAIT = "CUSTOM_LVM_ROOT"


def test_b_a_template_by_trait_puts_the_root_on_lvm(
    node: Node, images: servers.Server, console: Console
):
    image_info = documents.lvm(images.url)
    api("POST", "/v1/deploy_templates", {
        "name": TRAIT,
        "steps": [step("deploy_partitions", image_info=image_info)],
    })  # fmt: skip
    api("PUT", f"/v1/nodes/{node.uuid}/traits/{TRAIT}")
    node.set(instance_info={"traits": [TRAIT]}, deploy_interface="partitions")
    shown = node.deploy()
    up = console.system()
    evidence.print_phases(node, up)
    info = shown["driver_internal_info"]
    (element,) = info["boot_info"]["elements"]
    assert up.root_uuid == element["root_uuid"]
    assert info["root_uuid_or_disk_id"] == up.root_uuid
    assert up.mounts["/"]["source"] == "/dev/mapper/vg0-root"
    assert up.mounts["/data"]["fstype"] == "xfs"
    # Nobody has given the node a document, and it has none now.
    assert "image_info" not in shown["instance_info"]


def test_c_follow_up_boot_by_virtual_media_also_after_a_power_cycle(
    node: Node, images: servers.Server, console: Console, tmp_path: Path
):
    folder = places.STATE / "images" / f"boot-{uuid.uuid4()}"
    folder.mkdir(parents=True)
    kernel, ramdisk = artefacts.boot_files(folder)
    image_info = documents.one_system(images.url, boot={"loader": "none"})
    node.set(
        deploy_interface="partitions",
        instance_info={
            "image_info": image_info,
            "partitions_boot_target": "virtual-media",
            "kernel": f"file://{kernel}",
            "ramdisk": f"file://{ramdisk}",
        },
    )
    shown = node.deploy()
    root_uuid = shown["driver_internal_info"]["root_uuid_or_disk_id"]
    up = console.system()
    after_a_cycle = Console()
    node.power("rebooting")
    again = after_a_cycle.system()
    for each in (up, again):
        roots = [w for w in each.cmdline.split() if w.startswith("root=")]
        assert roots[-1] == f"root=UUID={root_uuid}"
        assert each.root_uuid == root_uuid
        # No boot loader is on the disk: it came from the media.
        assert "BOOT_IMAGE=/vmlinuz " in f"{each.cmdline} "


def test_a_node_that_asks_for_nothing_is_none_of_ours(node: Node):
    # Stock custom-agent without a step of ours writes nothing.
    before = places.DISK.stat().st_mtime
    node.deploy()
    assert places.DISK.stat().st_mtime == before
