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

import os
from pathlib import Path

import pytest

from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def host(tmp_path):
    """Return a directory with a root, and a canary outside of it."""
    root = tmp_path / "root"
    for directory in ("etc", "usr/lib", "boot"):
        (root / directory).mkdir(parents=True)
    (root / "etc/name").write_text("inside")
    (tmp_path / "canary").write_text("outside")
    return tmp_path


@pytest.fixture
def root(host):
    return RootFs(host / "root")


@pytest.mark.parametrize(("link", "target", "read"), [
    ("usr/lib/link", "/etc/name",                  "inside"),
    ("usr/lib/link", "../../etc/name",             "inside"),
    ("usr/lib/link", "../../../../../../etc/name", "inside"),
    ("usr/lib/link", "../../../canary",            None),
    ("usr/lib/link", "{host}/canary",              None),
    ("usr/lib/link", "/proc/self/root/etc/passwd", None),
    ("usr/lib/link", "link",                       None),
])  # fmt: skip
def test_a_link_leads_nowhere_but_into_the_root(
    host, root, link, target, read
):
    (root.root / link).symlink_to(target.format(host=host))

    if read is None:
        with pytest.raises(ImageError, match="/usr/lib/link"):
            root.read_text("/usr/lib/link")
        assert not root.is_file("/usr/lib/link")
    else:
        assert root.read_text("/usr/lib/link") == read
        assert root.real_path("/usr/lib/link") == "/etc/name"


def test_dots_do_not_climb_out_of_the_root(root):
    assert root.read_text("../../../etc/name") == "inside"
    assert not root.is_file("/../canary")


@pytest.mark.parametrize("path", ["nowhere", "etc", "etc/name/below",
                                  "a\0b", "\ud800"])  # fmt: skip
def test_what_is_no_file_is_an_error_that_names_it(root, path):
    with pytest.raises(ImageError) as error:
        root.read_bytes(path)

    assert repr(path) in str(error.value)


def test_a_fifo_is_not_opened(root):
    os.mkfifo(root.root / "fifo")

    with pytest.raises(ImageError, match="no ordinary file"):
        root.read_bytes("fifo")
    assert not root.is_file("fifo")


def test_a_file_is_read_up_to_the_limit_and_not_beyond(root):
    with (root.root / "huge").open("wb") as file:
        file.truncate(2**40)

    assert root.read_bytes("etc/name", limit=6) == b"inside"
    with pytest.raises(ImageError, match="larger than 5 bytes"):
        root.read_bytes("etc/name", limit=5)
    with pytest.raises(ImageError, match=r"'huge'.*larger"):
        root.read_bytes("huge")


def test_a_file_with_bad_utf_8_is_read_all_the_same(root):
    (root.root / "etc/name").write_bytes(b"caf\xe9")

    assert root.read_text("etc/name") == "caf\ufffd"


@pytest.mark.parametrize("target", ["{host}/canary", "../../canary",
                                    "/nowhere", "fstab"])  # fmt: skip
def test_writing_replaces_a_link_and_leaves_its_target(host, root, target):
    (root.root / "etc/fstab").symlink_to(target.format(host=host))

    root.write("/etc/fstab", "new", mode=0o640)

    assert (root.root / "etc/fstab").read_text() == "new"
    assert not (root.root / "etc/fstab").is_symlink()
    assert (root.root / "etc/fstab").stat().st_mode & 0o7777 == 0o640
    assert (host / "canary").read_text() == "outside"
    assert names(root.root / "etc") == ["fstab", "name"]


def test_writing_does_not_change_another_name_of_the_file(root):
    (root.root / "boot/other").hardlink_to(root.root / "etc/name")

    root.write("/etc/name", "new")

    assert (root.root / "boot/other").read_text() == "inside"


def test_writing_below_a_link_stays_inside(host, root):
    (host / "etc2").mkdir()
    (root.root / "out").symlink_to(host / "etc2")
    (root.root / "in").symlink_to("/etc")

    root.write("/in/fstab", "new")
    with pytest.raises(ImageError, match="/out/fstab"):
        root.write("/out/fstab", "new")

    assert (root.root / "etc/fstab").read_text() == "new"
    assert names(host / "etc2") == []


@pytest.mark.parametrize("path", ["/", "", "/etc/..", "/etc", "nowhere/x"])
def test_what_cannot_be_written_is_left_as_it_is(root, path):
    with pytest.raises(ImageError):
        root.write(path, "new")

    assert names(root.root) == ["boot", "etc", "usr"]
    assert names(root.root / "etc") == ["name"]


def test_a_directory_is_made_with_its_parents_and_named_without_links(root):
    (root.root / "var").symlink_to("usr/lib")

    made = root.make_directory("/var/log/audit")

    assert made == (root.root / "usr/lib/log/audit").resolve()
    assert made.is_dir()
    assert root.make_directory("/var/log/audit") == made
    assert root.make_directory("/") == root.root.resolve()


@pytest.mark.parametrize("target", ["{host}", "{host}/new", "../..", "loop"])
def test_a_directory_is_never_made_outside(host, root, target):
    (root.root / "loop").symlink_to(target.format(host=host))
    before = names(host)

    try:
        made = root.make_directory("/loop/made")
    except ImageError:
        pass
    else:
        assert made.is_relative_to(root.root.resolve())
    assert names(host) == before


def test_only_so_many_files_are_listed(root, monkeypatch):
    monkeypatch.setattr("ipa_partitions.disk.rootfs._ENTRIES_MAX", 3)

    assert root.list_directory("/") == ("boot", "etc", "usr")
    (root.root / "fourth").touch()
    with pytest.raises(ImageError, match="more than 3 files"):
        root.list_directory("/")


def test_removing_a_link_leaves_its_target(host, root):
    (host / "kept").mkdir()
    (root.root / "boot/grub").symlink_to(host / "kept")
    (root.root / "boot/tree/deep").mkdir(parents=True)
    (root.root / "boot/tree/link").symlink_to(host / "canary")

    for path in ("boot/grub", "boot/tree", "boot/nothing"):
        root.remove_tree(path)

    assert names(root.root / "boot") == []
    assert (host / "kept").is_dir()
    assert (host / "canary").read_text() == "outside"


def test_no_handle_is_left_open(root):
    before = len(names(Path("/proc/self/fd")))
    for path in ("/etc/name", "/nowhere", "/etc", "/etc/fstab"):
        for use in (root.read_bytes, root.list_directory, root.real_path,
                    root.remove_tree, root.make_directory):  # fmt: skip
            try:
                use(path)
            except ImageError:
                continue

    assert len(names(Path("/proc/self/fd"))) == before
