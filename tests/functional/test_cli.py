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

"""The command line as a person and a shell use it."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests import documents, file_server, tiny
from tests.program import PROGRAM, output

LoopDisk = Callable[..., str]


def run(
    *argv: str, stdin: str | int = "", **further: Any
) -> subprocess.CompletedProcess[str]:
    given = {"input": stdin} if isinstance(stdin, str) else {"stdin": stdin}
    return subprocess.run(
        [str(PROGRAM), *argv],
        capture_output=True,
        text=True,
        check=False,
        **given,
        **further,
    )


def document(device: str = "vda", **further: Any) -> dict[str, Any]:
    data = {
        "type": "partition",
        "name": "data",
        "size": "remaining",
        "file_system": "ext4",
        "label": "written",
    }
    return documents.one_disk(device, data, **further)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a document and returns its path."""

    def write(*arguments: str, **further: Any) -> str:
        path = tmp_path / "document.json"
        path.write_text(json.dumps(document(*arguments, **further)))
        return str(path)

    return write


def digest(device: str) -> str:
    return hashlib.sha256(Path(device).read_bytes()).hexdigest()


def test_a_plan_imports_no_more_than_it_needs(written):
    ran = subprocess.run(
        [
            sys.executable, "-X", "importtime", "-m", "ipa_partitions.cli",
            "plan", written(), "--disk", "vda=1GiB",
        ],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    imported = set(re.findall(r"\| +([\w.]+)$", ran.stderr, re.MULTILINE))
    assert "ipa_partitions.deploy" in imported
    heavy = {"ironic_python_agent", "oslo_config", "requests", "rich"}
    assert not heavy & {name.split(".")[0] for name in imported}


def test_a_document_may_come_from_standard_input():
    ran = run(
        "plan", "-", "--disk", "vda=1GiB,4096", "--json",
        stdin=json.dumps(document()),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["disks"][0]["sector_bytes"] == 4096


@pytest.mark.parametrize(("stdin", "line"), [
    ("not JSON", "$: standard input is not JSON: Expecting value"),
    ('{"partitions": [], "partitions": []}',
     "$: has the key 'partitions' more than once"),
    ('{"\\u001b[2J": 1, "partitions": 1}',
     '$["\\u001b[2J"]: unknown key'),
])  # fmt: skip
def test_a_bad_document_is_told_line_by_line(stdin, line):
    ran = run("validate", "-", stdin=stdin)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert any(told.startswith(line) for told in ran.stderr.splitlines())
    assert all(
        told.startswith("$") and told.isprintable()
        for told in ran.stderr.splitlines()
    )


def test_a_disk_that_is_not_there_is_the_machine_s_fault(written):
    ran = run("plan", written("no-such-disk"))
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("$.partitions[0].id: no disk is /dev/no-such-disk")


def test_disks_that_are_not_meant_are_no_lines_of_their_own(written):
    entry = {
        "type": "disk",
        "id": {"type": "hints", "value": {"rotational": True}},
        "volumes": [],
    }
    ran = run("plan", written(partitions=[entry]), "--disk", "vda=1GiB")
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("$.partitions[0].id: no disk is rotational True")


def test_a_reader_that_goes_away_is_no_traceback(written):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as closed:
        ran = subprocess.run(
            [str(PROGRAM), "schema"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr == ""


def test_a_terminal_without_our_letters_is_no_traceback(written):
    images = [{"name": "système", "image_pull_url": "file:///x.tar"}]
    path = written(images=images)
    ran = run("validate", path, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert ran.returncode == 2
    assert "syst\\xe8me" in ran.stderr


def test_a_picture_is_written(written, tmp_path):
    picture = tmp_path / "plan.svg"
    ran = run("plan", written(), "--disk", "vda=1GiB", "--svg", str(picture))
    assert ran.returncode == 0, ran.stderr
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_deploy_asks_nobody_where_there_is_no_terminal(written, loop_disk):
    device = loop_disk(size_mib=64)
    before = digest(device)
    ran = run("deploy", written(device))
    assert ran.returncode == 0, ran.stderr
    assert digest(device) != before


@pytest.mark.parametrize(("answer", "code"), [("no", 1), ("yes", 0)])
def test_deploy_asks_on_a_terminal(written, loop_disk, answer, code):
    device = loop_disk(size_mib=64)
    before = digest(device)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        ran = run("deploy", written(device), stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert ran.returncode == code, ran.stderr
    assert f"{device}: 64 MiB, gpt" in ran.stderr
    assert (digest(device) == before) == (answer == "no")


def test_deploy_asks_the_terminal_when_the_document_is_piped_in(
    written, loop_disk
):
    device = loop_disk(size_mib=64)
    before = digest(device)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"no\n")
        ran = subprocess.run(
            # The terminal is ours as that of a login is.
            ["setsid", "--ctty", "sh", "-c",
             f"cat $1 | {PROGRAM} deploy - 2>/dev/tty", "sh", written(device)],
            stdin=theirs, stdout=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
        shown = ""
        while select.select([ours], [], [], 1)[0]:
            shown += os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ran.returncode == 1
    assert "Do this? Type yes: " in shown
    assert "not confirmed, nothing was done" in shown
    assert digest(device) == before


def test_deploy_tells_how_far_it_is_and_answers_json(written, loop_disk):
    device = loop_disk(size_mib=64)
    ran = run("deploy", written(device), "--yes", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "root_uuid": None,
        "efi_system_partition_uuid": None,
        "boot_info": None,
    }
    count = len(ran.stderr.splitlines())
    assert [line.split("]")[0] for line in ran.stderr.splitlines()] == [
        f"[{n}/{count}" for n in range(1, count + 1)
    ]
    found = subprocess.run(
        ["blkid", "--probe", "-o", "value", "-s", "LABEL", f"{device}p1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "written\n"


def test_verify_tells_every_difference_and_exits_with_3(written, loop_disk):
    device = loop_disk(size_mib=64)
    assert run("deploy", written(device), "--yes").returncode == 0
    same = run("verify", written(device))
    assert (same.returncode, same.stderr) == (0, "")
    other = document(device)
    other["partitions"][0]["volumes"][0]["label"] = "another"
    other["partitions"][0]["volumes"][0]["partition_guid"] = "srv"
    ran = run("verify", "-", "--json", stdin=json.dumps(other))
    told = [
        f"{device}p1 type: is linux, wanted srv",
        f"{device}p1 label: is 'written', wanted 'another'",
    ]
    assert ran.returncode == 3
    assert ran.stderr.splitlines() == told
    assert json.loads(ran.stdout) == {"matches": False, "differences": told}
    other["partitions_policy"] = "verify"
    before = digest(device)
    ran = run("deploy", "-", "--yes", stdin=json.dumps(other))
    assert (ran.returncode, ran.stderr.splitlines()) == (3, told)
    assert digest(device) == before


@pytest.fixture
def two_systems(tmp_path: Path) -> tuple[Path, ...]:
    return tuple(tiny.raw_system(tmp_path, name) for name in ("one", "two"))


def two_roots(device: str, images: tuple[Path, ...], url: str) -> str:
    both = document(device)
    both["partitions"][0]["volumes"] = [
        {
            "type": "partition",
            "size": "32 MiB",
            "mount": "/",
            "images": [image.stem],
        }
        for image in images
    ]
    both["images"] = [tiny.image_entry(image, url) for image in images]
    both["boot"] = {"firmware": "bios"}
    return json.dumps(both)


def test_a_system_is_chosen_and_listed(loop_disk, two_systems):
    device = loop_disk(size_mib=256)
    with file_server.serving(*two_systems) as url:
        text = two_roots(device, two_systems, url)
        result = output("deploy", "-", "--yes", stdin=text)
    multiboot = f"{device}p2"
    listed = output("boot", "list", "--partition", multiboot)
    assert listed == result["boot_info"]
    assert [each["os_id"] for each in listed["elements"]] == ["one", "two"]
    assert listed["current_element"] == 0
    switched = output("boot", "set", "two", "--partition", multiboot)
    assert switched == listed | {"current_element": 1}
    assert output("boot", "list", "--partition", multiboot) == switched
    starred = run("boot", "list", "--partition", multiboot).stdout
    assert [line[:6] for line in starred.splitlines()] == ["  0  o", "* 1  t"]

    ran = run("boot", "set", "three", "--partition", multiboot)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert "'three'" in line
    assert "one" in line
    assert output("boot", "list", "--partition", multiboot) == switched


def test_there_is_nothing_to_list_on_a_blank_disk(loop_disk):
    ran = run("boot", "list", "--partition", loop_disk(size_mib=16))
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_deployment_told_to_end_ends_and_leaves_nothing_behind(
    loop_disk, two_systems, number
):
    device = loop_disk(size_mib=256)
    gate = threading.Event()
    with file_server.serving(*two_systems, gate=gate) as url:
        process = subprocess.Popen(
            [str(PROGRAM), "deploy", "-", "--yes"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that runs us in the background ignores it for us.
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        )
        assert process.stdin
        assert process.stderr
        process.stdin.write(two_roots(device, two_systems, url))
        process.stdin.close()
        told = next(t for t in process.stderr if "] deploy " in t)
        # Long enough for both to be half there; then the server stalls.
        time.sleep(0.5)
        process.send_signal(number)
        try:
            code = process.wait(timeout=10)
        finally:
            process.kill()
            gate.set()
        rest = process.stderr.read()
    assert code == 1, told + rest
    assert "interrupted" in rest.splitlines()
    assert "Traceback" not in rest
