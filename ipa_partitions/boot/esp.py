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

"""Files of an EFI system partition, written without mounting it.

A kernel need not know FAT for that, and nothing of what an earlier system
left there is resolved as a path.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ipa_partitions.run import run

TOOLS = ("mcopy",)


@dataclass(frozen=True)
class Esp:
    """An ESP; ``disk`` and ``number`` are what firmware is told."""

    device: str
    disk: str
    number: int


def write_files(device: str, files: Mapping[str, bytes]) -> None:
    """Put ``files``, in this order, below the top of the filesystem.

    What is there by other names stays. Raises CommandError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in files.items():
            top, *_ = Path(name).parts
            path = Path(scratch) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            run(
                "mcopy", "-i", device, "-s", "-o", "-n",
                str(Path(scratch) / top), "::/",
            )  # fmt: skip
            path.unlink()
    with Path(device).open("rb") as handle:
        os.fsync(handle)
