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

"""The sample plug-in package, installed as a vendor's would be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).parent


def install(folder: Path) -> Path:
    """Install the package below ``folder``; return what PYTHONPATH needs."""
    # A build writes into the source tree; nothing is downloaded for it.
    source = shutil.copytree(_SOURCE, folder / "sample-source")
    site = folder / "sample-site"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet",
            "--no-build-isolation", "--no-deps", "--no-index",
            "--disable-pip-version-check", "--target", str(site), str(source),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return site
