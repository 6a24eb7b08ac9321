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

"""What can go wrong, one class per reader.

``LayoutError``: change the document. ``MachineError``: another machine
would do. ``CommandError``: here is what the program said. ``ImageError``:
the image or its server is at fault. ``ActionError``: the disks are
half-written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ipa_partitions.urls import public_text


def json_path(keys: Iterable[str | int], path: str = "$") -> str:
    """Return the JSON path that ``keys`` lead to from ``path``, the top."""
    for key in keys:
        if isinstance(key, int):
            path += f"[{key}]"
        elif key.isidentifier():
            path += f".{key}"
        else:
            path += f"[{json.dumps(key)}]"
    return path


class PartitionsError(Exception):
    """The base of every error that this project raises on purpose."""


class ProblemError(PartitionsError):
    """One problem, ``at`` a JSON path of the document."""

    def __init__(self, at: str, problem: str) -> None:
        # A value that is repeated may be a URL in the wrong place.
        problem = public_text(problem)
        super().__init__(f"{at}: {problem}")
        self.at = at
        self.problem = problem


class LayoutError(ProblemError):
    """The document is wrong, whatever the machine."""


class LackError(LayoutError):
    """Something that the document needs is not in it.

    ``what`` it would be among: ``entries``, ``members`` of them, ``images``,
    their ``names`` in volumes, or ``mounts``.
    """

    def __init__(self, at: str, problem: str, what: str = "") -> None:
        super().__init__(at, problem)
        self.what = what


class MachineError(ProblemError):
    """The document cannot be had on this machine."""


class ProblemErrors(PartitionsError):  # noqa: N818
    """All problems that were found, a line each."""

    def __init__(self, errors: Iterable[PartitionsError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


class LayoutErrors(ProblemErrors):
    """Everything that is wrong with a document, also on this machine."""


class MachineErrors(ProblemErrors):
    """Everything for which this machine will not do."""


class DifferencesError(PartitionsError):
    """The disks are not what the document says, and shall stay as they are.

    ``differences`` are all of them, a line each.
    """

    def __init__(self, differences: Iterable[str]) -> None:
        self.differences = tuple(differences)
        super().__init__("\n".join(self.differences))


class PluginError(PartitionsError):
    """A plug-in cannot be loaded, or two have one name."""


class CommandError(PartitionsError):
    """A program failed; the message holds what it said."""


class ImageError(PartitionsError):
    """An image is not what was declared, or did not arrive whole."""


class ActionError(PartitionsError):
    """An action failed after the disks began to change."""


def raise_all(errors: Iterable[ProblemError]) -> None:
    """Raise all of them, as LayoutErrors if the document is to blame too."""
    every = tuple(errors)
    if any(isinstance(error, LayoutError) for error in every):
        raise LayoutErrors(every)
    if every:
        raise MachineErrors(every)
