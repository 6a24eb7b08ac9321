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

"""A ramdisk that UEFI has booted, and the boot entries that it leaves."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from ipa_partitions.boot.nvram import LABEL, Nvram, parse
from tests import documents, loops, systems
from tests.program import PROGRAM
from tests.vm import machine, qemu
from tests.vm.machines import ROOT, environment

DISK_BYTES = 3 * 1024**3

DEPLOY = """
set -eu
modprobe efivarfs
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
for number in 1 2; do
    {program} deploy --yes {document}
    echo SHOWN "$number"
    efibootmgr --verbose
    efibootmgr --quiet --create --label old --disk /dev/sda --part 1 --loader x
done
echo DONE
"""


def test_entries_are_made_once_and_come_first(tmp_path: Path) -> None:
    variables = tmp_path / "variables"
    disk = machine.Disk(
        "disk-0", loops.blank_image(tmp_path / "disk", DISK_BYTES)
    )
    console = run_script(tmp_path, disk, variables)

    first, second = (
        parse(shown.partition("DONE")[0].replace("\r", ""))
        for shown in re.split(r"SHOWN \d", console)[1:]
    )
    for shown in (first, second):
        (ours,) = shown.ours
        assert shown.order[0] == ours
        (path,) = (e.path for e in shown.entries if e.label == LABEL)
        assert "ipa-partitions\\shimx64.efi" in path
    # Whatever else there is stays, the last one that somebody made first.
    (_, *others) = labels(first)
    assert labels(second) == [LABEL, "old", *others]

    booted: list[str] = []
    facts = qemu.boot_disk(
        disk.file,
        firmware="uefi",
        variables=variables,
        watch=booted.append,
    )
    assert facts.version == "13"
    started = "".join(line for line in booted if "BdsDxe: starting" in line)
    assert f'"{LABEL}"' in started


def labels(nvram: Nvram) -> list[str]:
    named = {entry.number: entry.label for entry in nvram.entries}
    return [named[number] for number in nvram.order]


def run_script(tmp_path: Path, disk: machine.Disk, variables: Path) -> str:
    image = systems.debian_13()
    wanted: dict[str, Any] = documents.one_disk(
        "sda",
        {"type": "partition", "size": "1.5 GiB", "mount": "/"},
        images=[{"name": "one", "image_pull_url": f"file://{image.path}"}],
        deploy_data={"kernel_params": qemu.KERNEL_PARAMS},
        boot={"timeout_s": 1},
    )
    document, script = tmp_path / "document.json", tmp_path / "script"
    document.write_text(json.dumps(wanted))
    program = shlex.join([sys.executable, str(PROGRAM)])
    script.write_text(
        DEPLOY.format(program=program, document=shlex.quote(str(document)))
    )
    lines: list[str] = []
    with machine.running(
        ["bash", str(script)],
        ROOT,
        environment(),
        qemu.firmware_argv("uefi", variables),
    ) as its:
        its.add(0, disk)
        its.follow(lines.append)
    console = "\n".join(lines)
    assert "DONE" in console, console[-4000:]
    return console
