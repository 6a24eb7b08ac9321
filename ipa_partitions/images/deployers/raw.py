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

"""Raw images of one filesystem, streamed onto a volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ipa_partitions.images import device as block_device
from ipa_partitions.images import magic, stream
from ipa_partitions.images.deployers import BlockTarget
from ipa_partitions.images.deployers.block import (
    check_size,
    check_start,
    renew,
)
from ipa_partitions.images.image import Image


@dataclass(frozen=True)
class Raw:
    """Writes a raw image, renews its filesystem and lets it grow."""

    kind: Literal["block"] = "block"
    tools: tuple[str, ...] = ("blkid",)

    def validate(self, image: Image, target: BlockTarget) -> None:
        """Look at the start of the image; see BlockDeployer."""
        start = stream.peek(image)
        check_start(image, target, start.head, start.size_bytes)
        check_size(image, target, start.least_bytes)

    def execute(self, image: Image, target: BlockTarget) -> None:
        """Write it; see BlockDeployer."""
        with block_device.unmountable_on_failure(target.device):
            with stream.streamed(image) as plain:

                def approve(head: bytes, size_bytes: int) -> None:
                    plain.verify()
                    check_start(image, target, head, size_bytes)

                block_device.write(
                    target.device,
                    target.size_bytes,
                    plain.blocks,
                    approve,
                    # Of these it is known where they end: one that was
                    # shrunk may have zeroes behind it.
                    may_end_early=target.file_system in magic.FILE_SYSTEMS,
                )
            if target.file_system != "none":
                renew(image, target)
                block_device.sync(target.device)


RAW = Raw()
