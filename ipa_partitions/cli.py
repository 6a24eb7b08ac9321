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

"""The command line: ``ipa-partitions``, SPEC 4.4.

Only translates: words to a request, errors to lines and an exit code. What
a verb does not need it does not import; but all plug-ins are loaded, since a
broken one stops the program.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import uuid
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ipa_partitions import registry
from ipa_partitions.arguments import (
    WRONG,
    one_line,
    parse_arguments,
    refuse,
)
from ipa_partitions.errors import (
    DifferencesError,
    LayoutError,
    LayoutErrors,
    PartitionsError,
    ProblemErrors,
)

if TYPE_CHECKING:
    from ipa_partitions.boot_info import BootInfo
    from ipa_partitions.deploy import Request
    from ipa_partitions.plan import Plan

DONE, FAILED, DIFFERENT = 0, 1, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    if sys.stdout is None:  # and the next file opened would be in its place
        print("standard output is closed", file=sys.stderr)
        return FAILED
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal cannot show must not stop us.
            stream.reconfigure(errors="backslashreplace")
    # What it says of a disk that is not meant is no line of ours.
    logging.getLogger("ironic_python_agent").addHandler(logging.NullHandler())
    try:
        arguments = parse_arguments(argv)
        registry.load_all()
        _VERBS[arguments.verb](arguments)
    except PartitionsError as error:
        return _tell(error)
    except BrokenPipeError:
        return FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        # Python would wait for what still works; its mounts and programs
        # end with us.
        os._exit(FAILED)
    return DONE


def _tell(error: PartitionsError) -> int:
    """Print every problem as one line; return whose fault it is."""
    each: Iterable[object] = (error,)
    if isinstance(error, ProblemErrors):
        each = error.errors
    elif isinstance(error, DifferencesError):
        each = error.differences
    for problem in each:
        print(one_line(str(problem)), file=sys.stderr)
    if isinstance(error, DifferencesError):
        return DIFFERENT
    is_wrong = isinstance(error, LayoutError | LayoutErrors)
    return WRONG if is_wrong else FAILED


def _print(text: str, end: str = "\n") -> None:
    """Print at once, so that what does not arrive is known.

    Raises PartitionsError, or BrokenPipeError if nobody listens any more.
    """
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise PartitionsError(f"cannot print: {error.strerror}") from error


def _print_json(value: object) -> None:
    _print(json.dumps(value, indent=2))


def _read(arguments: Namespace) -> object:
    from ipa_partitions.layout.read import read_document

    return read_document(arguments.file)


def _schema(_arguments: Namespace) -> None:
    from ipa_partitions import layout

    _print_json(layout.json_schema())


def _validate(arguments: Namespace) -> None:
    from ipa_partitions import layout

    try:
        layout.parse(_read(arguments))
    except LayoutErrors as error:
        if arguments.json:
            problems = [str(each) for each in error.errors]
            _print_json({"valid": False, "problems": problems})
        raise
    if arguments.json:
        _print_json({"valid": True})
    else:
        _print("valid")


def _plan(arguments: Namespace) -> None:
    from ipa_partitions.deploy import Request, make_plan

    devices = [disk.device for disk in arguments.disks]
    doubled = {name for name in devices if devices.count(name) > 1}
    if doubled:
        refuse("plan", f"argument --disk: {min(doubled)} is given twice")
    firmware = arguments.firmware
    plan = make_plan(
        Request(
            _read(arguments),
            firmware=None if firmware == "auto" else firmware,
            seed=arguments.seed,
            imagined=tuple(arguments.disks),
        )
    )
    if arguments.svg:
        from ipa_partitions.show.as_svg import plan_svg

        _write(arguments.svg, plan_svg(plan))
    elif arguments.json:
        from ipa_partitions.show.as_json import plan_json

        _print_json(plan_json(plan))
    else:
        from ipa_partitions.show.as_text import plan_text

        _print(plan_text(plan), end="")


def _write(name: str, text: str) -> None:
    if name == "-":
        _print(text, end="")
        return
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        refuse("plan", f"cannot write {name}: {error.strerror}")


def _deploy(arguments: Namespace) -> None:
    from ipa_partitions.deploy import Request, deploy
    from ipa_partitions.show.as_progress import shown

    # The seed makes what is shown and what is done one and the same plan.
    request = Request(_read(arguments), seed=str(uuid.uuid4()))
    person = None if arguments.yes else _person()
    shown_plan = _ask(request, person) if person else None
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Whoever started us with nohup(1) meant it.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    with shown(sys.stderr) as listener:
        result = deploy(request, listener, shown_plan)
    if arguments.json:
        _print_json(result.to_json())
        return
    _print(f"root_uuid: {result.root_uuid or '-'}")
    if result.boot_info:
        _print_boot_info(result.boot_info, as_json=False)


def _verify(arguments: Namespace) -> None:
    from ipa_partitions.deploy import Request, verify

    found = verify(Request(_read(arguments)))
    if arguments.json:
        _print_json({"matches": not found, "differences": list(found)})
    elif not found:
        _print("the disks are what the document says")
    if found:
        raise DifferencesError(found)


def _capture(arguments: Namespace) -> None:
    from ipa_partitions.deploy import capture

    _print_json(capture(arguments.disks))


def _person() -> IO[str] | None:
    """Return the terminal to ask on, if there is one.

    Where the document is piped in, it is not standard input.
    """
    if sys.stdin and sys.stdin.isatty():
        return sys.stdin
    if sys.stderr and sys.stderr.isatty():
        with suppress(OSError):
            return Path("/dev/tty").open(encoding="utf-8")
    return None


def _ask(request: Request, person: IO[str]) -> Plan:
    """Show the plan, and return it if the person says yes."""
    from ipa_partitions.deploy import make_plan
    from ipa_partitions.show.as_text import plan_text

    plan = make_plan(request)
    print(plan_text(plan), file=sys.stderr)
    print("Do this? Type yes: ", end="", file=sys.stderr, flush=True)
    if person.readline().strip() != "yes":
        raise PartitionsError("not confirmed, nothing was done")
    return plan


def _boot_list(arguments: Namespace) -> None:
    from ipa_partitions.deploy import get_boot_info

    _print_boot_info(get_boot_info(arguments.partition), arguments.json)


def _boot_set(arguments: Namespace, once: bool = False) -> None:
    from ipa_partitions.deploy import switch_boot

    info = switch_boot(arguments.image, once, arguments.partition)
    _print_boot_info(info, arguments.json)


def _boot_once(arguments: Namespace) -> None:
    _boot_set(arguments, once=True)


def _boot_confirm(arguments: Namespace) -> None:
    from ipa_partitions.deploy import confirm_boot

    _print_boot_info(confirm_boot(arguments.partition), arguments.json)


def _boot_refresh(arguments: Namespace) -> None:
    from ipa_partitions.deploy import refresh_boot

    info, problems = refresh_boot(arguments.partition)
    for problem in problems:
        print(f"warning: {one_line(problem)}", file=sys.stderr)
    _print_boot_info(info, arguments.json)


def _print_boot_info(info: BootInfo, as_json: bool) -> None:
    from ipa_partitions.show.as_text import boot_info_text

    if as_json:
        _print_json(info.to_json())
    else:
        _print(boot_info_text(info), end="")


_VERBS: Mapping[str, Callable[[Namespace], None]] = {
    "schema": _schema,
    "validate": _validate,
    "plan": _plan,
    "deploy": _deploy,
    "verify": _verify,
    "capture": _capture,
    "boot list": _boot_list,
    "boot set": _boot_set,
    "boot once": _boot_once,
    "boot confirm": _boot_confirm,
    "boot refresh": _boot_refresh,
}

if __name__ == "__main__":
    sys.exit(main())
