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

"""A system of a few files: enough to deploy, too little to run."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import file_server, servers

SIZE = "16M"

_COMPRESS = {".gz": "gzip", ".xz": "xz", ".zst": "zstd"}


def tree(folder: Path, name: str) -> Path:
    """Make the files of a system, with a kernel in name only."""
    files = {
        "etc/os-release": f'ID={name}\nPRETTY_NAME="Tiny {name} 1"\n',
        "etc/fstab": "# the image's own\n",
        "boot/vmlinuz-1.0": f"the kernel of {name}",
        "boot/initrd.img-1.0": f"the initrd of {name}",
        "usr/share/doc/readme": f"all about {name}",
        "var/log/first": "one line\n",
    }
    root = folder / f"{name}.tree"
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def raw_system(folder: Path, name: str) -> Path:
    """Make the image of an ext4 filesystem that disks of 4096 take too."""
    root = tree(folder, name)
    image = folder / f"{name}.raw"
    _run(
        "mke2fs", "-q", "-t", "ext4", "-b", "4096",
        "-d", str(root), str(image), SIZE,
    )  # fmt: skip
    shutil.rmtree(root)
    return image


def image_file(folder: Path, file_name: str) -> Path:
    """Make the image that a URL ending in ``file_name`` declares."""
    name, kind, *_ = file_name.split(".")
    if kind == "raw":
        plain = raw_system(folder, name)
    else:
        root = tree(folder, name)
        plain = folder / f"{name}.{kind}"
        if kind == "squashfs":
            _run("mksquashfs", str(root), str(plain), "-no-progress")
        else:
            _run("tar", "-C", str(root), "-cf", str(plain), ".")
        shutil.rmtree(root)
    compress = _COMPRESS.get(Path(file_name).suffix)
    if compress:
        _run(compress, "-q", str(plain))
    return folder / file_name


def image_entry(image: Path, url: str) -> dict[str, Any]:
    """Return what ``images`` of a document says of it, served at ``url``."""
    return {
        "name": image.stem,
        "image_pull_url": f"{url}/{image.name}",
        "os_hash_algo": "sha256",
        "os_hash_value": sha256(image),
    }


@contextmanager
def served(name: str, kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Serve a system as ``kind``, a suffix or ``rsync``.

    Yields what ``images`` of a document says of it, without a name.
    """
    if kind == "rsync":
        tree(folder, name)
        with servers.rsync_daemon(folder, folder) as host:
            yield {"image_pull_url": f"rsync://{host}/images/{name}.tree"}
    else:
        image = image_file(folder, f"{name}.{kind}")
        with file_server.serving(image) as url:
            entry = image_entry(image, url)
            del entry["name"]
            yield entry


def sha256(image: Path) -> str:
    """Return the digest of the file."""
    return hashlib.sha256(image.read_bytes()).hexdigest()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
