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

"""The hardware manager: deploy, clean and service steps, SPEC 4.2.

Every public method of a hardware manager is called by name from outside,
so what is not meant for that is a function here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

# ironic_python_agent.hardware reads options that only this one registers.
import ironic_python_agent.config  # noqa: F401
from ironic_python_agent import errors, hardware
from oslo_utils import strutils

from ipa_partitions import boot_info
from ipa_partitions.deploy import Request, verify
from ipa_partitions.errors import (
    DifferencesError,
    LayoutError,
    LayoutErrors,
)
from ipa_partitions.extensions.command import (
    os_install_device,
    remember,
    run_deployment,
    servers,
    switch_boot,
    translated,
)
from ipa_partitions.layout import sources
from ipa_partitions.step_arguments import ARGUMENTS, SWITCH_ARGUMENTS

LOG = logging.getLogger(__name__)


class PartitionsHardwareManager(hardware.HardwareManager):  # type: ignore[misc]
    """Lays out disks for nodes whose steps ask for it, and else nothing."""

    HARDWARE_MANAGER_NAME = "ipa_partitions"
    HARDWARE_MANAGER_VERSION = "1.0"

    def evaluate_hardware_support(self) -> int:
        """Return that of any vendor: every machine will do."""
        return int(hardware.HardwareSupport.SERVICE_PROVIDER)

    def get_deploy_steps(
        self, node: Mapping[str, Any], ports: object
    ) -> list[dict[str, Any]]:
        """Return all steps, to be asked for by a deploy template."""
        return [
            step("deploy_partitions"),
            step("apply_partitions"),
            step("verify_partitions"),
            step("switch_boot", SWITCH_ARGUMENTS),
        ]

    def get_clean_steps(
        self, node: Mapping[str, Any], ports: object
    ) -> list[dict[str, Any]]:
        """Return the steps that make sense without an instance."""
        return [
            step("apply_partitions", abortable=False),
            step("verify_partitions", abortable=True),
            step("switch_boot", SWITCH_ARGUMENTS, abortable=False),
        ]

    def get_service_steps(
        self, node: Mapping[str, Any], ports: object
    ) -> list[dict[str, Any]]:
        """Return all steps: a system may be replaced beside another."""
        return [
            step("deploy_partitions", abortable=False),
            step("apply_partitions", abortable=False),
            step("verify_partitions", abortable=True),
            step("switch_boot", SWITCH_ARGUMENTS, abortable=False),
        ]

    def deploy_partitions(
        self,
        node: Mapping[str, Any],
        ports: object,
        image_info: object = None,
        layout: str | None = None,
        configdrive: object = None,
    ) -> dict[str, Any]:
        """Partition, deploy the images, install the boot loader."""
        return run(node, image_info, layout, configdrive, deploy_images=True)

    def apply_partitions(
        self,
        node: Mapping[str, Any],
        ports: object,
        image_info: object = None,
        layout: str | None = None,
        configdrive: object = None,
    ) -> dict[str, Any]:
        """Partition and make filesystems, and deploy no image."""
        return run(node, image_info, layout, configdrive, deploy_images=False)

    def verify_partitions(
        self,
        node: Mapping[str, Any],
        ports: object,
        image_info: object = None,
        layout: str | None = None,
        configdrive: object = None,
    ) -> dict[str, Any]:
        """Compare the disks with the document, and fail if they differ.

        Ironic drops what a step returns: to fail is all that it can say.
        """
        with translated():
            request = request_of(node, image_info, layout, configdrive)
            found = verify(request)
            if found:
                raise DifferencesError(found)
        return {"matches": True, "differences": []}

    def switch_boot(
        self,
        node: Mapping[str, Any],
        ports: object,
        image: str | int,
        once: object = False,
    ) -> dict[str, Any]:
        """Make ``image`` what boots, by default or ``once``.

        Returns boot-info as it is afterwards.
        """
        with translated():
            return switch_boot(switch_image(image), switch_once(once))

    def collect_system_logs(
        self, io_dict: Mapping[str, Any], file_list: list[str]
    ) -> None:
        """Add boot-info.json, if there is one, to the collected logs."""
        written = boot_info.RAMDISK / boot_info.NAME
        if written.is_file():
            file_list.append(str(written))

    def erase_devices(self, node: object, ports: object) -> NoReturn:
        """Leave this to the generic manager, as the base class does not."""
        raise errors.IncompatibleHardwareMethodError

    def wait_for_disks(self) -> NoReturn:
        """Leave this to the generic manager, as the base class does not."""
        raise errors.IncompatibleHardwareMethodError


def switch_image(image: object) -> str | int:
    """Return ``image``; raises LayoutErrors for what can be none."""
    if isinstance(image, bool) or not isinstance(image, str | int):
        raise LayoutErrors(
            [LayoutError("image", "is not a name, a UUID or a grub_id")]
        )
    return image


def switch_once(once: object) -> bool:
    """Return ``once``, in words if need be: a command line has no booleans.

    Raises LayoutErrors for what is neither true nor false.
    """
    try:
        return once is not None and strutils.bool_from_string(
            once, strict=True
        )
    except ValueError as error:
        raise LayoutErrors(
            [LayoutError("once", f"{once!r} is not true or false")]
        ) from error


def step(
    name: str,
    arguments: Mapping[str, Any] = ARGUMENTS,
    **further: object,
) -> dict[str, Any]:
    """Return the step of that name; it never runs unless asked for."""
    return {
        "step": name,
        "priority": 0,
        "interface": "deploy",
        "reboot_requested": False,
        "argsinfo": arguments,
        **further,
    }


def run(
    node: Mapping[str, Any],
    image_info: object,
    layout: str | None,
    configdrive: object,
    deploy_images: bool,
) -> dict[str, Any]:
    """Run the deployment that the arguments of a step ask for."""
    with translated():
        request = request_of(node, image_info, layout, configdrive)
    return run_deployment(replace(request, deploy_images=deploy_images))


def request_of(
    node: Mapping[str, Any],
    image_info: object,
    layout: str | None,
    configdrive: object,
) -> Request:
    """Return the job that the arguments of a step ask for."""
    found = sources.find(node, image_info, layout, configdrive)
    LOG.info("The document is %s", found.place)
    remember(node)
    return Request(
        found.image_info,
        found.configdrive,
        os_install=os_install_device,
        servers=servers(node),
    )
