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
from pathlib import Path
from typing import Any

SIZE = "16M"


def raw_system(folder: Path, name: str) -> Path:
    """Make the image of an ext4 filesystem with a kernel's name in it."""
    tree = folder / f"{name}.tree"
    files = {
        "etc/os-release": f'ID={name}\nPRETTY_NAME="Tiny {name} 1"\n',
        "boot/vmlinuz-1.0": f"the kernel of {name}",
        "boot/initrd.img-1.0": f"the initrd of {name}",
    }
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    image = folder / f"{name}.raw"
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image), SIZE],
        check=True,
        capture_output=True,
    )
    shutil.rmtree(tree)
    return image


def image_entry(image: Path, url: str) -> dict[str, Any]:
    """Return what ``images`` of a document says of it, served at ``url``."""
    return {
        "name": image.stem,
        "image_pull_url": f"{url}/{image.name}",
        "os_hash_algo": "sha256",
        "os_hash_value": hashlib.sha256(image.read_bytes()).hexdigest(),
    }
