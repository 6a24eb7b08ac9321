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


"""The REST API of a real Ironic Python Agent, as a conductor uses it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import documents, file_server, ipa, tiny

LoopDisk = Callable[..., str]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ipa.Agent]:
    with ipa.running(tmp_path) as running:
        yield running


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, ...]:
    return tuple(tiny.raw_system(tmp_path, name) for name in ("one", "two"))


def document(
    device: str, images: tuple[Path, ...] = (), url: str = ""
) -> dict[str, Any]:
    roots = (
        {
            "type": "partition",
            "size": "32 MiB",
            "mount": "/",
            "images": [image.stem],
        }
        for image in images
    )
    return documents.one_disk(
        device,
        *roots,
        {"type": "partition", "id": "rest", "size": "remaining"},
        images=[tiny.image_entry(image, url) for image in images],
        boot={"firmware": "bios"},
    )


def test_a_good_document_is_valid(agent: ipa.Agent) -> None:
    params = {"image_info": document("/dev/vdx")}

    command = agent.command("partitions.validate", params)

    assert command["command_status"] == "SUCCEEDED"
    assert command["command_result"] == {"valid": True}


@pytest.mark.parametrize("command", ["validate", "plan", "deploy"])
def test_every_problem_of_a_bad_document_is_answered_at_once(
    agent: ipa.Agent, command: str
) -> None:
    bad = document("/dev/vdx") | {"partition_policy": "clean"}
    bad["partitions"][0]["volumes"][0]["size"] = "1G"

    answer = agent.post(f"partitions.{command}", {"image_info": bad})

    assert answer.status_code == 400
    fault = answer.json()["faultstring"]
    assert "$.partition_policy: " in fault
    assert (
        "$.partitions[0].volumes[0].size: '1G' is not a size such as"
        " '100 MiB', '40%' or 'remaining'" in fault
    )
    assert agent.get("commands/").json()["commands"] == []


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({}, "image_info"),
        ({"image_info": [], "images": []}, "images"),
        ({"image_info": None}, "$: "),
        ({"image_info": "a string"}, "$: "),
    ],
)
def test_bad_parameters_are_refused(
    agent: ipa.Agent, params: dict[str, Any], named: str
) -> None:
    answer = agent.post("partitions.validate", params)

    assert answer.status_code == 400
    assert named in answer.json()["faultstring"]


def test_without_the_token_nothing_is_answered(agent: ipa.Agent) -> None:
    params = {"image_info": document("/dev/vdx")}

    refused = agent.post("partitions.validate", params, token="a guess")

    assert refused.status_code == 401
    assert agent.get("commands/", token="a guess").status_code == 401


def test_a_plan_writes_nothing(
    agent: ipa.Agent,
    loop_disk: LoopDisk,
    images: tuple[Path, ...],
) -> None:
    device = loop_disk(size_mib=256)
    Path(device).write_bytes(b"precious" * 1024)
    before = _digest(device)

    with file_server.serving(*images) as url:
        params = {"image_info": document(device, images, url)}
        command = agent.command("partitions.plan", params)

    assert command["command_status"] == "SUCCEEDED", command
    result = command["command_result"]
    assert device in result["text"]
    names = [action["action"] for action in result["plan"]]
    assert [n for n in names if n == "image"] == ["image", "image"]
    assert names.index("clear") < names.index("partition")
    assert names[-1] == "report"
    assert _digest(device) == before


def test_differences_are_an_answer_and_not_a_failure(
    agent: ipa.Agent, loop_disk: LoopDisk
) -> None:
    device = loop_disk(size_mib=64)
    params = {"image_info": document(device)}

    blank = agent.command("partitions.verify", params)
    agent.command("partitions.deploy", params)
    deployed = agent.command("partitions.verify", params)

    assert blank["command_result"] == {
        "matches": False,
        "differences": [f"{device}: is without a table, wanted gpt"],
    }
    assert deployed["command_result"] == {"matches": True, "differences": []}


def test_a_deployment_shows_progress_and_answers_with_boot_info(
    agent: ipa.Agent,
    loop_disk: LoopDisk,
    images: tuple[Path, ...],
) -> None:
    device = loop_disk(size_mib=256)
    gate = threading.Event()
    seen: list[dict[str, Any]] = []
    refused: list[int] = []

    def watch(progress: dict[str, Any]) -> None:
        seen.append(progress)
        if progress["bytes"] and not gate.is_set():
            # The images come slowly until we have looked.
            other = agent.post("partitions.get_boot_info", {})
            refused.append(other.status_code)
            gate.set()

    with file_server.serving(*images, gate=gate) as url:
        params = {"image_info": document(device, images, url)}
        command = agent.follow("partitions.deploy", params, watch, 0.05)

    assert command["command_status"] == "SUCCEEDED", command
    assert refused == [409]
    half_way = next(progress for progress in seen if progress["bytes"])
    assert set(half_way) == {
        "action",
        "number",
        "of",
        "bytes",
        "total_bytes",
        "seconds_left",
    }
    assert half_way["bytes"] < half_way["total_bytes"] == 16 * 1024**2
    assert "one" in half_way["action"] or "two" in half_way["action"]
    assert 1 < half_way["number"] < half_way["of"]

    result = command["command_result"]
    boot_info = result["boot_info"]
    assert [e["os_id"] for e in boot_info["elements"]] == ["one", "two"]
    assert [e["grub_id"] for e in boot_info["elements"]] == [0, 1]
    assert (
        boot_info["elements"][0]["boot_name"] == f"Tiny one 1 (on {device}p3)"
    )
    assert boot_info["current_element"] == 0
    assert result["root_uuid"] == boot_info["elements"][0]["root_uuid"]
    assert result["efi_system_partition_uuid"] is None
    assert json.loads(Path("/tmp/boot-info.json").read_text()) == boot_info

    read = agent.command("partitions.get_boot_info")
    assert read["command_result"] == boot_info

    switched = agent.command("partitions.switch_boot", {"image": "two"})
    assert switched["command_result"] == boot_info | {"current_element": 1}
    again = agent.command("partitions.get_boot_info")
    assert again["command_result"] == switched["command_result"]
    in_ramdisk = json.loads(Path("/tmp/boot-info.json").read_text())
    assert in_ramdisk == again["command_result"]

    unknown = agent.command("partitions.switch_boot", {"image": "three"})
    assert unknown["command_status"] == "FAILED"
    assert "three" in json.dumps(unknown["command_error"])
    assert agent.get("commands/").status_code == 200


def test_a_failed_deployment_says_why_and_the_agent_lives_on(
    agent: ipa.Agent,
    loop_disk: LoopDisk,
    images: tuple[Path, ...],
) -> None:
    with file_server.serving(*images) as url:
        info = document(loop_disk(size_mib=256), images, url)
        info["images"][1]["os_hash_value"] = 64 * "0"
        answer = agent.post("partitions.deploy", {"image_info": info})

    assert answer.status_code == 200
    command = answer.json()
    assert command["command_status"] == "FAILED"
    assert "two" in json.dumps(command["command_error"])
    listed = agent.get("commands/")
    assert listed.status_code == 200
    assert [c["command_status"] for c in listed.json()["commands"]] == [
        "FAILED"
    ]


def test_a_machine_that_will_not_do_fails_the_command(
    agent: ipa.Agent,
) -> None:
    params = {"image_info": document("/dev/vdx")}

    command = agent.command("partitions.plan", params)

    assert command["command_status"] == "FAILED"
    assert "$.partitions[0].id" in json.dumps(command["command_error"])
    assert "vdx" in json.dumps(command["command_error"])
    assert agent.get("commands/").status_code == 200


def _digest(device: str) -> str:
    with Path(device).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
