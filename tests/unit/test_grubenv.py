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

import pytest

from ipa_partitions.boot.grubenv import (
    parse_environment,
    read_environment,
    render_environment,
    update_environment,
)
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError

SIGNATURE = b"# GRUB Environment Block\n"


@pytest.fixture
def boot(tmp_path):
    (tmp_path / "grub").mkdir()
    return RootFs(tmp_path)


@pytest.mark.parametrize(("lines", "variables"), [
    (b"",                             {}),
    (b"saved_entry=1\n",              {"saved_entry": "1"}),
    (b"a=1\nb=\na=2\n",               {"a": "2", "b": ""}),
    (b"a=x=y z\n",                    {"a": "x=y z"}),
    (b"# a=1\n#b=2\n",                {}),
    (b"a=1\\\n2\\\\\nb=3\n",          {"a": "1\n2\\", "b": "3"}),
    (b"no variable\na=1\n",           {"a": "1"}),
    (b"a=unfinished",                 {}),
    (b"a=caf\xc3\xa9\n",              {"a": "caf\u00e9"}),
])  # fmt: skip
def test_an_environment_block_is_read_as_grub_reads_it(lines, variables):
    block = (SIGNATURE + lines).ljust(1024, b"#")

    assert parse_environment(block) == variables


@pytest.mark.parametrize("block", [
    b"",
    b"#" * 1024,
    SIGNATURE,
    SIGNATURE.ljust(1023, b"#"),
    SIGNATURE.ljust(1025, b"#"),
    b"\0" * 1024,
])  # fmt: skip
def test_what_is_no_environment_block_is_refused(block):
    with pytest.raises(ValueError, match="environment block"):
        parse_environment(block)


@pytest.mark.parametrize("variables", [
    {},
    {"saved_entry": "0"},
    {"a": "\\", "b": "\n", "c": "\\\n\\\\", "d": "#=x", "e": ""},
    {"long": "x" * 900},
    {"bytes": "\udcff"},
])  # fmt: skip
def test_what_is_written_is_read_back(variables):
    block = render_environment(variables)

    assert len(block) == 1024
    assert parse_environment(block) == variables


@pytest.mark.parametrize("variables", [
    {"long": "x" * 1000}, {"": "1"}, {"a=b": "1"}, {"a\nb": "1"}, {"#a": "1"},
])  # fmt: skip
def test_what_would_not_be_read_back_is_refused(variables):
    with pytest.raises(ValueError, match=r"fit|name"):
        render_environment(variables)


def test_an_update_changes_what_it_names_and_nothing_else(boot):
    before = {"saved_entry": "0", "next_entry": "1", "other": "x"}
    boot.write("grub/grubenv", render_environment(before))

    update_environment(boot, {"saved_entry": "2", "next_entry": None})

    assert read_environment(boot) == {"saved_entry": "2", "other": "x"}


def test_an_update_replaces_the_file_and_never_opens_it_for_writing(boot):
    path = boot.root / "grub/grubenv"
    boot.write("grub/grubenv", render_environment({"a": "1"}))
    with path.open("rb") as old:
        update_environment(boot, {"a": "2"})

        assert parse_environment(old.read()) == {"a": "1"}
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_or_damaged_environment_is_an_error_that_names_it(boot):
    with pytest.raises(ImageError, match="/grub/grubenv"):
        read_environment(boot)
    boot.write("grub/grubenv", b"x" * 1024)
    with pytest.raises(ImageError, match="/grub/grubenv"):
        update_environment(boot, {"a": "1"})
    assert boot.read_bytes("grub/grubenv") == b"x" * 1024
