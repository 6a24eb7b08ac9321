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


"""Our own command line program, as an operator starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("ipa-partitions")


def output(*argv: str, stdin: str | None = None) -> Any:
    """Run ``ipa-partitions ARGV --json`` and return what it printed.

    Raises AssertionError, with what it said, if it fails.
    """
    ran = subprocess.run(
        [str(PROGRAM), *argv, "--json"],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"exit code {ran.returncode}: {ran.stderr}"
    return json.loads(ran.stdout)
