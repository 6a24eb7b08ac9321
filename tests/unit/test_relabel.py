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

"""When a system labels its files anew, and what is renamed inside one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa_partitions.boot.relabel import mark_for_relabel
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.images.old_uuid import replace_uuid

OLD = "2abf123d-d52f-4f62-a351-7358221bc51f"
NEW = "3b360901-7896-48d4-a14d-fc35e1582c74"


@pytest.mark.parametrize(("config", "marked"), [
    ("SELINUX=enforcing\n", True),
    ("# SELINUX=\nSELINUX=permissive\n", True),
    ("SELINUX=disabled\n", False),
    ("", False),
    (None, False),
])  # fmt: skip
def test_only_a_system_that_uses_selinux_is_marked(
    tmp_path: Path, config: str | None, marked: bool
) -> None:
    (tmp_path / "etc/selinux").mkdir(parents=True)
    if config is not None:
        (tmp_path / "etc/selinux/config").write_text(config)
    (tmp_path / "etc/fstab").write_text("")
    mark_for_relabel(RootFs(tmp_path), "/etc/fstab")
    assert (tmp_path / ".autorelabel").exists() == marked


def test_boot_files_name_the_new_uuid_and_nothing_else_changes(
    tmp_path: Path,
) -> None:
    texts = {
        "etc/kernel/cmdline": f"root=UUID={OLD} ro\n",
        "etc/default/grub.d/50-cloud.cfg": f"X='root=UUID={OLD}'\n",
        "boot/loader/entries/a.conf": f"options root=UUID={OLD}\n",
        "boot/efi/EFI/debian/grub.cfg": f"search.fs_uuid {OLD} root\n",
        "boot/grub2/grubenv": f"kernelopts=root=UUID={OLD}\n####",
    }
    others = {
        "etc/default/grub": "GRUB_TIMEOUT=1\n",
        "etc/notes": OLD,
        "boot/loader/entries/a.txt": OLD,
    }
    for name, text in (texts | others).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "etc/kernel/cmdline").chmod(0o600)
    # Absolute, and so inside.
    (tmp_path / "boot/grub").symlink_to("/boot/grub2")
    changed = replace_uuid(RootFs(tmp_path), OLD, NEW)
    assert len(changed) == len(texts)
    for name, text in texts.items():
        assert (tmp_path / name).read_text() == text.replace(OLD, NEW)
    for name, text in others.items():
        assert (tmp_path / name).read_text() == text
    assert (tmp_path / "etc/kernel/cmdline").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "boot/grub").is_symlink()


def test_what_cannot_be_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot/grub/grub.cfg").write_text(OLD.ljust(2**21))
    assert replace_uuid(RootFs(tmp_path), OLD, NEW) == ()
    assert f"may name the old UUID {OLD}" in caplog.text


@pytest.mark.parametrize(("old", "new"), [
    ("ABCD-1234", NEW), (OLD, OLD), ("", NEW), (OLD, "ABCD-1234"),
])  # fmt: skip
def test_what_may_stand_for_anything_is_not_replaced(
    tmp_path: Path, old: str, new: str
) -> None:
    (tmp_path / "etc/kernel").mkdir(parents=True)
    (tmp_path / "etc/kernel/cmdline").write_text(old)
    assert replace_uuid(RootFs(tmp_path), old, new) == ()
