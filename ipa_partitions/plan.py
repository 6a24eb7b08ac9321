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

"""The plan: actions, each one change that was decided beforehand.

Actions are plug-ins, ours too. One is a frozen value with

* ``phase``: all actions of a phase end before the next begins;
* ``tools``: the programs that it starts, looked for before anything else;
* ``devices``: what it works on. Actions of one phase run at the same time
  where these have nothing in common, else in the order of the plan;
* ``plan(resolved)``: as many of it as the layout needs;
* ``str()``: all that matters to a person;
* ``validate()``: only looks, and raises PartitionsError if ``execute``
  would fail;
* ``execute()``: does it.

An action may ask for a partition: ``ask(layout)`` returns SpaceRequests,
and ``plan`` finds the partition in the resolved layout by its name.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import ClassVar, Protocol, Self

from ipa_partitions import registry
from ipa_partitions.errors import (
    ActionError,
    MachineError,
    MachineErrors,
    PartitionsError,
)
from ipa_partitions.layout import Layout
from ipa_partitions.progress import Listener, Whole, listening
from ipa_partitions.resolved import ResolvedLayout, SpaceRequest

LOG = logging.getLogger(__name__)

# Deploying is bound by disks and servers, not by processors.
_MAX_THREADS = 16


class Phase(IntEnum):
    """When an action runs."""

    STOP = 5
    CLEAR = 10
    PARTITION = 20
    ARRAY = 30
    GROUP = 32
    VOLUME = 34
    WIPE = 36
    ENCRYPT = 38
    FORMAT = 40
    SUBVOLUME = 45
    IMAGE = 50
    CONFIGURE = 60
    BOOT = 70
    REPORT = 80


class Action(Protocol):
    """One change; the module's docstring says what its parts are."""

    phase: ClassVar[Phase]
    tools: ClassVar[tuple[str, ...]]

    @property
    def devices(self) -> frozenset[str]:
        """The devices that it works on."""

    @classmethod
    def plan(cls, resolved: ResolvedLayout) -> Iterable[Self]:
        """Return as many as the layout needs."""

    def validate(self) -> None:
        """Look whether ``execute`` can work."""

    def execute(self) -> None:
        """Do it."""


@dataclass(frozen=True)
class Plan:
    """What will be done to this machine, in order."""

    resolved: ResolvedLayout
    actions: tuple[Action, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before."""
        return self.resolved.warnings

    def validate(self) -> None:
        """Let every action look. Raises MachineErrors with all they say."""
        errors = [*_missing_tools(self.actions)]
        for action in self.actions:
            try:
                action.validate()
            except PartitionsError as error:
                errors.append(error)
        if errors:
            unique = {str(error): error for error in errors}
            raise MachineErrors(unique.values())

    def execute(
        self,
        listener: Listener | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """Do it all, phase by phase, on disks that the caller has locked.

        The thread of each action is ``prepare``d first.

        Raises ActionError for what fails; the disks are half-written then,
        and a second run of the same document makes them whole.
        """
        numbered = list(enumerate(self.actions, start=1))
        whole = Whole(listener or _nobody, len(self.actions))
        for _, group in groupby(numbered, lambda each: each[1].phase):
            _run_phase(list(group), whole, prepare)


def make_plan(resolved: ResolvedLayout) -> Plan:
    """Return the plan that makes ``resolved`` true."""
    planned = [
        action
        for kind in registry.load("actions").values()
        for action in kind.plan(resolved)
    ]
    return Plan(resolved, tuple(sorted(planned, key=lambda a: a.phase)))


def space_requests(layout: Layout) -> tuple[SpaceRequest, ...]:
    """Return the partitions that actions ask for."""
    return tuple(
        request
        for kind in registry.load("actions").values()
        if hasattr(kind, "ask")
        for request in kind.ask(layout)
    )


def action_name(action: Action) -> str:
    """Return the name under which the plug-in of ``action`` is found."""
    kinds = registry.load("actions")
    return next(
        name for name, kind in kinds.items() if isinstance(action, kind)
    )


def _missing_tools(actions: Iterable[Action]) -> Iterator[PartitionsError]:
    tools = {tool for action in actions for tool in action.tools}
    for tool in sorted(tools):
        if not shutil.which(tool):
            yield MachineError("$", f"the program {tool} is not there")


def _run_phase(
    numbered: Sequence[tuple[int, Action]],
    whole: Whole,
    prepare: Callable[[], None],
) -> None:
    """Run actions at the same time where they share no device."""
    failed = threading.Event()
    running: list[tuple[Action, Future[None]]] = []
    with ThreadPoolExecutor(_MAX_THREADS) as pool:
        for number, action in numbered:
            # Submitted before, so each has a thread already, or is done.
            before = [
                future
                for other, future in running
                if not other.devices.isdisjoint(action.devices)
            ]
            future = pool.submit(
                copy_context().run,
                _run_action, action, number, whole, prepare, before, failed,
            )  # fmt: skip
            running.append((action, future))
    errors = [(a, error) for a, f in running if (error := f.exception())]
    if errors:
        text = "\n".join(f"{action}: {error}" for action, error in errors)
        raise ActionError(text) from errors[0][1]


def _run_action(
    action: Action,
    number: int,
    whole: Whole,
    prepare: Callable[[], None],
    before: Iterable[Future[None]],
    failed: threading.Event,
) -> None:
    wait(before)
    if failed.is_set():
        return
    LOG.info("%s of %s: %s", number, whole.of, action)
    try:
        prepare()
        with listening(whole, str(action), number):
            action.execute()
    except BaseException:
        failed.set()
        raise


def _nobody(_progress: object) -> None:
    """Listen to nothing."""
