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

"""Plug-ins, ours and others', by the kind and the name they are found by.

The only importer of stevedore, which logs and skips a plug-in that cannot
be imported, and lets one of two with the same name win. Neither may happen
to a program that wipes disks: both stop it here, by name.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from stevedore import ExtensionManager

from ipa_partitions.errors import PluginError

Kind = Literal[
    "actions", "sources", "deployers", "volumes", "filesystems", "bootloaders"
]


@functools.cache
def load(kind: Kind) -> Mapping[str, Any]:
    """Return the plug-ins of ``kind`` by name, in the order of their names.

    Raises PluginError if one cannot be loaded or two have one name.
    """
    namespace = f"ipa_partitions.{kind}"
    manager = ExtensionManager(
        namespace, on_load_failure_callback=_refuse(namespace)
    )
    names = manager.entry_points_names()
    doubled = sorted(name for name, n in Counter(names).items() if n > 1)
    if doubled:
        claimants = sorted(
            extension.entry_point_target
            for extension in manager
            if extension.name == doubled[0]
        )
        raise PluginError(
            f"plug-in {namespace}: the name {doubled[0]!r} is taken twice,"
            f" by {' and '.join(claimants)}"
        )
    return MappingProxyType(
        {name: manager[name].plugin for name in sorted(names)}
    )


def load_all() -> None:
    """Load every plug-in. Raises PluginError as ``load`` does."""
    for kind in get_args(Kind):
        load(kind)


def _refuse(namespace: str) -> Any:
    def callback(_manager: object, entry_point: Any, error: Exception) -> None:
        raise PluginError(
            f"plug-in {namespace}: {entry_point.name!r}"
            f" ({entry_point.value}) cannot be loaded: {error}"
        ) from error

    return callback
