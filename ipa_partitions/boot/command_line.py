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


"""Kernel command lines, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ipa_partitions.boot.image_text import (
    list_names,
    printable,
    read_assignments,
)
from ipa_partitions.disk.rootfs import RootFs

_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_SUBSTITUTION = re.compile(r"\$\([^)]*\)|`[^`]*`")
# They name what was there where the image was made, or are ours to give.
_NOT_THE_IMAGES = re.compile(
    r"(root|rootfstype|resume|resume_offset|BOOT_IMAGE|initrd|cryptdevice"
    r"|cryptopts|(rd\.)?luks(\.\w+)*|rd\.(lvm|md|dm)\.\w+)=.*|ro"
)
_SUBVOLUME = re.compile(r"rootflags=(.*,)?subvol(id)?=.*")


def kernel_words(text: str) -> tuple[str, ...]:
    """Return the words of a kernel command line, without their quotes.

    Quoted spaces are part of a word; GRUB quotes it again for the kernel.
    """
    words = (printable(word.replace('"', "")) for word in _WORD.findall(text))
    return tuple(word for word in words if word)


def own_words(text: str) -> tuple[str, ...]:
    """Return the words of an image's command line that hold on any disk.

    What a shell or GRUB would expand is dropped: nobody expands it here.
    """
    return tuple(
        word
        for word in kernel_words(_SUBSTITUTION.sub("$", text))
        if "$" not in word
        and "`" not in word
        and not _NOT_THE_IMAGES.fullmatch(word)
    )


def without_subvolume(words: Iterable[str]) -> tuple[str, ...]:
    """Return ``words`` without that which names a subvolume as the root."""
    return tuple(word for word in words if not _SUBVOLUME.fullmatch(word))


def read_default_words(root: RootFs) -> tuple[str, ...]:
    """Return the parameters that the image's own GRUB would give."""
    values = {"GRUB_CMDLINE_LINUX": "", "GRUB_CMDLINE_LINUX_DEFAULT": ""}
    # Cloud images have theirs in files beside the distribution's.
    paths = ["/etc/default/grub"] + [
        f"/etc/default/grub.d/{name}"
        for name in list_names(root, "/etc/default/grub.d")
        if name.endswith(".cfg")
    ]
    for path in paths:
        for name, value in read_assignments(root, path):
            if name in values:
                values[name] = value
    return own_words(" ".join(values.values()))
