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

"""Where every byte of a disk goes: SPEC 2.4 and 2.5."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ipa_partitions.disk import luks
from ipa_partitions.disk import machine as there
from ipa_partitions.disk.filesystem import known
from ipa_partitions.disk.partitions import partition_device
from ipa_partitions.disk.size import MIB, ceil_mib, floor_mib, mib_text
from ipa_partitions.disk.space import NoSpaceError, allot
from ipa_partitions.errors import LayoutError, MachineError, ProblemError
from ipa_partitions.layout import model
from ipa_partitions.layout.build import SERVICE_SIZES
from ipa_partitions.resolved import Disk, Partition, Volume

# The first MiB holds the table; on gpt the last one holds its copy.
_RESERVED_BYTES = {"gpt": 2 * MIB, "msdos": MIB, "none": 0}
_MSDOS_PARTITIONS = 4
_MSDOS_SECTORS = 2**32


@dataclass(frozen=True)
class Maker:
    """Makes volumes: what they share, and every UUID out of one seed.

    ``block_targets`` are the paths of those that an image is written onto.
    """

    seed: str
    policy: Literal["verify", "clean"]
    block_targets: frozenset[str]

    def uuid(self, *what: str) -> str:
        """Return the UUID of ``what``, always the same for one seed."""
        return str(uuid.uuid5(uuid.UUID(self.seed), " ".join(what)))

    def volume(
        self,
        at: str,
        name: str,
        content: model.Content,
        device: str,
        size_bytes: int,
    ) -> Volume:
        """Return a volume of ``size_bytes`` on ``device``."""
        identity, encrypted = "", None
        if content.file_system != model.NONE:
            identity = known()[content.file_system].uuid_text(
                content.uuid or self.uuid(at, name, "filesystem")
            )
        if content.encryption:
            encrypted = self.luks(at, name, content.encryption, device)
        return Volume(
            at=at,
            name=name,
            device=encrypted.mapping if encrypted else device,
            size_bytes=size_bytes,
            content=content,
            uuid=identity,
            is_new=self.policy == "clean" or not content.keep_data,
            block_image=at in self.block_targets,
            luks=encrypted,
        )

    def luks(
        self, at: str, name: str, encryption: model.Encryption, device: str
    ) -> luks.Luks:
        """Return the encryption of ``device``."""
        identity = self.uuid(at, name, "luks")
        return luks.Luks(
            device=device,
            name=f"luks-{identity}",
            uuid=identity,
            key_file=encryption.key_file,
            tpm2=encryption.tpm2,
        )

    def disk_volume(
        self, volume: model.Volume, device: str, size_bytes: int
    ) -> Volume:
        """Return ``volume`` on its device."""
        # What the short form says of a member is the array's.
        content = volume.content
        if volume.role == "raid":
            content = model.Content()
        return self.volume(volume.at, volume.name, content, device, size_bytes)


def lay_out(
    disk: model.Disk,
    found: there.Disk,
    volumes: tuple[model.Volume, ...],
    is_boot: bool,
    maker: Maker,
    errors: list[ProblemError],
) -> Disk:
    """Return the disk laid out; what does not fit is added to ``errors``."""
    sizes: list[int] = []
    try:
        sizes = _sizes(disk, found, volumes)
    except ProblemError as error:
        errors.append(error)
    errors += _table_problems(disk, found, volumes, sizes)
    has_table = disk.table != model.NONE
    resolved = Disk(
        at=disk.at,
        device=found.device,
        size_bytes=found.size_bytes,
        sector_bytes=found.sector_bytes,
        table=disk.table,
        uuid=maker.uuid(disk.at, "disk"),
        is_boot=is_boot,
        partitions=(),
    )
    if not has_table and volumes:
        whole = maker.disk_volume(volumes[0], found.device, found.size_bytes)
        return replace(resolved, whole=whole, whole_role=volumes[0].role)
    return replace(
        resolved,
        partitions=tuple(_partitions(found.device, volumes, sizes, maker)),
    )


def _sizes(
    disk: model.Disk, found: there.Disk, volumes: tuple[model.Volume, ...]
) -> list[int]:
    """Return the bytes of every volume. Raises ProblemError."""
    budget, base_bytes = disk.budget_bytes, found.size_bytes
    if budget is not None:
        if budget > base_bytes:
            raise MachineError(
                f"{disk.at}.size",
                f"{mib_text(budget)} is more than {found}",
            )
        base_bytes = min(base_bytes, ceil_mib(budget))
    if disk.table == model.NONE:
        if base_bytes < found.size_bytes:
            raise MachineError(
                f"{disk.at}.size",
                f"without a table the volume takes all of {found}",
            )
        return [base_bytes for _ in volumes]
    usable = floor_mib(base_bytes) - _RESERVED_BYTES[disk.table]
    kind = MachineError if budget is None else LayoutError
    try:
        return allot(
            [volume.size for volume in volumes],
            base_bytes,
            max(0, usable),
            [_is_asked_for(volume) for volume in volumes],
        )
    except NoSpaceError as error:
        at = disk.at
        if error.index is not None:
            at = f"{volumes[error.index].at}.size"
        raise kind(
            at, f"{error} ({found.device}, {mib_text(base_bytes)})"
        ) from error


def _is_asked_for(volume: model.Volume) -> bool:
    """Tell whether it is a part of the sum that the document asks for."""
    return volume.role not in SERVICE_SIZES and not volume.is_requested


def _table_problems(
    disk: model.Disk,
    found: there.Disk,
    volumes: tuple[model.Volume, ...],
    sizes: list[int],
) -> Iterator[ProblemError]:
    """Yield what an msdos table cannot hold on this disk."""
    if disk.table != "msdos":
        return
    if len(volumes) > _MSDOS_PARTITIONS >= len(disk.volumes):
        yield LayoutError(
            f"{disk.at}.volumes",
            f"with {', '.join(v.name for v in volumes[: -len(disk.volumes)])}"
            f" {len(volumes)} partitions do not fit an msdos table",
        )
    end_bytes = MIB + sum(sizes)
    if end_bytes > _MSDOS_SECTORS * found.sector_bytes:
        yield MachineError(
            f"{disk.at}.table",
            f"msdos ends at {mib_text(_MSDOS_SECTORS * found.sector_bytes)},"
            f" the volumes at {mib_text(end_bytes)}",
        )


def _partitions(
    device: str,
    volumes: Sequence[model.Volume],
    sizes: Sequence[int],
    maker: Maker,
) -> Iterator[Partition]:
    start_bytes = MIB
    for number, (volume, size) in enumerate(
        zip(volumes, sizes, strict=False), start=1
    ):
        yield Partition(
            number=number,
            role=volume.role,
            type_guid=volume.type_guid,
            uuid=maker.uuid(volume.at, volume.name, "partition"),
            start_bytes=start_bytes,
            size_bytes=size,
            volume=maker.disk_volume(
                volume, partition_device(device, number), size
            ),
        )
        start_bytes += size
