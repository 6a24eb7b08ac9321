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

"""Trees from a real ssh server, whose key is known, or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ipa_partitions.errors import ImageError
from ipa_partitions.images.sources import ssh
from tests.functional.file_images import (
    LoopDisk,
    action,
    check_spread,
    three_volumes,
    volume,
)
from tests.ssh_server import ssh_server


@pytest.fixture
def ramdisk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with ssh_server(tmp_path) as ramdisk:
        monkeypatch.setattr(ssh, "RAMDISK", ramdisk)
        yield ramdisk


def test_a_directory_of_an_ssh_server_is_laid_over_all_volumes(
    ramdisk: Path, loop_disk: LoopDisk, system_tree: Path
) -> None:
    volumes = three_volumes(loop_disk)
    url = f"root@127.0.0.1:{system_tree}"
    deploy = action(url, *volumes, disk_format="dir")
    assert {"rsync", "ssh"} <= set(deploy.tools)
    deploy.validate()
    deploy.execute()
    check_spread(volumes, system_tree)


def test_a_path_is_no_word_of_the_servers_shell(
    ramdisk: Path, tmp_path: Path
) -> None:
    name = "$(touch${IFS}evil)"
    (tmp_path / name).mkdir()
    ssh.SSH.check(f"root@127.0.0.1:{tmp_path}/{name}")
    assert not Path("/root/evil").exists()


@pytest.mark.parametrize("kind", ["unknown", "other", "login", "directory"])
def test_what_ssh_refuses_is_known_before(
    ramdisk: Path, tmp_path: Path, kind: str
) -> None:
    known_hosts = ramdisk / "known_hosts"
    path, problem = tmp_path / "etc", "Host key verification failed"
    if kind == "unknown":
        known_hosts.write_text("")
    elif kind == "other":
        place = known_hosts.read_text().split()[0]
        other = (ramdisk / "ssh_key.pub").read_text()
        known_hosts.write_text(f"{place} {other}")
    elif kind == "login":
        (tmp_path / "authorized").write_text("")
        problem = "Permission denied"
    else:
        path, problem = tmp_path / "nowhere", "No such file or directory"
    deploy = action(
        f"root@127.0.0.1:{path}", volume("/dev/null", "/"), disk_format="dir"
    )
    with pytest.raises(ImageError, match=problem) as raised:
        deploy.validate()
    assert str(raised.value).startswith(f"127.0.0.1:{path}: ")
