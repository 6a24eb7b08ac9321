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

"""The whole job, as the doors ask for it: plan, deploy, and boot-info."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from ipa_partitions import layout, plan, registry
from ipa_partitions.actions.boot import InstallBootLoader, boot_directory
from ipa_partitions.boot import menu_file
from ipa_partitions.boot_info import (
    BootDirectory,
    BootInfo,
    confirm,
    find,
    read,
    switch,
)
from ipa_partitions.capture import capture as captured
from ipa_partitions.disk.foreign_table import identifier
from ipa_partitions.disk.inventory import inventory_up, read_inventory
from ipa_partitions.disk.lock import locked
from ipa_partitions.disk.look import devices_by_uuid, filesystem_tags
from ipa_partitions.disk.machine import Disk, Machine
from ipa_partitions.disk.match import NoSingleDiskError, by_name
from ipa_partitions.disk.namespace import (
    keep_own_mounts,
    with_private_mounts,
)
from ipa_partitions.disk.probe import filesystem_devices, probe
from ipa_partitions.disk.stop import stopped_afterwards
from ipa_partitions.errors import (
    ActionError,
    DifferencesError,
    ImageError,
    MachineError,
)
from ipa_partitions.layout.model import Layout
from ipa_partitions.layout.values import parse_device_name, parse_device_path
from ipa_partitions.locate import Servers, located, told
from ipa_partitions.progress import Listener
from ipa_partitions.refresh import refresh
from ipa_partitions.resolve import resolve
from ipa_partitions.resolved import ResolvedLayout
from ipa_partitions.run import run
from ipa_partitions.verify import differences, with_kept_ids
from ipa_partitions.verify.there import inventory_of

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Request:
    """One job for the core.

    ``image_info`` is parsed JSON, ``configdrive`` goes before the one in
    it. ``os_install`` asks Ironic's rules for the disk to install on; it is
    called only for a document that needs to know. With ``imagined`` disks
    nothing of this machine is looked at. ``deploy_images`` False lays the
    disks out and leaves the images away. ``servers`` is what the caller knows
    of those that images come from.
    """

    image_info: object
    configdrive: object = field(default=None, repr=False)
    os_install: Callable[[], str] | None = None
    firmware: Literal["bios", "uefi", "both"] | None = None
    seed: str | None = None
    imagined: tuple[Disk, ...] = ()
    deploy_images: bool = True
    servers: Servers = field(default_factory=Servers)


@dataclass(frozen=True)
class Result:
    """What a deployment answers; ``boot_info`` None with nothing to boot."""

    root_uuid: str | None
    efi_system_partition_uuid: str | None
    boot_info: BootInfo | None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON: SPEC 4.1."""
        return {
            "root_uuid": self.root_uuid,
            "efi_system_partition_uuid": self.efi_system_partition_uuid,
            "boot_info": self.boot_info and self.boot_info.to_json(),
        }


def make_plan(request: Request) -> plan.Plan:
    """Return what ``deploy`` would do. Nothing is written.

    Raises LayoutErrors for a bad document, MachineErrors if this machine
    will not do, DifferencesError if its disks are not what is to be kept,
    ImageError for an image that nobody knows.
    """
    resolved = _resolved(request)
    if resolved.layout.policy == "verify" and not request.imagined:
        there = with_private_mounts(lambda: inventory_of(resolved))
        found = differences(resolved, there)
        if found:
            raise DifferencesError(found)
        resolved = with_kept_ids(resolved, there)
    made = plan.make_plan(resolved)
    if request.deploy_images:
        return made if request.imagined else _with_predictions(made)
    layers = (a for a in made.actions if a.phase < plan.Phase.IMAGE)
    return plan.Plan(resolved, tuple(layers))


def _with_predictions(made: plan.Plan) -> plan.Plan:
    """Return the plan with warnings of what Secure Boot will not start."""
    loaders = [a for a in made.actions if isinstance(a, InstallBootLoader)]
    if not any(each.may_be_refused for each in loaders):
        return made
    found = with_private_mounts(
        lambda: tuple(r for each in loaders for r in each.refusals())
    )
    resolved = made.resolved
    warned = replace(resolved, warnings=(*resolved.warnings, *found))
    return replace(made, resolved=warned)


def verify(request: Request) -> tuple[str, ...]:
    """Return how the disks differ from the document, whatever its policy.

    Nothing is written. Raises LayoutErrors and MachineErrors as
    ``make_plan`` does.
    """
    resolved = _resolved(request, policy="verify")
    there = with_private_mounts(lambda: inventory_of(resolved))
    return differences(resolved, there)


def capture(names: Sequence[str] = ()) -> dict[str, Any]:
    """Return a document that describes the disks ``names``, or all.

    Nothing is written. Raises MachineErrors for a disk that is not there,
    and for what a document cannot say.
    """
    disks = _disks(names, probe())
    found = with_private_mounts(
        lambda: read_inventory(
            {disk.device: disk.sector_bytes for disk in disks}
        )
    )
    return captured(found, {disk.device: disk.size_bytes for disk in disks})


def _disks(names: Sequence[str], machine: Machine) -> tuple[Disk, ...]:
    if not names:
        return tuple(disk for disk in machine.disks if not disk.is_loop)
    try:
        return tuple(by_name(machine, _device(name)) for name in names)
    except (NoSingleDiskError, ValueError) as error:
        raise MachineError("disks", str(error)) from error


def _device(name: str) -> str:
    """Return the device, or the link to it, that a person calls ``name``."""
    try:
        return parse_device_name(name)
    except ValueError:
        return parse_device_path(name)


def deploy(
    request: Request,
    listener: Listener | None = None,
    shown: plan.Plan | None = None,
) -> Result:
    """Do it: plan, validate, execute, and read back.

    Raises as ``make_plan`` does before anything is written, and MachineError
    if the plan is no longer the one that was ``shown``; ActionError after.
    """
    made = make_plan(request)
    if shown and [*map(str, shown.actions)] != [*map(str, made.actions)]:
        raise MachineError(
            "the plan", "is another one than was shown: look at it again"
        )

    devices = [disk.device for disk in made.resolved.disks]
    keeps = made.resolved.layout.policy == "verify"

    def job() -> Result:
        # What another of us writes is neither looked at nor stopped.
        with ExitStack() as stack, locked(devices):
            made.validate()
            stack.enter_context(stopped_afterwards(devices, keeps))
            made.execute(listener, prepare=keep_own_mounts)
            # udev, once let in, may have partitions vanish for a moment.
            return read_back(made)

    return with_private_mounts(job)


def read_back(made: plan.Plan) -> Result:
    """Return what is now on the disks that ``made`` wrote.

    Raises ActionError if it is not what was meant.
    """
    resolved = made.resolved
    if resolved.layout.is_whole_disk and _writes_loader(made):
        # As the agent: what its boot code knows the disk by.
        return Result(identifier(resolved.disks[0].device), None, None)
    if not resolved.bootable or not _writes_loader(made):
        return Result(None, None, None)
    default = resolved.bootable[resolved.default_system]
    esp_uuid = next((esp.volume.uuid for _, esp in resolved.esps), None)
    if not resolved.installs_loader:
        return Result(default.root.uuid, esp_uuid, None)
    where = boot_directory(resolved)
    with where.opened() as directory:
        info = read(directory)
    current = info.elements[info.current_element]
    if current.root_uuid != default.root.uuid:
        raise ActionError(
            f"{where.device}: the default boots {current.root_uuid},"
            f" not {default.root.uuid}"
        )
    return Result(current.root_uuid, esp_uuid, info)


def get_boot_info(partition: str | None = None) -> BootInfo:
    """Return boot-info as it is on ``partition``, or wherever it is found.

    Raises MachineError if there is none.
    """

    def job() -> BootInfo:
        with _found(partition) as found, found.opened() as directory:
            return read(directory)

    return with_private_mounts(job)


def switch_boot(
    image: str | int, once: bool = False, partition: str | None = None
) -> BootInfo:
    """Make ``image`` the default, or with ``once`` the next boot's only.

    Where the layout has a fallback the default changes when the system has
    come up. Returns boot-info. Raises MachineError if there is no such
    image, and for ``once`` where GRUB cannot forget what it has booted.
    """

    def job(where: Path) -> BootInfo:
        made = _menu_of(where)
        if once and made and not made.menu.saves:
            raise MachineError(
                "once", "GRUB cannot write where its menu is, as it has to"
            )
        falls_back = made is not None and made.fallback
        return switch(where, image, once, trial=falls_back)

    return _written(partition, job)


def confirm_boot(partition: str | None = None) -> BootInfo:
    """Keep the running system as the default, if it is on trial.

    Returns boot-info. Raises MachineError if the running system is none of
    its own.
    """
    device = run(
        "findmnt", "--noheadings", "--nofsroot",
        "--output", "SOURCE", "--target", "/",
        ok_codes=(0, 1),  # in a chroot there may be no such mount
    ).strip()  # fmt: skip
    uuid = filesystem_tags(device).get("UUID", device)
    return _written(partition, lambda where: confirm(where, uuid))


def refresh_boot(
    partition: str | None = None,
) -> tuple[BootInfo, tuple[str, ...]]:
    """Make the menu anew from the systems as they are now.

    Returns boot-info, and what could not be read, a line each.
    """

    def job(where: Path) -> tuple[BootInfo, tuple[str, ...]]:
        devices = devices_by_uuid(filesystem_devices())
        problems = refresh(where, devices)
        return read(where), problems

    return _written(partition, job)


def _menu_of(directory: Path) -> menu_file.MenuFile | None:
    """Return what the menu was made of; an older one has no such file."""
    with suppress(ImageError):
        return menu_file.read(directory)
    return None


def _written(partition: str | None, job: Callable[[Path], _Result]) -> _Result:
    """Return what ``job`` returns for the mounted boot directory."""

    def mounted() -> _Result:
        with (
            _found(partition, writable=True) as found,
            found.opened(writable=True) as directory,
        ):
            return job(directory)

    return with_private_mounts(mounted)


@contextmanager
def _found(
    partition: str | None, writable: bool = False
) -> Iterator[BootDirectory]:
    """Yield the boot directory, of an array or a group if need be."""
    if partition:
        yield find([partition])
        return
    try:
        found = find(filesystem_devices())
    except MachineError:
        # It may be on what is not up, as nothing is after a deployment.
        disks = {disk.device: disk.sector_bytes for disk in probe().disks}
        with inventory_up(disks, read_only=not writable) as there:
            yield find([*there.found])
        return
    yield found


def _writes_loader(made: plan.Plan) -> bool:
    return any(action.phase >= plan.Phase.IMAGE for action in made.actions)


def _resolved(
    request: Request, policy: Literal["verify"] | None = None
) -> ResolvedLayout:
    registry.load_all()
    parsed = layout.parse(request.image_info, request.configdrive)
    if policy:
        parsed = replace(parsed, policy=policy)
    if request.firmware and parsed.boot.firmware == "auto":
        boot = replace(parsed.boot, firmware=request.firmware)
        parsed = replace(parsed, boot=boot)
    parsed = told(parsed, request.servers)
    if policy or not request.deploy_images:
        never = (replace(i, deploy="never") for i in parsed.images)
        parsed = replace(parsed, images=tuple(never))
    if not policy and not request.imagined:
        parsed = located(parsed)
    return resolve(
        parsed,
        _machine(request, parsed),
        request.seed or str(uuid.uuid4()),
        plan.space_requests(parsed),
    )


def _machine(request: Request, parsed: Layout) -> Machine:
    if request.imagined:
        firmware = parsed.boot.firmware
        return Machine(
            request.imagined,
            "uefi" if firmware in ("uefi", "both") else "bios",
            imagined=True,
        )
    machine = probe()
    meant = [d for d in parsed.disks if d.id.type == "os_install"]
    if not request.os_install or not meant:
        return machine
    try:
        return replace(machine, os_install=request.os_install())
    except MachineError as error:
        present = ", ".join(map(str, machine.disks)) or "none"
        raise MachineError(
            f"{meant[0].at}.id", f"{error.problem}; disks present: {present}"
        ) from error
