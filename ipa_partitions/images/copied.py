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

"""A block image whose files are copied, where it cannot be the volume.

A system with several volumes needs none that all of its image fits, nor one
of the image's own kind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipa_partitions.disk import filesystem, loop
from ipa_partitions.disk.mount import READ_ONLY, mounted
from ipa_partitions.errors import ActionError, CommandError, ImageError
from ipa_partitions.images import pipe
from ipa_partitions.images.deployers import BlockDeployer, BlockTarget
from ipa_partitions.images.deployers.block import MisfitError
from ipa_partitions.images.image import Image
from ipa_partitions.images.percent import Percent
from ipa_partitions.run import run

# rsync leaves out system.* where it is told nothing; xfs shows its ACLs once
# more, by a name of its own, and rsync copies those as ACLs already.
_FILTERS = ("--filter=-x_system.*", "--filter=-x_trusted.SGI_ACL_*")

TOOLS = ("losetup", "mount", "umount", "rsync")


def check(image: Image, misfit: MisfitError) -> None:
    """Raise ImageError if the filesystem of ``image`` cannot be mounted."""
    kind = filesystem.known()[misfit.holds]
    for argv in (kind.check, kind.new_uuid, kind.grow):
        if argv and not shutil.which(argv[0]):
            raise ImageError(
                f"{image.public_url}: holds {misfit.holds}, and the program"
                f" {argv[0]} is not there"
            )
    known = Path("/proc/filesystems").read_text().split()
    if misfit.holds not in known:
        try:
            run("modprobe", "--dry-run", misfit.holds)
        except CommandError as error:
            raise ImageError(
                f"{image.public_url}: holds {misfit.holds}: {error}"
            ) from error


@contextmanager
def opened(
    image: Image,
    deployer: BlockDeployer,
    misfit: MisfitError,
    roomy: Path,
    at: Path,
) -> Iterator[tuple[Path, str]]:
    """Keep the image in ``roomy`` and mount it at ``at``, to be read.

    Yields that directory and the UUID that its own boot files have. Of the
    image what is no zeroes takes room. Raises ImageError.
    """
    kind = filesystem.known()[misfit.holds]
    # Two of one UUID could not be mounted at a time.
    identity = kind.uuid_text(str(uuid.uuid4()))
    with tempfile.TemporaryFile(dir=roomy, buffering=0) as file:
        os.truncate(file.fileno(), misfit.size_bytes)
        with loop.attached(loop.path_of(file)) as device:
            target = BlockTarget(
                device, misfit.size_bytes, misfit.holds, identity
            )
            try:
                deployer.execute(image, target)
            except ActionError as error:
                raise ImageError(
                    f"{image.public_url}: cannot be kept in {roomy}: {error}"
                ) from error
            with mounted(device, READ_ONLY, at) as files:
                yield files, identity


def copy(
    files: Path, directory: Path, tell: Percent | None = None, *flags: str
) -> None:
    """Copy all that is below ``files`` into ``directory``."""
    argv = (
        "rsync", "-aHAXS", "--numeric-ids", *_FILTERS, *flags,
        "--info=progress2",
        "--", f"{files}/", f"{directory}/",
    )  # fmt: skip
    pipe.follow(argv, tell or Percent(), pipe.COPY_S)
