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

"""The agent extension ``partitions``: its commands over REST, SPEC 4.1.

Parameters are checked while the request waits, so that a bad document is
HTTP 400 with every problem, and nothing has begun.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ironic_python_agent import errors
from ironic_python_agent.extensions import base

from ipa_partitions import deploy as core
from ipa_partitions import layout, registry
from ipa_partitions.extensions.command import (
    os_install_device,
    plain,
    remember,
    run_deployment,
    servers,
    switch_boot,
    translated,
)
from ipa_partitions.show.as_json import actions_json
from ipa_partitions.show.as_text import plan_text

_REQUIRED = object()

Validator = Callable[..., None]


def takes(**defaults: object) -> Validator:
    """Return a validator for parameters with these names.

    ``_REQUIRED`` is the default of those that must be there. A document
    among them is parsed.
    """

    def validate(_extension: object, /, **params: Any) -> None:
        problems = [
            f"unknown parameter {name!r}; known are:"
            f" {', '.join(defaults) or 'none'}"
            for name in params
            if name not in defaults
        ]
        problems += [
            f"parameter {name!r} is required"
            for name, default in defaults.items()
            if default is _REQUIRED and name not in params
        ]
        problems += _wrong_types(params)
        if problems:
            raise errors.InvalidCommandParamsError("\n".join(problems))
        with translated():
            registry.load_all()
        if "image_info" in params:
            _refuse_bad_document(
                params["image_info"], params.get("configdrive")
            )

    return validate


_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "node": ((dict, type(None)), "an object"),
    "image": ((str, int), "a name, a UUID or a grub_id"),
    "disks": ((list, type(None)), "a list of names"),
    "once": ((bool, type(None)), "true or false"),
}


def _wrong_types(params: Mapping[str, Any]) -> list[str]:
    problems = [
        f"parameter {name!r} is not {wanted}"
        for name, (types, wanted) in _TYPES.items()
        if name in params
        and (
            not isinstance(params[name], types)
            or (name == "image" and isinstance(params[name], bool))
        )
    ]
    disks = params.get("disks")
    if isinstance(disks, list) and not all(
        isinstance(name, str) for name in disks
    ):
        problems.append("parameter 'disks' is not a list of names")
    node = params.get("node")
    if isinstance(node, dict) and not isinstance(node.get("uuid"), str):
        problems.append("parameter 'node' has no uuid")
    return problems


def _refuse_bad_document(image_info: object, configdrive: object) -> None:
    try:
        with translated():
            layout.parse(image_info, configdrive)
    except errors.RESTError:
        raise
    except Exception as error:
        # One error that is not the agent's own, and every later
        # GET /v1/commands is answered with 500.
        raise errors.CommandExecutionError(
            f"the document cannot be parsed: {type(error).__name__}"
        ) from error


class PartitionsExtension(base.BaseAgentExtension):  # type: ignore[misc]
    """Commands named ``partitions.<command>``."""

    @base.sync_command("validate", takes(image_info=_REQUIRED))  # type: ignore[untyped-decorator]
    def validate(self, image_info: object) -> dict[str, bool]:
        """Say that the document, which was parsed already, is valid."""
        return {"valid": True}

    @base.async_command("plan", takes(image_info=_REQUIRED, node=None))  # type: ignore[untyped-decorator]
    def plan(
        self, image_info: object, node: Mapping[str, Any] | None = None
    ) -> Any:
        """Return what ``deploy`` would do; nothing is written."""
        remember(node)
        with translated():
            plan = core.make_plan(
                core.Request(
                    image_info,
                    os_install=os_install_device,
                    servers=servers(node),
                )
            )
            return plain({"plan": actions_json(plan), "text": plan_text(plan)})

    @base.async_command(  # type: ignore[untyped-decorator]
        "deploy", takes(image_info=_REQUIRED, configdrive=None, node=None)
    )
    def deploy(
        self,
        image_info: object,
        configdrive: object = None,
        node: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Partition, deploy the images, install the boot loader."""
        remember(node)
        return run_deployment(
            core.Request(
                image_info,
                configdrive,
                os_install=os_install_device,
                servers=servers(node),
            )
        )

    @base.async_command("verify", takes(image_info=_REQUIRED))  # type: ignore[untyped-decorator]
    def verify(self, image_info: object) -> dict[str, Any]:
        """Compare the disks with the document; nothing is written."""
        with translated():
            found = core.verify(
                core.Request(image_info, os_install=os_install_device)
            )
        return {"matches": not found, "differences": list(found)}

    @base.async_command("capture", takes(disks=None))  # type: ignore[untyped-decorator]
    def capture(self, disks: Sequence[str] | None = None) -> Any:
        """Return a document that describes ``disks``, or all, as they are."""
        with translated():
            return plain(core.capture(disks or ()))

    @base.async_command("get_boot_info", takes())  # type: ignore[untyped-decorator]
    def get_boot_info(self) -> Any:
        """Return boot-info, read from the disk."""
        with translated():
            return plain(core.get_boot_info().to_json())

    @base.async_command("switch_boot", takes(image=_REQUIRED, once=False))  # type: ignore[untyped-decorator]
    def switch_boot(self, image: str | int, once: bool | None = None) -> Any:
        """Make ``image`` what boots, by default or ``once``."""
        with translated():
            return switch_boot(image, once=bool(once))
