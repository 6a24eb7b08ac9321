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

"""Files of an image that name its root filesystem by its old UUID.

What boots it here needs none of them. Its own tools do: they make new menus
and entries of these.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError

LOG = logging.getLogger(__name__)

# FAT has 32 bits: they may stand for anything.
_LENGTH = 36

_FILES = (
    "/etc/default/grub",
    "/etc/kernel/cmdline",
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/boot/grub/grubenv",
    "/boot/grub2/grubenv",
    "/boot/extlinux/extlinux.conf",
)
# Their files that end so; in a folder of any name where it ends with "*".
_FOLDERS = (
    ("/etc/default/grub.d", ".cfg"),
    ("/boot/loader/entries", ".conf"),
    ("/boot/efi/EFI/*", "grub.cfg"),
)


def replace_uuid(root: RootFs, old: str, new: str) -> tuple[str, ...]:
    """Let the files of ``root`` name ``new`` instead; return their paths.

    Those that are not there are left out, and so are those that cannot be
    read, with a warning.
    """
    if len(old) != _LENGTH or len(new) != _LENGTH or old == new:
        return ()
    changed = []
    for path in (*_FILES, *_found(root)):
        try:
            if root.replace(path, old.encode(), new.encode()):
                changed.append(path)
        except ImageError as error:
            if root.is_file(path):
                LOG.warning("may name the old UUID %s: %s", old, error)
    return tuple(changed)


def _found(root: RootFs) -> Iterator[str]:
    for folder, end in _FOLDERS:
        parent = folder.removesuffix("/*")
        folders = [folder]
        if parent != folder:
            folders = [f"{parent}/{name}" for name in _names(root, parent)]
        for each in folders:
            for name in _names(root, each):
                if name.endswith(end):
                    yield f"{each}/{name}"


def _names(root: RootFs, folder: str) -> tuple[str, ...]:
    try:
        return root.list_directory(folder)
    except ImageError:
        return ()
