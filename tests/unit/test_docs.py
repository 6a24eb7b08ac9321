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

"""The documentation says what is true: its examples are run."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import textwrap
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace

import ironic_python_agent.config  # noqa: F401
import pytest
import yaml

from ipa_partitions import cli, hardware, layout, step_arguments
from ipa_partitions.boot_info import BootInfo
from ipa_partitions.deploy import Request, Result, make_plan
from ipa_partitions.errors import LayoutErrors
from ipa_partitions.extensions.partitions import PartitionsExtension
from ipa_partitions.layout.classic import Classic
from ipa_partitions.layout.values import TYPE_GUIDS
from ipa_partitions.progress import Progress
from ipa_partitions.show.as_json import actions_json
from tests import layouts

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "doc" / "source"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted((*ROOT.glob("*.rst"), *SOURCE.rglob("*.rst")))
}
BLOCK = re.compile(
    r"(?:^(?P<bad>\.\. bad-document)\n\n)?"
    r"^(?P<indent> *)\.\. code-block:: (?P<language>\w+)\n\n"
    r"(?P<text>(?:(?P=indent)   .*\n|\n)+)",
    re.MULTILINE,
)

MANAGER = hardware.PartitionsHardwareManager()
STEPS = {step["step"] for step in MANAGER.get_service_steps({}, [])}
COMMANDS = PartitionsExtension(agent=SimpleNamespace()).command_map
SCHEMA = layout.json_schema()


def page(name: str) -> str:
    return PAGES[f"doc/source/{name}.rst"]


def blocks(language: str, bad: bool = False) -> dict[str, str]:
    """Return the blocks of all pages, by page and number."""
    return {
        f"{name}-{number}": textwrap.dedent(match["text"]).strip()
        for name, text in PAGES.items()
        for number, match in enumerate(BLOCK.finditer(text), start=1)
        if match["language"] == language and bool(match["bad"]) == bad
    }


def load_program():
    path = ROOT / "doc" / "ext" / "program.py"
    spec = importlib.util.spec_from_file_location("program", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROGRAM = load_program()


def check(value) -> None:
    """Fail unless ``value`` is what it looks like."""
    if isinstance(value, list):
        for step in value:
            assert step["step"] in STEPS
            known = step_arguments.ARGUMENTS | step_arguments.SWITCH_ARGUMENTS
            assert step["args"].keys() <= known.keys()
            check_document(step["args"])
    elif value.keys() & {"partitions", "urls"}:
        layout.parse(value)
    elif "elements" in value:
        BootInfo.from_json(json.dumps(value))
    elif "boot_info" in value:
        assert list(value) == [f.name for f in dataclasses.fields(Result)]
        check(value["boot_info"])
    elif "params" in value:
        assert value["name"].removeprefix("partitions.") in COMMANDS
        check_document(value["params"])
    elif "command_status" in value:
        assert value["command_name"] in COMMANDS
        if value["command_result"]:
            Progress(**value["command_result"]["progress"])
    else:
        assert list(value) == ["faultcode", "faultstring"]


def check_document(params) -> None:
    if "image_info" in params:
        layout.parse(params["image_info"])


@pytest.mark.parametrize("name", blocks("json"))
def test_every_json_is_what_it_looks_like(name):
    check(json.loads(blocks("json")[name]))


@pytest.mark.parametrize("name", blocks("json", bad=True))
def test_a_bad_document_is_answered_as_shown(name):
    bad = json.loads(blocks("json", bad=True)[name])
    with pytest.raises(LayoutErrors) as error:
        layout.parse(bad)
    assert str(error.value) in blocks("none").values()


@pytest.mark.parametrize("name", blocks("console"))
def test_a_command_prints_what_is_shown(name, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    for example in f"\n{blocks('console')[name]}".split("\n$ ")[1:]:
        command, _, shown = example.partition("\n")
        program, *argv = command.split()
        assert program == "ipa-partitions"
        assert cli.main(argv) == 0
        assert capsys.readouterr().out.strip() == shown


def test_the_picture_is_what_the_program_draws(tmp_path):
    drawn = tmp_path / "drawn.svg"
    (size,) = layouts.DISKS["two-systems"].values()
    argv = (
        "plan", str(layouts.FOLDER / "two-systems.json"),
        "--disk", f"vda={size}", "--firmware", "bios",
        "--seed", layouts.SEED, "--svg", str(drawn),
    )  # fmt: skip
    assert cli.main(argv) == 0
    picture = SOURCE / "images" / "two-systems.svg"
    assert drawn.read_text() == picture.read_text()


@pytest.mark.parametrize("name", layouts.DISKS)
def test_every_layout_is_shown_with_its_plan(name):
    assert f".. _layout-{name}:\n" in page("layouts")
    for end in ("json", "plan"):
        line = f"literalinclude:: ../../tests/layouts/{name}.{end}\n"
        assert line in page("layouts")


def test_every_object_of_the_schema_has_its_table():
    shown = re.findall(r"document-object:: (\w+)", page("reference/document"))
    assert sorted(shown) == sorted(PROGRAM.objects(SCHEMA))


@pytest.mark.parametrize("name", PROGRAM.objects(SCHEMA))
def test_every_key_is_in_its_table_and_described(name):
    found = SCHEMA["$defs"].get(name, SCHEMA)
    table = "\n".join(PROGRAM.object_keys(SCHEMA, name)) + "\n"
    assert f".. _{PROGRAM.label(name)}:\n" in page("reference/document")
    for key in found["properties"]:
        row = re.search(rf"\* - ``{key}``\n((?: {{5}}.*\n){{3}})", table)
        assert row, key
        meaning = row[1].splitlines()[2].removeprefix("     -").strip()
        assert meaning or key == "type", key


@pytest.mark.parametrize(("name", "words"), [
    ("reference/document", Classic.model_fields),
    ("reference/document", TYPE_GUIDS),
    ("reference/rest", [f"partitions.{command}" for command in COMMANDS]),
    ("reference/rest", STEPS),
    ("reference/rest", step_arguments.ARGUMENTS),
    ("reference/rest", [f.name for f in dataclasses.fields(Progress)]),
])  # fmt: skip
def test_a_page_has_every_word_of_the_program(name, words):
    assert [w for w in words if f"``{w}``" not in page(name)] == []


@pytest.mark.parametrize("verb", cli._VERBS)
def test_every_verb_has_its_help(verb):
    assert f".. command-help:: {verb}\n" in page("reference/cli")
    printed = PROGRAM.help_text(*verb.split())
    assert printed.startswith(f"usage: ipa-partitions {verb} ")


def test_every_kind_of_plug_in_is_named():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    kinds = [k for k in config["entry_points"] if k.startswith("ipa_part")]
    assert kinds
    for kind in kinds:
        assert f"``{kind}``" in page("operator/plugins")


PARTITION = {"type": "partition", "size": "1 GiB", "mount": "/"}
IMAGE = {"name": "one", "image_pull_url": "file:///one.raw"}
CLASSIC = {"urls": ["file:///one.raw"], "root_mb": 1024}


def of(*volumes, more=(), image=None, **keys):
    """Return a document with these volumes, for an image to boot."""
    disk_id = {"type": "name", "value": "vda"}
    disk = {"type": "disk", "id": disk_id, "volumes": volumes or [PARTITION]}
    images = [] if volumes and not image else [IMAGE | (image or {})]
    document = {"partitions": [disk, *more], "images": images}
    return {"partitions_policy": "clean", **document, **keys}


KEEPING = re.compile(
    r"   \* - (clean|verify)\n     - (\w+)\n     - ([\w, ]+)\n"
    r"     - (made anew|kept)\n     - (.*(?:\n {7}.*)*)\n"
)


def kept_rows():
    """Yield every combination of the table, and what it says of it."""
    keeping = page("operator/keeping")
    for policy, keeps, deploys, volume, image in KEEPING.findall(keeping):
        for keep in [True, False] if keeps == "either" else [keeps == "true"]:
            for deploy in deploys.split(", "):
                yield policy, keep, deploy, volume, image


def test_the_table_has_every_combination_once():
    assert sorted(row[:3] for row in kept_rows()) == sorted(
        (policy, keep, deploy)
        for policy in ("clean", "verify")
        for keep in (True, False)
        for deploy in ("auto", "always", "never")
    )


@pytest.mark.parametrize("row", [*kept_rows()], ids=str)
@pytest.mark.parametrize("kind", ["tar", "raw"])
@pytest.mark.parametrize("loader", ["grub", "none"])
def test_every_combination_is_planned_as_the_table_says(loader, kind, row):
    policy, keep, deploy, volume, image = row
    document = of(
        PARTITION | {"keep_data": keep},
        image={"deploy": deploy, "disk_format": kind},
        partitions_policy=policy,
        boot={"loader": loader},
    )
    request = Request(
        document, firmware="bios", imagined=layouts.imagined("one-system")
    )
    refused = {"refused for an": loader == "grub", "raw is": kind == "raw"}
    if any(refused[words] for words in refused if words in image):
        with pytest.raises(LayoutErrors, match=r"images\[0\].deploy: "):
            make_plan(request)
        return
    actions = actions_json(make_plan(request))
    told = [action["text"].split()[0] for action in actions]
    assert bool({"clear", "wipe"} & {*told}) is (volume == "made anew")
    assert ("deploy" in told) is image.startswith("deployed")


@pytest.mark.parametrize("name", PAGES)
def test_every_test_that_is_named_is_there(name):
    for file, test in re.findall(r"(tests/[\w/.]+)::(\w+)", PAGES[name]):
        assert f"\ndef {test}(" in (ROOT / file).read_text()


@pytest.mark.parametrize("name", PAGES)
def test_every_make_target_is_there(name):
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+ ?[a-z-]*):", makefile, re.MULTILINE)
    known = {word for target in targets for word in target.split()}
    named = re.findall(r"(?:``|^ {4})make ([a-z-]+)", PAGES[name], re.M)
    assert set(named) <= known


@pytest.mark.parametrize("name", ["README.rst", "CONTRIBUTING.rst"])
def test_what_is_read_without_sphinx_needs_none(name):
    assert not re.search(r":(ref|doc|class|func):`", PAGES[name])
    links = re.findall(r"<([^>]+)>`_", PAGES[name])
    links += re.findall(r"\.\. image:: (.*)", PAGES[name])
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_a_run_of_the_demo_is_shown():
    _, _, rest = PAGES["README.rst"].partition('output of "make demo"')
    shown, _, _ = rest.partition(".. demo: to here")
    assert "One disk, one GRUB, two systems" in shown


NOTES = ROOT / "releasenotes" / "notes"


@pytest.mark.parametrize("name", sorted(p.name for p in NOTES.iterdir()))
def test_a_release_note_has_sections_of_reno(name):
    note = yaml.safe_load((NOTES / name).read_text())
    assert isinstance(note.pop("prelude", ""), str)
    sections = {
        "features", "issues", "upgrade", "deprecations", "critical",
        "security", "fixes", "other",
    }  # fmt: skip
    assert note.keys() <= sections
    for entries in note.values():
        assert all(isinstance(entry, str) for entry in entries)
