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


"""A whole deployment, shown: ``make demo``.

Everything happens on this machine: the disk is a file, the agent and the
image server listen on the loopback interface, and the node that boots the
disk is a virtual machine without a network.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import documents, file_server, ipa, loops, program, systems
from tests.vm import qemu

DISK_BYTES = 6 * 1024**3
MIB = 1024**2
WIDTH = 30
SIGNALS = (signal.SIGINT, signal.SIGTERM)

BOLD, DIM, PLAIN = (
    ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("",) * 3
)


def main() -> int:
    """Show it; return the exit code."""
    if os.geteuid() != 0:
        print("demo: attaching and mounting disks takes root", file=sys.stderr)
        return 1
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="ipa-partitions-demo-"))
    try:
        _show(folder)
    except KeyboardInterrupt:
        print("\nInterrupted: detached and removed what was made.")
        return 130
    finally:
        shutil.rmtree(folder)
    return 0


def _interrupt(*_: object) -> None:
    # Who presses Ctrl-C twice must not break off the cleaning up.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _show(folder: Path) -> None:
    started = time.monotonic()
    with _step("Two operating systems to deploy (built the first time)"):
        images = (systems.debian_12(), systems.debian_13())
        for image in images:
            size_mib = image.path.stat().st_size // MIB
            print(f"   {image.path.name}, {size_mib} MiB")

    disk = loops.blank_image(folder / "disk.img", DISK_BYTES)
    boot_info = _deploy(folder, disk, images)
    elements = boot_info["elements"]
    first = _boot(disk, "Boot the disk in a virtual machine", elements)

    other = next(e for e in elements if e["root_uuid"] != first.root_uuid)
    with _step("Switch to the other system"), loops.attached(disk) as device:
        loops.find_partitions(device)
        # The first partition holds the boot loader's own code.
        argv = ("boot", "set", other["os_id"], "--partition", f"{device}p2")
        _typed(f"ipa-partitions {' '.join(argv)}")
        switched = program.output(*argv)
        print(f"   current_element: {switched['current_element']}")
    second = _boot(disk, "Boot the same disk again", elements)

    assert second.root_uuid == other["root_uuid"], "the switch did nothing"
    seconds = time.monotonic() - started
    print(
        f"\n{BOLD}One disk, one GRUB, two systems: Debian {first.version}"
        f" ({first.kernel}), then\nDebian {second.version} ({second.kernel})."
        f" {seconds:.0f} s in all.{PLAIN}"
    )


def _deploy(
    folder: Path, disk: Path, images: tuple[systems.SystemImage, ...]
) -> dict[str, Any]:
    with (
        loops.attached(disk) as device,
        file_server.serving(*(image.path for image in images)) as url,
    ):
        document = documents.two_systems(device, url)
        with (
            _step(f"A blank disk, {device}, and a real Ironic Python Agent"),
            ipa.running(folder) as agent,
        ):
            print(f"   agent: {agent.url}, images: {url}")
            _typed("POST /v1/commands  partitions.plan")
            params = {"image_info": document}
            plan = _result(agent.command("partitions.plan", params))
            print(_indented(plan["text"]))
            _typed("POST /v1/commands  partitions.deploy")
            with _progress_line() as show:
                command = agent.follow("partitions.deploy", params, show)
            result = _result(command)
            print(f"   root_uuid: {result['root_uuid']}\n   boot-info.json:")
            print(_indented(json.dumps(result["boot_info"], indent=2)))
        return dict(result["boot_info"])


def _result(command: dict[str, Any]) -> dict[str, Any]:
    if command["command_status"] != "SUCCEEDED":
        raise SystemExit(f"demo: {command['command_error']}")
    return dict(command["command_result"])


def _boot(
    disk: Path, title: str, elements: list[dict[str, Any]]
) -> qemu.Facts:
    with _step(title):
        facts = qemu.boot_disk(disk)
        element = next(
            e for e in elements if e["root_uuid"] == facts.root_uuid
        )
        print(f"   {DIM}{_marker(facts.console)}{PLAIN}")
        print(
            f"   Up: {element['boot_name']}\n"
            f"   / is UUID {facts.root_uuid}, that of"
            f" {element['os_id']} in boot-info\n"
            f"   mounted: {', '.join(facts.mounts)},"
            f" swap: {', '.join(facts.swap_uuids)}"
        )
        return facts


def _marker(console: str) -> str:
    """Return the start of the line by which the system says it is up."""
    lines = (line.strip() for line in console.splitlines())
    return next(line for line in lines if systems.UP in line)[:72] + " ..."


@contextmanager
def _step(title: str) -> Iterator[None]:
    print(f"\n{BOLD}== {title}{PLAIN}", flush=True)
    started = time.monotonic()
    yield
    print(f"   {DIM}({time.monotonic() - started:.1f} s){PLAIN}", flush=True)


def _typed(text: str) -> None:
    print(f"   {BOLD}> {text}{PLAIN}", flush=True)


def _indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in text.splitlines())


@contextmanager
def _progress_line() -> Iterator[Any]:
    """Yield what shows progress: one line on a terminal, else some."""
    on_terminal = sys.stdout.isatty()
    shown: set[tuple[int, int]] = set()

    def show(progress: dict[str, Any]) -> None:
        line = _progress_text(progress)
        if on_terminal:
            print(f"\r\033[K   {line}", end="", flush=True)
            return
        total = progress["total_bytes"] or 0
        quarter = 4 * progress["bytes"] // total if total else 0
        if (progress["number"], quarter) not in shown:
            shown.add((progress["number"], quarter))
            print(f"   {line}", flush=True)

    try:
        yield show
    finally:
        if on_terminal:
            print("\r\033[K", end="", flush=True)


def _progress_text(progress: dict[str, Any]) -> str:
    text = f"[{progress['number']:2}/{progress['of']}]"
    # Where it comes from and goes to is in the plan above.
    action = progress["action"].partition(" from ")[0][:60]
    total = progress["total_bytes"]
    if total:
        done = min(1.0, progress["bytes"] / total)
        bar = ("#" * round(WIDTH * done)).ljust(WIDTH, ".")
        left_s = progress["seconds_left"] or 0
        text += f" {bar} {100 * done:3.0f}%, {left_s:.0f} s left,"
    return f"{text} {action}"


if __name__ == "__main__":
    sys.exit(main())
