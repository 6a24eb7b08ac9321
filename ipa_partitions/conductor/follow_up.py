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

"""Boot a deployed system by the network or virtual media.

Ironic's boot interfaces boot a kernel and a ramdisk of an instance for one
deploy interface only, ``ramdisk``, which they know by its name. So while
one of them prepares the boot, the node in this task answers with that name
and has our command line; neither is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ironic.common import states
from ironic.common.exception import InvalidParameterValue

from ipa_partitions.conductor import catalog_boot
from ipa_partitions.conductor.results import (
    KERNEL_PARAMS,
    ROOT_UUID,
    is_disk_id,
)
from ipa_partitions.conductor.target import KEY, LOCAL, target
from ipa_partitions.layout import Layout

# A node in one of these is prepared by a conductor that takes it over.
INSTANCE_STATES = (states.ACTIVE, states.UNRESCUING, states.ADOPTING)

# These would take the place of the kernel, or be handed over once more.
_NOT_FOR_A_ROOT = ("boot_iso", "configdrive")
# The first is read while a node is deployed, the second afterwards.
_COMMAND_LINES = ("ramdisk_kernel_arguments", "kernel_append_params")

_NO_ROOT = (
    "the image is one of a whole disk: only its own boot code knows its root"
)

# What each target needs of the boot interface's name.
_TARGETS = {
    "pxe": ("pxe",),
    "ipxe": ("ipxe", "http-ipxe"),
    "http": ("http", "redfish-https"),
    "virtual-media": (
        "redfish-virtual-media",
        "idrac-redfish-virtual-media",
        "ilo-virtual-media",
        "ilo-uefi-https",
        "irmc-virtual-media",
    ),
}


def refuse_bad_target(node: Any, layout: Layout | None) -> None:
    """Raise InvalidParameterValue if the node cannot be booted so.

    Without a ``layout`` the document is not known yet.
    """
    wanted = target(node)
    if wanted == LOCAL:
        return
    at = f"instance_info[{KEY!r}]"
    if layout and layout.is_whole_disk:
        raise InvalidParameterValue(f"{at} is {wanted!r}, but {_NO_ROOT}")
    if wanted not in _TARGETS:
        known = ", ".join((LOCAL, *_TARGETS))
        raise InvalidParameterValue(f"{at} is {wanted!r}, not one of {known}")
    interface = node.get_interface("boot")
    if interface not in _TARGETS[wanted]:
        raise InvalidParameterValue(
            f"{at} is {wanted!r}, which the boot interface {interface} does"
            f" not do; these do: {', '.join(_TARGETS[wanted])}"
        )
    if layout:
        catalog_boot.image_of(node, layout)


def command_line(node: Any) -> str:
    """Return the kernel command line that finds the deployed root.

    Raises InvalidParameterValue if the root is not known, or the line could
    become more than one.
    """
    info = node.driver_internal_info
    root_uuid = info.get(ROOT_UUID)
    if not root_uuid:
        raise InvalidParameterValue(
            f"driver_internal_info[{ROOT_UUID!r}] is not set: no system has"
            " been deployed that could be booted"
        )
    if is_disk_id(root_uuid):
        raise InvalidParameterValue(_NO_ROOT)
    line = f"root=UUID={root_uuid} ro {info.get(KERNEL_PARAMS) or ''}".strip()
    if not line.isprintable():
        # A line break would be one in a boot loader's configuration.
        raise InvalidParameterValue(
            f"the kernel command line has control characters: {line!r}"
        )
    return line


def follow(task: Any) -> None:
    """Have every boot of an instance in this task be from its target.

    Also what Ironic prepares by itself, as after a service that was aborted.
    """
    if not isinstance(task.driver.boot, _Boot):
        task.driver.boot = _Boot(task.driver.boot)


class _Boot:
    """A boot interface for one task, which boots the root of instances."""

    def __init__(self, interface: Any) -> None:
        self._interface = interface

    def __getattr__(self, name: str) -> Any:
        """Be the interface in all else."""
        return getattr(self._interface, name)

    def prepare_instance(self, task: Any) -> None:
        """Prepare what the instance wants to be booted by."""
        with _booting_the_root(task):
            self._interface.prepare_instance(task)


@contextmanager
def _booting_the_root(task: Any) -> Iterator[None]:
    """Make the boot interface boot the instance's kernel and ramdisk.

    With a local target it does nothing.
    """
    node = task.node
    if target(node) == LOCAL:
        yield
        return
    line = command_line(node)
    # Ironic takes an image that it does not know for one of a whole disk.
    node.set_driver_internal_info("is_whole_disk_image", False)
    before = node.instance_info
    own_interface = node.get_interface
    node.instance_info = {
        **{k: v for k, v in before.items() if k not in _NOT_FOR_A_ROOT},
        **catalog_boot.of_node(node),
        **dict.fromkeys(_COMMAND_LINES, line),
    }
    node.get_interface = lambda kind: (
        "ramdisk" if kind == "deploy" else own_interface(kind)
    )
    try:
        yield
    finally:
        del node.get_interface
        # What else has changed stays so: a rescue's password is gone then.
        ours = (*_NOT_FOR_A_ROOT, *_COMMAND_LINES, *catalog_boot.FILES)
        now = node.instance_info
        node.instance_info = {
            **{k: v for k, v in now.items() if k not in ours},
            **{k: v for k, v in before.items() if k in ours},
        }
        node.save()
