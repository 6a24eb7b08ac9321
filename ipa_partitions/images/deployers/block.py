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

"""What images that bring a filesystem have in common, whatever packs it."""

from __future__ import annotations

import functools
import logging

from ipa_partitions.disk import filesystem
from ipa_partitions.disk.filesystem import Argv
from ipa_partitions.disk.mount import mounted
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import CommandError, ImageError
from ipa_partitions.images import magic
from ipa_partitions.images.deployers import BlockTarget
from ipa_partitions.images.image import Image
from ipa_partitions.images.old_uuid import replace_uuid
from ipa_partitions.run import run

LOG = logging.getLogger(__name__)

# Enough of what a checker says: it may list every file.
_SAID_CHARACTERS = 1000


class MisfitError(ImageError):
    """The image is sound, and its volume is not for it.

    ``holds`` is the kind of its filesystem, ``size_bytes`` its size.
    """

    def __init__(self, problem: str, holds: str, size_bytes: int) -> None:
        super().__init__(problem)
        self.holds = holds
        self.size_bytes = size_bytes


def check_start(
    image: Image, target: BlockTarget, head: bytes, size_bytes: int | None
) -> None:
    """Raise ImageError unless ``head`` starts what ``target`` declares.

    ``size_bytes`` is the length of the image, if known. A filesystem that
    would be all right elsewhere is a MisfitError.
    """
    found = magic.look(head)
    is_file_system = found.name in magic.FILE_SYSTEMS
    wanted = target.file_system
    if wanted == "none":
        if found.name and not is_file_system and found != magic.DISK:
            raise ImageError(f"{image.public_url}: is {found.name}, not raw")
        _check_sectors(image, target, head)
        return
    least_bytes = max(found.size_bytes or 0, size_bytes or 0)
    if found.name != wanted and (found.name or wanted in magic.FILE_SYSTEMS):
        problem = (
            f"{image.public_url}: holds {found.name or 'no filesystem'},"
            f" and {target.device} is declared to be {wanted}"
        )
        if is_file_system:
            raise MisfitError(problem, found.name, least_bytes)
        raise ImageError(problem)
    if found.size_bytes is None:
        return
    if size_bytes is not None and size_bytes < found.size_bytes:
        raise ImageError(
            f"{image.public_url}: is cut: {size_bytes} bytes, and its"
            f" {found.name} has {found.size_bytes}"
        )
    if least_bytes > target.size_bytes:
        raise MisfitError(
            _too_large(image, target, least_bytes), found.name, least_bytes
        )


def _check_sectors(image: Image, target: BlockTarget, head: bytes) -> None:
    sector_bytes = magic.gpt_sector_bytes(head)
    if target.sector_bytes and sector_bytes not in (None, target.sector_bytes):
        raise ImageError(
            f"{image.public_url}: its table is for sectors of {sector_bytes}"
            f" bytes, and {target.device} has such of {target.sector_bytes}"
        )


def check_size(image: Image, target: BlockTarget, size_bytes: int) -> None:
    """Raise ImageError if ``size_bytes`` are more than ``target`` has."""
    if size_bytes > target.size_bytes:
        raise ImageError(_too_large(image, target, size_bytes))


def _too_large(image: Image, target: BlockTarget, size_bytes: int) -> str:
    return (
        f"{image.public_url}: its {size_bytes} bytes do not fit the"
        f" {target.size_bytes} of {target.device}"
    )


def renew(image: Image, target: BlockTarget) -> None:
    """Give the filesystem its own UUID and label, and all of the volume.

    Its own boot files name the new UUID then, too. Raises ImageError if it
    is damaged, was not unmounted, or cannot be renewed.
    """
    try:
        _renew(image, target)
    except CommandError as error:
        said = str(error)[:_SAID_CHARACTERS]
        raise ImageError(
            f"{image.public_url}: its {target.file_system} cannot be"
            f" renewed: {said}"
        ) from error


def _renew(image: Image, target: BlockTarget) -> None:
    kind = filesystem.known()[target.file_system]
    words = functools.partial(_words, target)
    old_uuid = read_uuid(target.device)
    if kind.check:
        try:
            run(*words(kind.check), ok_codes=kind.check_ok_codes)
        except CommandError as error:
            said = str(error)[:_SAID_CHARACTERS]
            raise ImageError(
                f"{image.public_url}: its {target.file_system} is damaged,"
                f" or was not unmounted: {said}"
            ) from error
    if kind.new_uuid:
        run(*words(kind.new_uuid))
    if kind.new_label and target.label:
        run(*words(kind.new_label))
    # xfs_admin succeeds also where it refuses to touch a dirty log.
    if read_uuid(target.device) != target.uuid:
        raise ImageError(
            f"{image.public_url}: its {target.file_system} keeps its old"
            " UUID; was it unmounted?"
        )
    if kind.grow and not kind.grows_mounted:
        run(*words(kind.grow))
    if kind.grow:
        with mounted(target.device) as root:
            if kind.grows_mounted:
                run(*_words(target, kind.grow, str(root)))
            changed = replace_uuid(RootFs(root), old_uuid, target.uuid)
        if changed:
            LOG.info(
                "%s: the new UUID is in %s", image.name, ", ".join(changed)
            )


def read_uuid(device: str) -> str:
    """Return the UUID of the filesystem on ``device``."""
    return run(
        "blkid", "--probe",
        "--match-tag", "UUID", "--output", "value",
        device,
    ).strip()  # fmt: skip


def _words(target: BlockTarget, argv: Argv, root: str = "") -> Argv:
    return tuple(
        word.format(
            device=target.device,
            uuid=filesystem.known()[target.file_system].uuid_word(target.uuid),
            label=target.label,
            root=root,
        )
        for word in argv
    )
