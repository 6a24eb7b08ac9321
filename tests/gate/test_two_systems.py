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

"""Stories (a) and (d): two systems, a switch, and data that survives."""

from __future__ import annotations

import subprocess

import pytest

from tests import servers, systems
from tests.gate import documents, evidence, places
from tests.gate.node import Console, Node, api, service_step, step
from tests.vm import qemu


@pytest.fixture
def two_systems(
    enrolled_node: Node, images: servers.Server, console: Console
) -> Node:
    """Return the node with two systems, deployed by steps if need be."""
    node = enrolled_node
    if not evidence.has_two_systems(node):
        node.available()
        image_info = documents.two_systems(images.url)
        steps = [step("deploy_partitions", image_info=image_info)]
        node.deploy(deploy_steps=steps)
        up = console.system()
        print(f"   {up.seconds:5.0f} s  Debian {up.version} is up")
        evidence.print_phases(node, up)
    return node


def test_a_two_systems_by_steps_and_a_switch(
    two_systems: Node, console: Console
):
    node = two_systems
    first = Console(start=0).last_system()
    info = evidence.boot_info_on_the_disk()
    assert [e["os_id"] for e in info["elements"]] == documents.BOTH
    current = info["elements"][info["current_element"]]
    assert first.version == "12"
    assert first.root_uuid == current["root_uuid"]
    assert {*first.mounts} >= {"/", "/data"}
    assert len(first.swap_uuids) == 1

    # A person, or a runbook, asks for the other one.
    console = Console()
    node.provision(
        "service", "active",
        service_steps=[service_step("switch_boot", image=documents.NEW)],
    )  # fmt: skip
    second = console.system()
    print(f"   {second.seconds:5.0f} s  Debian {second.version} is up")
    info = evidence.boot_info_on_the_disk()
    current = info["elements"][info["current_element"]]
    assert second.version == "13"
    assert current["os_id"] == documents.NEW
    assert second.root_uuid == current["root_uuid"]
    assert evidence.collected_boot_info() == info | {"current_element": 0}


def test_a_disk_for_both_firmwares_starts_under_seabios(two_systems: Node):
    two_systems.power("power off")
    up = qemu.boot_disk(places.DISK)
    info = evidence.boot_info_on_the_disk()
    current = info["elements"][info["current_element"]]
    assert up.root_uuid == current["root_uuid"]
    # What a kernel says of the firmware that UEFI has started it from.
    assert " efi: EFI v" not in up.console


def test_d_data_survives_a_redeployment_under_verify(
    two_systems: Node, images: servers.Server
):
    node = two_systems
    node.power("power off")
    evidence.write_to_data("kept", "since before")
    before = evidence.partition_uuids()

    again = documents.two_systems(images.url, partitions_policy="verify")
    old, *_ = again["partitions"][0]["volumes"]
    old["keep_data"] = False
    with node.maintained():
        node.set(deploy_interface="partitions")
    # Ironic 39 fails on a rebuild without an image of its own.
    node.set(
        instance_info={
            "image_info": again,
            "image_source": again["images"][0]["image_pull_url"],
            "image_type": "partition",
        }
    )
    console = Console()
    shown = node.provision("rebuild", "active")
    up = console.system()

    after = evidence.partition_uuids()
    assert evidence.read_from_data("kept") == "since before"
    changed = {n for n in before if before[n] != after[n]}
    assert changed == {"debian-12"}
    assert up.mounts["/data"]["uuid"] == after["data"]
    boot_info = shown["driver_internal_info"]["boot_info"]
    assert boot_info == evidence.boot_info_on_the_disk()


def test_steps_run_by_runbooks(two_systems: Node, console: Console):
    node = two_systems
    with node.maintained():
        node.set(deploy_interface="partitions")
    image_info = documents.two_systems("http://images.invalid")
    api("POST", "/v1/runbooks", {
        "name": "CUSTOM_SWITCH",
        "steps": [
            {"order": 1, **service_step(
                "verify_partitions", image_info=image_info)},
            {"order": 2, **service_step(
                "switch_boot", image=documents.OLD)},
        ],
    })  # fmt: skip
    api("PUT", f"/v1/nodes/{node.uuid}/traits/CUSTOM_SWITCH")
    shown = node.provision("service", "active", runbook="CUSTOM_SWITCH")
    assert console.system().version == "12"
    boot_info = shown["driver_internal_info"]["boot_info"]
    assert boot_info == evidence.boot_info_on_the_disk()


def test_nothing_leaves_the_namespace():
    routes = subprocess.run(
        ["ip", "-json", "route"], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip
    assert routes.strip() in ("", "[]", "[ ]")
    assert systems.debian_12().path.exists()
