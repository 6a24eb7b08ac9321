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

"""What a system keeps up to date itself: its links, its list of kernels.

The menu follows them, so a kernel that the system installs later is
started without anybody writing the menu anew. They are followed only where
they lead to the kernel that was chosen when they were read.
"""

from __future__ import annotations

import re
from typing import Final

from ipa_partitions.boot.image_text import list_names
from ipa_partitions.boot.kernels import ENTRIES, Kernel, below, is_below
from ipa_partitions.boot.menu import Listing
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError

# Of Debian, Ubuntu and SUSE.
_LINKS: Final = (
    ("/vmlinuz", "/initrd.img"),
    ("/boot/vmlinuz", "/boot/initrd.img"),
    ("/boot/vmlinuz", "/boot/initrd"),
)
# As kernel-install(8) names the files of the entries.
_ENTRY: Final = re.compile(r"[0-9a-f]{32}-(.+)\.conf")


def find_links(root: RootFs, kernel: Kernel) -> tuple[str, ...]:
    """Return the links to ``kernel`` and its initrd, on their filesystem.

    None where GRUB, which knows nothing but that filesystem, would not come
    to the same files.
    """
    if len(kernel.initrds) != 1:
        return ()
    seen_by_grub = RootFs(root.root / kernel.mount.lstrip("/"))
    wanted = (kernel.path, *kernel.initrds)
    for names in _LINKS:
        links = tuple(below(kernel.mount, name) for name in names)
        found = tuple(_real(seen_by_grub, link) for link in links)
        if found == wanted and links != wanted:
            return links
    return ()


def find_listing(root: RootFs, kernel: Kernel) -> Listing | None:
    """Return the list that ``kernel`` is from, if GRUB can follow it."""
    if len(kernel.initrds) != 1 or not is_below(kernel.mount, ENTRIES):
        return None
    versions = {
        match[1]
        for name in list_names(root, ENTRIES)
        if (match := _ENTRY.fullmatch(name))
    }
    (initrd,) = kernel.initrds
    for version in sorted(versions, key=len, reverse=True):
        if kernel.path.endswith(f"-{version}") and version in initrd:
            return Listing(
                below(kernel.mount, ENTRIES),
                kernel.path.removesuffix(version) + "{}",
                initrd.replace(version, "{}"),
                version,
            )
    return None


def _real(root: RootFs, path: str) -> str | None:
    try:
        return root.real_path(path)
    except ImageError:
        return None
