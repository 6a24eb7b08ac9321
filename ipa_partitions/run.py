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

"""The only way to start a program: an argv, the C locale, a timeout."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from oslo_concurrency import processutils

from ipa_partitions.errors import CommandError

# A program of ours ends with us: one that went on writing after we were
# killed would spoil what a second run writes.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")

# No single program of ours works longer; a stuck one must not hold a node
# for ever.
TIMEOUT_S = 3600


def run(
    *argv: str,
    stdin: str | None = None,
    ok_codes: Sequence[int] = (0,),
    timeout_s: int = TIMEOUT_S,
) -> str:
    """Run ``argv`` and return its standard output.

    Raises CommandError, with the standard error, for another exit code than
    ``ok_codes``, for a program that does not exist, and after ``timeout_s``.
    """
    try:
        stdout, _stderr = processutils.execute(
            *ENDS_WITH_US,
            *argv,
            process_input=stdin,
            check_exit_code=list(ok_codes),
            env_variables=os.environ | {"LC_ALL": "C"},
            timeout=timeout_s,
            on_completion=_kill_if_running,
        )
    except processutils.ProcessExecutionError as error:
        said = (error.stderr or error.stdout or "").strip()
        raise CommandError(
            f"{' '.join(argv)}: exit code {error.exit_code}: {said}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            f"{' '.join(argv)}: not done after {timeout_s} s"
        ) from error
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error}") from error
    return str(stdout)


def _kill_if_running(process: subprocess.Popen[bytes]) -> None:
    # processutils leaves a program that was too slow running.
    if process.poll() is None:
        process.kill()
        process.wait()
