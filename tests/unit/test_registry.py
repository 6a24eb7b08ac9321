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

from importlib.metadata import EntryPoint

import pytest
from stevedore import ExtensionManager

from ipa_partitions import registry
from ipa_partitions.disk.filesystem import EXT4
from ipa_partitions.errors import PluginError

GROUP = "ipa_partitions.filesystems"
OURS = "ipa_partitions.disk.filesystem"


@pytest.fixture
def claimed(monkeypatch):
    """Return a function that has (name, value) pairs installed."""

    def claim(*pairs: tuple[str, str]) -> None:
        points = [EntryPoint(name, value, GROUP) for name, value in pairs]
        monkeypatch.setattr(
            ExtensionManager, "list_entry_points", lambda _self: points
        )
        registry.load.cache_clear()

    yield claim
    registry.load.cache_clear()


def test_plugins_are_found_by_name_and_cannot_be_changed(claimed):
    claimed(("xfs", f"{OURS}:XFS"), ("ext4", f"{OURS}:EXT4"))
    plugins = registry.load("filesystems")
    assert list(plugins) == ["ext4", "xfs"]
    assert plugins["ext4"] is EXT4
    with pytest.raises(TypeError):
        plugins["ext4"] = None


def test_none_at_all_is_no_error(claimed):
    claimed()
    assert registry.load("filesystems") == {}


@pytest.mark.parametrize("value", [
    "no.such.module:THING",
    f"{OURS}:NO_SUCH_NAME",
])  # fmt: skip
def test_one_that_cannot_be_loaded_is_named(claimed, value):
    claimed(("ext4", f"{OURS}:EXT4"), ("broken", value))
    with pytest.raises(PluginError) as error:
        registry.load("filesystems")
    assert GROUP in str(error.value)
    assert f"'broken' ({value})" in str(error.value)


@pytest.mark.parametrize("places", [(0, 1), (0, 2), (1, 2)])
def test_a_name_taken_twice_is_named_with_both_takers(claimed, places):
    pairs = [("xfs", f"{OURS}:XFS")] * 3
    pairs = [
        ("ext4", f"{OURS}:EXT{4 - n}") if n in places else ("xfs", pair[1])
        for n, pair in enumerate(pairs)
    ]
    claimed(*pairs)
    with pytest.raises(PluginError) as error:
        registry.load("filesystems")
    message = str(error.value)
    assert "'ext4' is taken twice" in message
    assert all(f"{OURS}:EXT{4 - n}" in message for n in places)
