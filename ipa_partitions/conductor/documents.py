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

"""Check documents in the conductor, before a node is powered on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ironic.common.exception import InvalidParameterValue

from ipa_partitions import layout
from ipa_partitions.errors import LayoutErrors
from ipa_partitions.layout import sources
from ipa_partitions.layout.mounts import contents

# The steps that take a document, whoever runs them.
STEPS = ("deploy_partitions", "apply_partitions", "verify_partitions")


def refuse_bad_document(
    node: Any, image_info: object = None, layout_name: str | None = None
) -> layout.Layout | None:
    """Raise InvalidParameterValue with every problem of the document.

    The arguments are those of a step. A document that only the ramdisk has
    cannot be looked at here, and is none of the node's: None.
    """
    try:
        found = sources.given(_plain(node), image_info, layout_name)
        return layout.parse(found.image_info) if found else None
    except LayoutErrors as error:
        raise InvalidParameterValue(
            f"the document has problems:\n{error}"
        ) from error


def refuse_bad_steps(
    node: Any, steps: Iterable[Mapping[str, Any]]
) -> dict[str, layout.Layout | None]:
    """Return the documents of the steps that run, by the steps' names.

    Raises InvalidParameterValue for a step with a bad one.
    """
    layouts = {}
    for step in steps:
        if step.get("interface") != "deploy" or step.get("step") not in STEPS:
            continue
        args = step.get("args") or {}
        if step.get("priority") != 0:
            layouts[step["step"]] = refuse_bad_document(
                node, args.get("image_info"), args.get("layout")
            )
    return layouts


def kernel_params(
    node: Any, image_info: object = None, layout_name: str | None = None
) -> str:
    """Return what the document adds to kernel command lines, or ``""``.

    That is where the root of its default system is, if that is a subvolume,
    and its ``kernel_params``.
    """
    found = sources.given(_plain(node), image_info, layout_name)
    if found is None:
        return ""
    parsed = layout.parse(found.image_info)
    return " ".join((*_root_flags(parsed), parsed.kernel_params)).strip()


def _root_flags(parsed: layout.Layout) -> Iterator[str]:
    if not parsed.systems:
        return
    default = parsed.systems[parsed.default_system].name
    for _, content in contents(parsed):
        for each in content.subvolumes if default in content.images else ():
            if each.mount == "/":
                yield f"rootflags=subvol={each.name}"


def _plain(node: Any) -> dict[str, Any]:
    return {"instance_info": node.instance_info, "extra": node.extra}
