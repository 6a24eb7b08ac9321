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

"""Plug-ins of others: the sample package, broken ones, taken names."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions.disk.size import MIB
from tests import documents, file_server, ipa, plugin, tiny
from tests.program import PROGRAM

NOTE = "IPA_PARTITIONS_SAMPLE_NOTE"
DISK = "IPA_PARTITIONS_TEST_DISK"


def environment(site: Path, **further: str) -> dict[str, str]:
    # stevedore keeps what it has found per search path, at home.
    cache = {"XDG_CACHE_HOME": str(site / "cache")}
    return os.environ | cache | {"PYTHONPATH": str(site)} | further


def run(*argv: str, env: dict[str, str], stdin: str = "") -> Any:
    return subprocess.run(
        [str(PROGRAM), *argv],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plugin.install(tmp_path_factory.mktemp("plugin"))


def document(
    device: str, image: Path | None = None, url: str = "file:///no"
) -> dict[str, Any]:
    entry = {"name": "one", "image_pull_url": f"{url}/one.tar"}
    if image is not None:
        entry = tiny.image_entry(image, url)
    vendor = {
        "type": "partition",
        "name": "vendor",
        "size": "remaining",
        "file_system": "sample_ext4",
    }
    note = {
        "type": "sample_note",
        "size": "16 MiB",
        "mount": "/srv",
        "text": "good day",
    }
    return documents.one_disk(
        device,
        {"type": "partition", "size": "32 MiB", "mount": "/"},
        note,
        vendor,
        images=[entry],
        boot={"firmware": "bios"},
    )


def test_an_installed_action_gets_the_partition_that_it_asks_for(sample):
    ran = run(
        "plan", "-", "--disk", "vda=256MiB", "--json",
        env=environment(sample, **{NOTE: "hello"}),
        stdin=json.dumps(document("vda")),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    plan = json.loads(ran.stdout)
    (disk,) = plan["disks"]
    asked = {part["name"]: part for part in disk["partitions"]}["sample-note"]
    assert asked["size_bytes"] == 16 * MIB
    assert asked["file_system"] == "sample_ext4"
    assert [
        each["text"]
        for each in plan["actions"]
        if each["action"] == "sample_note"
    ] == [
        "write a note of 5 letters to /dev/vda2",
        "write a note of 8 letters to /dev/vda4",
    ]


def test_without_the_package_what_it_brings_is_unknown(tmp_path):
    ran = run(
        "validate", "-",
        env=environment(tmp_path), stdin=json.dumps(document("vda")),
    )  # fmt: skip
    assert ran.returncode == 2
    assert "$.partitions[0].volumes[1].type: 'sample_note'" in ran.stderr
    assert "$.partitions[0].volumes[2].file_system: " in ran.stderr


def test_an_installed_action_and_filesystem_do_their_work(
    sample, loop_disk, tmp_path
):
    device = loop_disk(size_mib=256)
    image = tiny.raw_system(tmp_path, "one")
    with file_server.serving(image) as url:
        ran = run(
            "deploy", "-", "--yes",
            env=environment(sample, **{NOTE: "hello"}),
            stdin=json.dumps(document(device, image, url)),
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for number, text in ((2, "hello"), (4, "good day")):
        read = subprocess.run(
            ["debugfs", "-R", "cat note.txt", f"{device}p{number}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert read.stdout == text
    features = subprocess.run(
        ["dumpe2fs", "-h", f"{device}p5"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "extent" in features.stdout
    assert "has_journal" not in features.stdout


def test_ironic_s_rules_choose_the_disk_for_a_classic_document(
    sample, loop_disk, tmp_path
):
    device = loop_disk(size_mib=256)
    image = tiny.raw_system(tmp_path, "one")
    env = environment(sample, **{DISK: device})
    with (
        file_server.serving(image) as url,
        ipa.running(tmp_path, env) as agent,
    ):
        entry = tiny.image_entry(image, url)
        command = agent.command(
            "partitions.deploy",
            {
                "image_info": {
                    "id": "one",
                    "urls": [entry.pop("image_pull_url")],
                    "root_mb": 64,
                    "swap_mb": 16,
                    **entry,
                },
                "node": {"uuid": "6f1e6a06-4a24-4d5b-9b83-0a1a0bb3a3a4"},
            },
        )
    assert command["command_status"] == "SUCCEEDED", command
    found = subprocess.run(
        ["blkid", "--probe", "-o", "value", "-s", "UUID", f"{device}p3"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert command["command_result"]["root_uuid"] == found.stdout.strip()


def claim(site: Path, package: str, group: str, line: str) -> None:
    """Install a package that has one entry point, and no code."""
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[ipa_partitions.{group}]\n{line}\n"
    )


@pytest.mark.parametrize(("group", "line", "says"), [
    ("filesystems", "zfs = no_such_vendor:ZFS",
     ["ipa_partitions.filesystems", "'zfs'", "no_such_vendor"]),
    ("actions", "polish = ipa_partitions.plan:Polish",
     ["ipa_partitions.actions", "'polish'", "ipa_partitions.plan:Polish"]),
    ("filesystems", "ext4 = ipa_partitions.disk.filesystem:EXT3",
     ["'ext4' is taken twice", "filesystem:EXT3", "filesystem:EXT4"]),
    ("actions", "clear = ipa_partitions.plan:Plan",
     ["'clear' is taken twice", "ipa_partitions.plan:Plan"]),
    ("sources", "http = ipa_partitions.plan:Plan",
     ["'http' is taken twice", "ipa_partitions.plan:Plan"]),
    ("volumes", "partition = ipa_partitions.plan:Plan",
     ["'partition' is taken twice", "ipa_partitions.plan:Plan"]),
    ("volumes", "odd = ipa_partitions.plan:Plan",
     ["ipa_partitions.volumes", "'odd' is no subclass of Partition"]),
    ("deployers", "qcow3 = no_such_vendor:QCOW3",
     ["ipa_partitions.deployers", "'qcow3'"]),
    ("bootloaders", "grub = no_such_vendor:GRUB",
     ["ipa_partitions.bootloaders", "'grub'"]),
])  # fmt: skip
def test_a_broken_or_doubly_named_plugin_stops_the_program_by_name(
    tmp_path, group, line, says
):
    claim(tmp_path, "vendor", group, line)
    good = document("vda")
    del good["partitions"][0]["volumes"][1:]
    ran = run(
        "plan", "-", "--disk", "vda=256MiB",
        env=environment(tmp_path), stdin=json.dumps(good),
    )  # fmt: skip
    assert ran.returncode == 1, ran.stdout
    (told,) = ran.stderr.splitlines()
    assert all(words in told for words in says)


def test_two_packages_that_take_one_name_stop_the_program(tmp_path):
    for package, value in (("a_vendor", "EXT2"), ("z_vendor", "EXT3")):
        claim(
            tmp_path, package, "filesystems",
            f"f2fs = ipa_partitions.disk.filesystem:{value}",
        )  # fmt: skip
    ran = run(
        "plan", "-", "--disk", "vda=256MiB",
        env=environment(tmp_path), stdin=json.dumps(document("vda")),
    )  # fmt: skip
    assert ran.returncode == 1
    assert "'f2fs' is taken twice" in ran.stderr
