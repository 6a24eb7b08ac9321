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

"""``python -m tests.gate [ARGUMENT OF PYTEST]...``: see ``make gate``."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from tests.gate import artefacts, places

HERE = Path(__file__).parent


def main() -> None:
    """Make what is missing, then become the stories."""
    if os.geteuid() != 0:
        sys.exit("gate: namespaces and libvirt take root")
    started = time.monotonic()
    _forget_the_last_run()
    os.environ.update(artefacts.made().to_environment())
    print(
        f"gate: ramdisk and systems: {time.monotonic() - started:.0f} s,"
        f" state: {places.STATE}",
        flush=True,
    )
    argv = (
        "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
        "--mount-proc", str(HERE / "namespace.sh"),
        str(places.STATE), places.HOST,
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s",
        *(sys.argv[1:] or [str(HERE)]),
    )  # fmt: skip
    os.execvp(argv[0], argv)


def _forget_the_last_run() -> None:
    for path in places.STATE.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


if __name__ == "__main__":
    main()
