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

"""Imports point down, and few modules touch what lies outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ipa_partitions

PACKAGE = Path(ipa_partitions.__file__).parent
NAME = PACKAGE.name

# From the bottom: a module imports only from its own row and those above
# it here. The longest name that fits a module is its own.
ROWS = (
    ("errors", "step_arguments", "urls"),
    ("run", "registry", "progress"),
    ("disk",),
    ("images", "boot"),
    ("layout",),
    (
        "resolved",
        "resolve",
        "stack",
        "boot_info",
        "locate",
        "refresh",
    ),
    ("verify", "capture"),
    ("plan",),
    ("actions",),
    ("deploy",),
    ("show", "arguments"),
    ("extensions", "hardware", "cli", "conductor"),
)
LEVELS = {name: level for level, row in enumerate(ROWS) for name in row}

# What only these may import, the packages of them included.
OWNERS = {
    "stevedore": {"registry"},
    "ironic": {"conductor"},
    "ironic_python_agent": {"extensions", "hardware", "disk.match"},
    "subprocess": {"run", "images.pipe"},
    "oslo_concurrency": {"run"},
    "pty": set(),
    "multiprocessing": set(),
}
FORBIDDEN_CALLS = {"system", "popen", "posix_spawn", "fork", "execv"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts).removesuffix("__init__").rstrip(".")
        if name:
            yield name, ast.parse(path.read_text(), str(path))


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield every module that ``tree`` imports, wherever it does so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{a.name}" for a in node.names)


def within(module: str, packages: set[str]) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)


ALL = dict(modules())


@pytest.mark.parametrize("module", ALL)
def test_imports_point_down(module):
    own = LEVELS[module.split(".")[0]]
    up = [
        name
        for name in imported(ALL[module])
        if name.startswith(f"{NAME}.") and LEVELS[name.split(".")[1]] > own
    ]
    assert up == []


@pytest.mark.parametrize("module", ALL)
def test_only_its_owner_imports_what_lies_outside(module):
    strange = [
        name
        for name in imported(ALL[module])
        for package, owners in OWNERS.items()
        if within(name, {package}) and not within(module, owners)
    ]
    assert strange == []


@pytest.mark.parametrize("module", ALL)
def test_nothing_is_started_but_by_run(module):
    calls = {
        node.attr
        for node in ast.walk(ALL[module])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    assert not calls & FORBIDDEN_CALLS


# It runs where no disk is, in a service that has much else to do.
CONDUCTOR_USES = {
    "errors",
    "boot_info",
    "layout",
    "step_arguments",
    "conductor",
    "urls",
    "images.catalog",
}


@pytest.mark.parametrize(
    "module", [name for name in ALL if within(name, {"conductor"})]
)
def test_the_conductor_loads_nothing_that_acts(module):
    strange = [
        name
        for name in imported(ALL[module])
        if name.startswith(f"{NAME}.")
        and not within(name.removeprefix(f"{NAME}."), CONDUCTOR_USES)
    ]
    assert strange == []


def test_device_hints_are_loaded_only_when_asked_for():
    tree = ALL["disk.match"]
    at_the_top = ast.Module([*tree.body], [])
    at_the_top.body = [
        node
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not any(
        within(name, {"ironic_python_agent"}) for name in imported(at_the_top)
    )
