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

"""The element brings what the program starts, and its check looks for it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from ipa_partitions import registry

ROOT = Path(__file__).parents[2]
ELEMENTS = (
    ROOT / "dib-elements" / "ipa-partitions",
    ROOT / "tools" / "elements" / "host-certificates",
)
ELEMENT = ELEMENTS[0]
PACKAGES = yaml.safe_load((ELEMENT / "package-installs.yaml").read_text())
PKG_MAP = json.loads((ELEMENT / "pkg-map").read_text())

# In every ramdisk, or of what is only started when it is there.
EVERYWHERE = {"coreutils", "debianutils", "cpio"}


def load_check():
    path = ELEMENT / "ipa-partitions-check.py"
    spec = importlib.util.spec_from_file_location("check", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECK = load_check()


def bindep(platform: str) -> set[str]:
    """Return the packages that the program itself needs."""
    found = set()
    for line in (ROOT / "bindep.txt").read_text().splitlines():
        match = re.fullmatch(r"(\S+) \[(.*)\]", line)
        words = match[2].split() if match else [""]
        is_ours = not {"test", "gate"} & {*words}
        if match and is_ours and words[0] == f"platform:{platform}":
            found.add(match[1])
    return found


def test_what_the_program_starts_is_in_the_ramdisk():
    assert bindep("dpkg") - EVERYWHERE <= PACKAGES.keys()


def test_red_hat_has_the_same_under_its_own_names():
    names = PKG_MAP["family"]["redhat"]
    assert names.keys() <= PACKAGES.keys()
    brought = {names.get(package, package) for package in PACKAGES}
    # Red Hat has neither: their names are mapped to nothing.
    assert bindep("rpm") - EVERYWHERE - brought <= {
        "bcache-tools", "btrfs-progs",
    }  # fmt: skip


def test_nothing_of_ours_is_removed_again():
    # The agent's element removes rsync in this phase, and in no other.
    assert {p["phase"] for p in PACKAGES.values()} == {"post-install.d"}


def tools():
    for kind in ("actions", "deployers", "sources", "bootloaders"):
        for name, plugin in registry.load(kind).items():
            found = getattr(plugin, "tools", ())
            if isinstance(found, tuple):
                for tool in found:
                    yield pytest.param(tool, id=f"{kind}-{name}-{tool}")


@pytest.mark.parametrize("tool", [*tools()])
def test_the_check_looks_for_every_program_of_a_plug_in(tool):
    known = {
        name
        for names in (*CHECK.PROGRAMS, *CHECK.NOT_RED_HAT)
        for name in names.split("|")
    }
    assert tool in known


def test_the_check_finds_what_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    missing = [*CHECK.missing_programs(red_hat=False)]
    assert "the program grub-install or grub2-install" in missing
    assert len(missing) == len(CHECK.PROGRAMS) + len(CHECK.NOT_RED_HAT)
    red_hat = [*CHECK.missing_programs(red_hat=True)]
    assert len(red_hat) == len(CHECK.PROGRAMS)


def test_the_check_finds_every_plug_in_here():
    assert [*CHECK.broken_plugins()] == []


@pytest.mark.parametrize(
    "hook",
    [path for e in ELEMENTS for path in e.glob("*.d/[0-9]*")
     if path.suffix != ".bash"],
    ids=lambda path: path.name,
)  # fmt: skip
def test_a_hook_can_be_run_and_ends_with_its_first_error(hook):
    text = hook.read_text()
    assert os.access(hook, os.X_OK)
    assert text.startswith("#!/bin/bash\n")
    assert "\nset -eu\nset -o pipefail\n" in text
