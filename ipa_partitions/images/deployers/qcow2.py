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

"""qcow2 images of one filesystem, unfolded onto a volume as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from ipa_partitions.errors import ImageError
from ipa_partitions.images import device as block_device
from ipa_partitions.images import magic, stream
from ipa_partitions.images.deployers import BlockTarget
from ipa_partitions.images.deployers.block import (
    check_size,
    check_start,
    renew,
)
from ipa_partitions.images.image import Image
from ipa_partitions.images.qcow2 import Qcow2Error
from ipa_partitions.images.qcow2.header import Header, parse_header
from ipa_partitions.images.qcow2.single_pass import unfold
from ipa_partitions.images.qcow2.start import read_start
from ipa_partitions.images.qcow2.tables import Tables


@dataclass(frozen=True)
class Qcow2:
    """Writes what is in a qcow2 file, as Raw does with one that is plain.

    The file is read once and kept nowhere, and no other program reads it.
    """

    kind: Literal["block"] = "block"
    tools: tuple[str, ...] = ("blkid",)

    def validate(self, image: Image, target: BlockTarget) -> None:
        """Look at the header, and at all tables where they can be had.

        See BlockDeployer.
        """
        with stream.started(image) as start:
            header = _header(image, start.head)
            with _named(image):
                Tables(header, start.size_bytes).preload(start.read_at)
                head = read_start(header, start.read_at, magic.HEAD_BYTES)
        if head is not None:
            check_start(image, target, head, header.size_bytes)
        check_size(image, target, header.size_bytes)

    def execute(self, image: Image, target: BlockTarget) -> None:
        """Write it; see BlockDeployer."""
        with block_device.unmountable_on_failure(target.device):
            with stream.streamed(image) as plain, _named(image):
                _unfold(image, target, plain)
            if target.file_system != "none":
                renew(image, target)
                block_device.sync(target.device)


QCOW2 = Qcow2()


def _unfold(image: Image, target: BlockTarget, plain: stream.Stream) -> None:
    first = next(plain.blocks)
    header = _header(image, bytes(first[: magic.HEAD_BYTES]))
    check_size(image, target, header.size_bytes)
    tables = Tables(header, plain.size_bytes)
    tables.preload(plain.read_at)

    def approve(start: bytes) -> None:
        plain.verify()
        check_start(image, target, start, header.size_bytes)

    with block_device.opened(target.device, target.size_bytes) as writer:
        unfold(tables, chain([first], plain.blocks), writer)
        writer.finish(approve)


def _header(image: Image, head: bytes) -> Header:
    """Return the header that ``head`` starts with."""
    found = magic.look(head).name or "something else"
    if found != "qcow2":
        raise ImageError(f"{image.public_url}: is {found}, not qcow2")
    with _named(image):
        return parse_header(head)


@contextmanager
def _named(image: Image) -> Iterator[None]:
    try:
        yield
    except Qcow2Error as error:
        raise ImageError(f"{image.public_url}: {error}") from error
