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

"""GRUB for BIOS: into the first sectors of a disk."""

from __future__ import annotations

import os
from pathlib import Path

from ipa_partitions.run import run


def install(directory: Path, disk: str, name: str, modules: Path) -> None:
    """Put GRUB, called ``name``, into ``directory``, then on ``disk``."""
    run(
        f"{name}-install",
        "--target=i386-pc",
        f"--directory={modules}",
        f"--boot-directory={directory}",
        "--locales=", "--fonts=", "--themes=no", "--no-floppy",
        disk,
    )  # fmt: skip
    with Path(disk).open("rb") as device:
        os.fsync(device)
