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

"""What goes wrong: named, nothing left behind, and a second run converges."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ipa_partitions.deploy import Request, deploy
from ipa_partitions.disk.probe import busy
from ipa_partitions.errors import ActionError, MachineErrors
from ipa_partitions.images.sources import patience
from tests import documents, file_server, program, servers, tiny

SEED = "c0ffee00-0000-4000-8000-000000000000"
DISK_MIB = 400


def document(device, *images, **keys):
    roots = (
        {
            "type": "partition",
            "size": "64 MiB",
            "mount": "/",
            "images": [image["name"]],
        }
        for image in images
    )
    return documents.one_disk(device, *roots, images=list(images), **keys)


def request(image_info):
    return Request(image_info, firmware="bios", seed=SEED)


def disk_hash(device):
    return hashlib.sha256(Path(device).read_bytes()).hexdigest()


def has_boot_code(device):
    with Path(device).open("rb") as disk:
        return any(disk.read(440))


def can_be_mounted(device, tmp_path):
    where = tmp_path / "look"
    where.mkdir(exist_ok=True)
    ran = subprocess.run(
        ["mount", "-o", "ro", device, str(where)],
        check=False,
        capture_output=True,
    )
    if ran.returncode == 0:
        subprocess.run(["umount", str(where)], check=True)
    return ran.returncode == 0


@pytest.fixture
def image(tmp_path):
    return tiny.raw_system(tmp_path, "tiny")


def test_a_wrong_checksum_leaves_nothing_that_boots(
    loop_disk, tmp_path, image
):
    device = loop_disk(DISK_MIB)
    with file_server.serving(image) as url:
        good = tiny.image_entry(image, url)
        bad = good | {"os_hash_value": "0" * 64}
        with pytest.raises(ActionError, match=r"tiny.*sha256"):
            deploy(request(document(device, bad)))
        assert not can_be_mounted(f"{device}p2", tmp_path)
        assert not has_boot_code(device)
        assert not busy(device)
        result = deploy(request(document(device, good)))
    assert can_be_mounted(f"{device}p2", tmp_path)
    assert has_boot_code(device)
    assert len(result.boot_info.elements) == 1


def test_a_server_that_dies_half_way_fails_the_deployment(
    loop_disk, tmp_path, image, monkeypatch
):
    device = loop_disk(DISK_MIB)
    with servers.http_server(tmp_path) as server:
        entry = tiny.image_entry(image, server.url)
        server.faults.cuts = [65536, 1000000, *[0] * 50]
        # The first look of validate is granted.
        server.faults.cuts.insert(0, None)
        with monkeypatch.context() as shorter:
            shorter.setattr(patience, "PATIENCE_S", 2)
            with pytest.raises(ActionError, match="tiny"):
                deploy(request(document(device, entry)))
        assert not can_be_mounted(f"{device}p2", tmp_path)
        server.faults.cuts = []
        deploy(request(document(device, entry)))
    assert can_be_mounted(f"{device}p2", tmp_path)


def test_a_cut_connection_is_resumed(loop_disk, tmp_path, image):
    device = loop_disk(DISK_MIB)
    with servers.http_server(tmp_path) as server:
        entry = tiny.image_entry(image, server.url)
        server.faults.cuts = [None, 5000000]
        deploy(request(document(device, entry)))
        ranges = [r["range"] for r in server.requests if "range" in r]
    assert "bytes=5000000-" in ranges


def test_files_that_do_not_fit_name_the_image(loop_disk, tmp_path):
    device = loop_disk(DISK_MIB)
    root = tiny.tree(tmp_path, "big")
    (root / "filler").write_bytes(os.urandom(80 * 1024**2))
    subprocess.run(
        ["tar", "-C", root, "-cf", tmp_path / "big.tar", "."], check=True
    )
    # Packed, so that its size cannot be known before.
    subprocess.run(["gzip", "-1", tmp_path / "big.tar"], check=True)
    file = tmp_path / "big.tar.gz"
    with file_server.serving(file) as url:
        entry = tiny.image_entry(file, url) | {"name": "big"}
        with pytest.raises((ActionError, MachineErrors), match="big"):
            deploy(request(document(device, entry)))
    assert not can_be_mounted(f"{device}p2", tmp_path)
    assert not has_boot_code(device)


def test_a_failing_mkfs_is_told_in_its_own_words(
    loop_disk, tmp_path, monkeypatch
):
    device = loop_disk(DISK_MIB)
    mkfs = tmp_path / "bin" / "mkfs.ext4"
    mkfs.parent.mkdir()
    mkfs.write_text("#!/bin/sh\necho 'the disk is tired' >&2\nexit 1\n")
    mkfs.chmod(0o755)
    image_info = document(device)
    image_info["partitions"][0]["volumes"] = [
        {"type": "partition", "size": 64, "file_system": "ext4"}
    ]
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{mkfs.parent}:{os.environ['PATH']}")
        with pytest.raises(ActionError) as raised:
            deploy(request(image_info))
    assert "make ext4" in str(raised.value)
    assert "the disk is tired" in str(raised.value)
    deploy(request(image_info))


def volumes(image_info):
    return image_info["partitions"][0]["volumes"]


def missing_image(image_info, _image):
    image_info["images"][0]["image_pull_url"] += ".not"


def qcow2_inside(_image_info, image):
    with image.open("r+b") as file:
        file.write(b"QFI\xfb\0\0\0\3")


def volume_too_small(image_info, _image):
    volumes(image_info)[0]["size"] = "8 MiB"


def too_small_for_xfs(image_info, _image):
    volumes(image_info).append(
        {"type": "partition", "size": 200, "file_system": "xfs"}
    )


@pytest.mark.parametrize(("spoil", "problem"), [
    (missing_image,     "404"),
    (qcow2_inside,      "qcow2"),
    (volume_too_small,  "tiny"),
    (too_small_for_xfs, "xfs needs 300 MiB"),
])  # fmt: skip
def test_what_can_be_known_before_leaves_every_byte_as_it_was(
    loop_disk, image, spoil, problem
):
    device = loop_disk(DISK_MIB)
    with file_server.serving(image) as url:
        image_info = document(device, tiny.image_entry(image, url))
        spoil(image_info, image)
        assert_refused_untouched(image_info, device, problem)


def test_a_missing_program_is_noticed_before(loop_disk, tmp_path, monkeypatch):
    device = loop_disk(DISK_MIB)
    image_info = document(device)
    volumes(image_info).append(
        {"type": "partition", "size": 310, "file_system": "xfs"}
    )
    _hide(tmp_path, monkeypatch, "mkfs.xfs")
    assert_refused_untouched(
        image_info, device, "the program mkfs.xfs is not there"
    )


def test_a_disk_that_somebody_holds_is_not_touched(loop_disk):
    device = loop_disk(DISK_MIB)
    # As if mounted in a namespace that we cannot see.
    holder = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        assert_refused_untouched(document(device), device, "in use")
    finally:
        os.close(holder)


def test_a_disk_that_is_mounted_is_not_touched(loop_disk, tmp_path):
    device = loop_disk(DISK_MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)
    where = tmp_path / "mounted"
    where.mkdir()
    subprocess.run(["mount", "-o", "ro", device, where], check=True)
    try:
        assert_refused_untouched(
            document(device), device, f"{device} is mounted on {where}"
        )
    finally:
        subprocess.run(["umount", where], check=True)


def assert_refused_untouched(image_info, device, problem):
    before = disk_hash(device)
    with pytest.raises(MachineErrors, match=problem):
        deploy(request(image_info))
    assert disk_hash(device) == before


def _hide(tmp_path, monkeypatch, name):
    """Make a PATH that has every program but one."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(":")):
        for tool in Path(place).glob("*"):
            link = folder / tool.name
            link.unlink(missing_ok=True)
            link.symlink_to(tool)
    (folder / name).unlink()
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.6, None])
def test_killed_and_run_again_is_as_if_run_once(
    loop_disk, tmp_path, image, after_s
):
    """``after_s`` seconds after the disk was cleared; None in the image."""
    device = loop_disk(DISK_MIB)
    gate = threading.Event()
    with file_server.serving(image, gate=gate) as url:
        image_info = document(device, tiny.image_entry(image, url))
        file = tmp_path / "document.json"
        file.write_text(json.dumps(image_info))
        gate.set() if after_s is not None else None
        running = subprocess.Popen(
            [str(program.PROGRAM), "deploy", str(file), "--yes"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if after_s is None:
            _wait_for(lambda: _written(f"{device}p2") > 4 * 1024**2)
        else:
            time.sleep(0.5 + after_s)
        running.send_signal(signal.SIGKILL)
        running.wait()
        gate.set()
        _wait_for(lambda: not busy(device))
        mounts = Path("/proc/self/mounts").read_text()
        assert device not in mounts
        deploy(request(image_info))
        after_a_kill = _state(device)
        deploy(request(image_info))
        assert _state(device) == after_a_kill


def _written(device):
    stat = Path("/sys/class/block", Path(device).name, "stat")
    return int(stat.read_text().split()[6]) * 512 if stat.exists() else 0


def _wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def _state(device):
    def output(*argv):
        return subprocess.run(
            argv, check=False, capture_output=True, text=True
        ).stdout

    return (
        output("sfdisk", "--dump", device),
        output("blkid", "--probe", f"{device}p2"),
        # With -p it shows no times: two deployments are never at one.
        output("debugfs", "-R", "ls -p /", f"{device}p2").split(),
    )
