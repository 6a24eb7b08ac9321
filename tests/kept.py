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

"""What tests make once and keep: in ``.cache``, by recipe."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

CACHE = Path(
    os.environ.get(
        "IPA_PARTITIONS_CACHE", Path(__file__).parent.parent / ".cache"
    )
)


def kept(name: str, recipe: Path, make: Callable[[Path], None]) -> Path:
    """Return the folder that ``make`` has filled, now or before.

    It is made anew when the file ``recipe`` has changed.
    """
    digest = hashlib.sha256(recipe.read_bytes()).hexdigest()[:16]
    folder = CACHE / f"{name}-{digest}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.glob(f"{Path(name).name}-*"):
        shutil.rmtree(old)
    # Beside its place, so that a build that was broken off is none.
    fresh = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        make(fresh)
        if not folder.exists():
            fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder
