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

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipa_partitions import cli, deploy
from ipa_partitions.arguments import one_line
from ipa_partitions.boot_info import BootInfo, Element
from ipa_partitions.errors import (
    ActionError,
    CommandError,
    ImageError,
    LayoutError,
    LayoutErrors,
    MachineError,
    MachineErrors,
    PluginError,
)
from tests.unit.plans import SEED, document

INFO = BootInfo((Element(0, "one", "one", None, "One", "u-u"),), 0, None)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "document.json"
    file.write_text(json.dumps(document()))
    return str(file)


def call(*argv: str) -> int:
    try:
        return cli.main(argv)
    except SystemExit as error:
        assert isinstance(error.code, int)
        return error.code


@pytest.mark.parametrize(("argv", "problem"), [
    ([],                                 "VERB"),
    (["dance"],                          "invalid choice: 'dance'"),
    (["plan"],                           "required: FILE"),
    (["plan", "F", "--dis", "vda=1GiB"], "unrecognized arguments: --dis"),
    (["plan", "F", "--disk", "vda"],     "'' is not a size"),
    (["plan", "F", "--disk", "vda=1G"],  "'1G' is not a size"),
    (["plan", "F", "--disk", "vda=40%"], "'40%' is not an exact size"),
    (["plan", "F", "--disk", "vda=remaining"], "is not an exact size"),
    (["plan", "F", "--disk", "vda=1 B"], "is not an exact size"),
    (["plan", "F", "--disk", "vda=8EiB"], "'8EiB' is 8 EiB or more"),
    (["plan", "F", "--disk", "vda=9YiB"], "'9YiB' is 8 EiB or more"),
    (["plan", "F", "--disk", "=1 GiB"],  "'' is not a device name"),
    (["plan", "F", "--disk", "a/../b=1GiB"], "is not a device name"),
    (["plan", "F", "--disk", "vda=1GiB,520"], "'520' is not 512 or 4096"),
    (["plan", "F", "--disk", "vda=1GiB,512,1"], "'512,1' is not 512 or 4096"),
    (["plan", "F", "--disk", "vda=1GiB", "--disk", "/dev/vda=2GiB"],
     "/dev/vda is given twice"),
    (["plan", "F", "--seed", "x"],       "'x' is not a UUID"),
    (["plan", "F", "--firmware", "efi"], "invalid choice: 'efi'"),
    (["plan", "F", "--json", "--svg", "x"], "not allowed with"),
    (["boot"],                           "VERB"),
    (["boot", "set"],                    "required: IMAGE"),
    (["deploy", "F", "--force"],         "unrecognized arguments: --force"),
])  # fmt: skip
def test_a_wrong_command_line_is_one_line_and_code_2(capsys, argv, problem):
    assert call(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert problem in err


@pytest.mark.parametrize(("disk", "device", "size_bytes", "sector_bytes"), [
    ("vda=10000MiB",         "/dev/vda",     10000 * 1024**2, 512),
    ("/dev/sdb=1 TB,4096",   "/dev/sdb",     10**12 // 4096 * 4096, 4096),
    ("nvme0n1=500107862016B", "/dev/nvme0n1", 500107862016, 512),
    ("vda=100",              "/dev/vda",     100 * 1024**2, 512),
    ("vda=9EB",              "/dev/vda",     9 * 10**18, 512),
])  # fmt: skip
def test_a_disk_is_imagined_as_it_is_given(
    disk, device, size_bytes, sector_bytes
):
    imagined = cli.parse_arguments(["plan", "F", "--disk", disk]).disks
    assert [(d.device, d.size_bytes, d.sector_bytes) for d in imagined] == [
        (device, size_bytes, sector_bytes)
    ]


def test_every_problem_of_a_document_is_a_line(capsys, tmp_path):
    bad = document(version=2, nonsense=1)
    bad["partitions"][0]["volumes"][2]["size"] = "1G"
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(bad))
    for argv in (
        ["validate", str(file)],
        ["plan", str(file), "--disk", "vda=10GiB"],
        ["deploy", "--yes", str(file)],
    ):
        assert call(*argv) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert [line.split(":")[0] for line in err.splitlines()] == [
            "$.nonsense", "$.partitions[0].volumes[2].size", "$.version",
        ]  # fmt: skip
    assert call("validate", "--json", str(file)) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"valid": False, "problems": err.splitlines()}


@pytest.mark.parametrize(("error", "code", "lines"), [
    (LayoutError("$.a", "b"),                   2, ["$.a: b"]),
    (LayoutErrors([LayoutError("$", "b")]),     2, ["$: b"]),
    (MachineError("$.a", "b"),                  1, ["$.a: b"]),
    (MachineErrors([MachineError("$", "a"), ImageError("b")]), 1,
     ["$: a", "b"]),
    (CommandError("mkfs: exit code 1:\n  one\n\ntwo\n"), 1,
     ["mkfs: exit code 1:; one; two"]),
    (ImageError("short"),                       1, ["short"]),
    (ActionError("half"),                       1, ["half"]),
    (PluginError("taken"),                      1, ["taken"]),
])  # fmt: skip
def test_an_error_is_its_lines_and_whose_fault_it_is(
    capsys, monkeypatch, path, error, code, lines
):
    def fail(*_args: object) -> None:
        raise error

    monkeypatch.setattr(deploy, "deploy", fail)
    assert call("deploy", path, "--yes") == code
    assert capsys.readouterr().err.splitlines() == lines


def test_what_cannot_be_printed_is_one_line_and_code_1(
    capsys, monkeypatch, path
):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        for stdout, problem in (
            (full, "cannot print: No space left on device\n"),
            (None, "standard output is closed\n"),
        ):
            monkeypatch.setattr("sys.stdout", stdout)
            assert call("validate", path) == 1
            assert capsys.readouterr().err == problem


def test_an_interrupt_ends_all_at_once(capsys, monkeypatch, path):
    def fail(*_args: object) -> None:
        raise KeyboardInterrupt

    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(deploy, "deploy", fail)
    monkeypatch.setattr("os._exit", end)
    assert call("deploy", path, "--yes") == 1
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(("text", "line"), [
    ("plain",            "plain"),
    (" a \n\n b \r\n",   "a; b"),
    ("\x1b[2J \ud800 é", r"\x1b[2J \ud800 é"),
])  # fmt: skip
def test_a_line_cannot_steer_a_terminal(text, line):
    assert one_line(text) == line


def test_a_plan_is_text_json_or_a_picture(capsys, path, tmp_path):
    plan = ["plan", path, "--disk", "vda=10000MiB", "--seed", SEED]
    assert call(*plan) == 0
    assert capsys.readouterr().out.startswith("/dev/vda: 10000 MiB, gpt")
    assert call(*plan, "--json") == 0
    first = capsys.readouterr().out
    assert json.loads(first)["disks"][0]["device"] == "/dev/vda"
    assert call(*plan, "--json") == 0
    assert capsys.readouterr().out == first
    picture = tmp_path / "plan.svg"
    assert call(*plan, "--svg", str(picture)) == 0
    assert capsys.readouterr().out == ""
    assert "<svg" in picture.read_text()
    assert call(*plan, "--svg", str(tmp_path / "no" / "plan.svg")) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_schema_is_printed(capsys):
    assert call("schema") == 0
    assert "properties" in json.loads(capsys.readouterr().out)


def test_a_valid_document_is_said_to_be(capsys, path):
    assert call("validate", path) == 0
    assert capsys.readouterr().out == "valid\n"
    assert call("validate", path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True}


@pytest.mark.parametrize("argv", [
    ["validate", "-"], ["schema"], ["plan", "-"], ["boot", "list"],
])  # fmt: skip
def test_a_broken_plug_in_stops_every_verb(capsys, monkeypatch, argv):
    def broken():
        raise PluginError("plug-in x: 'y' cannot be loaded")

    monkeypatch.setattr(cli.registry, "load_all", broken)
    assert call(*argv) == 1
    assert capsys.readouterr().err == "plug-in x: 'y' cannot be loaded\n"


@pytest.mark.parametrize(("kind", "value", "name", "device"), [
    ("path", "disk/by-id/ata-X", "disk/by-id/ata-X",
     "/dev/disk/by-id/ata-X-part2"),
    ("path", "/dev/disk/by-path/pci-0", "/dev/disk/by-path/pci-0",
     "/dev/disk/by-path/pci-0-part2"),
    ("scsi", "0:0:1:0", "0:0:1:0", "/dev/0:0:1:0p2"),
])  # fmt: skip
def test_a_disk_is_imagined_however_a_document_calls_it(
    capsys, tmp_path, kind, value, name, device
):
    described = document()
    described["partitions"][0]["id"] = {"type": kind, "value": value}
    file = tmp_path / "layout.json"
    file.write_text(json.dumps(described))
    assert call("plan", str(file), "--disk", f"{name}=10GiB") == 0
    assert device in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "code"), [
    ("yes\n", 0), ("y\n", 1), ("\n", 1), ("", 1),
])  # fmt: skip
def test_deploy_on_a_terminal_asks_and_does_what_it_has_shown(
    capsys, monkeypatch, path, answer, code
):
    seeds = []

    class Stdin:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return answer

    def make_plan(request):
        seeds.append(request.seed)
        return real(deploy.replace(request, imagined=IMAGINED))

    def do(request, _listener, shown):
        assert shown.actions
        seeds.append(request.seed)
        return deploy.Result("u-u", None, INFO)

    real = deploy.make_plan
    monkeypatch.setattr("sys.stdin", Stdin())
    monkeypatch.setattr(deploy, "make_plan", make_plan)
    monkeypatch.setattr(deploy, "deploy", do)
    assert call("deploy", path) == code
    out, err = capsys.readouterr()
    assert "/dev/vda: 10000 MiB" in err
    assert "Type yes: " in err
    assert ("root_uuid: u-u" in out) == (code == 0)
    assert len(seeds) == 2 - code
    assert len(set(seeds)) == 1


IMAGINED = tuple(
    cli.parse_arguments(["plan", "F", "--disk", "vda=10000MiB"]).disks
)


def test_boot_verbs_pass_on_what_they_are_given(capsys, monkeypatch):
    calls = []
    monkeypatch.setattr(
        deploy, "get_boot_info", lambda *args: calls.append(args) or INFO
    )
    monkeypatch.setattr(
        deploy, "switch_boot", lambda *args: calls.append(args) or INFO
    )
    monkeypatch.setattr(
        deploy,
        "confirm_boot",
        lambda *args: calls.append(("confirm", *args)) or INFO,
    )
    monkeypatch.setattr(
        deploy,
        "refresh_boot",
        lambda *args: calls.append(("refresh", *args)) or (INFO, ("b: x",)),
    )
    assert call("boot", "list") == 0
    assert capsys.readouterr().out == "* 0  one  One  root u-u\n"
    assert call("boot", "list", "--partition", "/dev/x", "--json") == 0
    assert json.loads(capsys.readouterr().out) == INFO.to_json()
    assert call("boot", "set", "one", "--partition", "/dev/x") == 0
    assert call("boot", "once", "one") == 0
    assert call("boot", "confirm", "--partition", "/dev/x") == 0
    assert call("boot", "refresh") == 0
    assert "warning: b: x" in capsys.readouterr().err
    assert calls == [
        (None,), ("/dev/x",),
        ("one", False, "/dev/x"), ("one", True, None),
        ("confirm", "/dev/x"), ("refresh", None),
    ]  # fmt: skip
