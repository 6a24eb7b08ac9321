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

"""Mount all volumes of one operating system as the tree that they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ipa_partitions.disk.mount import UNTRUSTED, mounted
from ipa_partitions.disk.rootfs import RootFs

# For a tree without a root volume: room for mount points, not for files.
_NO_ROOT = f"{UNTRUSTED},mode=755,size=64k"


class Mount(NamedTuple):
    """A device, where it is mounted, and what options that takes."""

    device: str
    where: str
    options: tuple[str, ...] = ()


@contextmanager
def mounted_tree(
    mounts: Sequence[Mount], options: str = UNTRUSTED
) -> Iterator[Path]:
    """Mount each, parents first, with ``options`` too, and yield the root.

    Mount points are made where they are missing, and no link of the tree
    leads one outside. Raises CommandError if something cannot be mounted
    or afterwards unmounted, ImageError for a mount point that cannot be.
    """
    with ExitStack() as stack:
        rest = list(mounts)
        if rest and rest[0].where == "/":
            first = rest.pop(0)
            words = ",".join((options, *first.options))
            root = stack.enter_context(mounted(first.device, words))
        else:
            root = stack.enter_context(
                mounted("tmpfs", _NO_ROOT, kind="tmpfs")
            )
        for mount in rest:
            where = RootFs(root).make_directory(mount.where)
            words = ",".join((options, *mount.options))
            stack.enter_context(mounted(mount.device, words, where))
        yield root
