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

"""Mount filesystems, never trusting what is in them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipa_partitions.run import run

# Where everything is mounted; see namespace.py.
PLACE = Path("/run/ipa-partitions")

UNTRUSTED = "nodev,nosuid,noexec"
READ_ONLY = f"ro,{UNTRUSTED}"


@contextmanager
def mounted(
    device: str,
    options: str = UNTRUSTED,
    at: Path | None = None,
    kind: str = "auto",
) -> Iterator[Path]:
    """Mount ``device`` at ``at``, or on a fresh directory, and yield it.

    Raises CommandError if it cannot be mounted, or afterwards unmounted:
    data may be lost then, so the deployment must not report success.
    """
    PLACE.mkdir(exist_ok=True)
    where = at or Path(tempfile.mkdtemp(dir=PLACE))
    try:
        run("mount", "-t", kind, "-o", options, device, str(where))
        try:
            yield where
        finally:
            run("umount", str(where))
    finally:
        if at is None:
            # Fails, and so is noticed, while something is still mounted.
            where.rmdir()
