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


"""What a deployed system boots, found by reading it and nothing else.

A file of an image is data: none is run or sourced, and what is malformed,
too large or no file is as good as not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ipa_partitions.boot.command_line import own_words, read_default_words
from ipa_partitions.boot.image_text import list_names, read_lines
from ipa_partitions.boot.kernel_version import version_key
from ipa_partitions.disk.rootfs import RootFs
from ipa_partitions.errors import ImageError

ENTRIES: Final = "/boot/loader/entries"
_PREFIXES: Final = ("vmlinuz-", "vmlinux-", "kernel-")
_INITRDS: Final = (
    "initrd.img-{}",
    "initramfs-{}.img",
    "initrd-{}",
    "initrd-{}.img",
)  # of Debian, Red Hat, SUSE, and Red Hat before 6
# Signatures and leftovers that stand beside a kernel and are none.
_NO_KERNEL: Final = re.compile(r".*\.(hmac|sha\d+hmac|sig|signed|gz|tmp)")
_SAFE_NAME: Final = re.compile(r"[\w.+~-]+", re.ASCII)
_LAST_RESORT: Final = re.compile(r"rescue|recovery", re.IGNORECASE)


@dataclass(frozen=True)
class Kernel:
    """A kernel; paths are those on the filesystem mounted at ``mount``.

    ``words`` are those of its command line, but for the root.
    """

    version: str
    mount: str
    path: str
    initrds: tuple[str, ...]
    words: tuple[str, ...]
    title: str = ""

    @property
    def is_last_resort(self) -> bool:
        """Tell whether it is a rescue system's or one kept for safety."""
        return self.version.endswith(".old") or bool(
            _LAST_RESORT.search(f"{self.version} {self.title}")
        )


def find_kernels(
    root: RootFs, image: str, mounts: Sequence[str]
) -> tuple[Kernel, ...]:
    """Return the kernels of the system at ``root``, the one to boot first.

    ``mounts`` are the mount points of its tree. Raises ImageError, with the
    name ``image``, if there is none.
    """
    default_words = read_default_words(root)
    found: dict[tuple[str, str], Kernel] = {}
    for kernel in (*_listed(root), *_named(root), *_linked(root)):
        kernel = replace(kernel, words=kernel.words or default_words)
        kernel = _on_its_filesystem(kernel, mounts)
        found.setdefault((kernel.mount, kernel.path), kernel)
    if not found:
        raise ImageError(
            f"image {image!r} holds no kernel: neither {ENTRIES}/*.conf,"
            " /boot/vmlinuz-* nor /vmlinuz names one"
        )
    return tuple(
        sorted(
            found.values(),
            # root=UUID= needs an initrd, so one without comes after.
            key=lambda k: (
                not k.is_last_resort,
                bool(k.initrds),
                version_key(k.version),
            ),
            reverse=True,
        )
    )


def _listed(root: RootFs) -> Iterator[Kernel]:
    """Yield the kernels of the boot loader specification's entries."""
    for name in list_names(root, ENTRIES):
        if not name.endswith(".conf"):
            continue
        fields: dict[str, list[str]] = {}
        for line in read_lines(root, f"{ENTRIES}/{name}"):
            key, *value = line.strip().split(maxsplit=1) or ("",)
            fields.setdefault(key, []).extend(value)
        path = _in_boot(root, *fields.get("linux", ())[:1])
        initrds = [
            _in_boot(root, word)
            for line in fields.get("initrd", ())
            for word in line.split()
            if "$" not in word
        ]
        if path is None or None in initrds:
            continue
        yield Kernel(
            version=(*fields.get("version", ()), _version(path))[0],
            mount="/",
            path=path,
            initrds=tuple(initrd for initrd in initrds if initrd),
            words=own_words(" ".join(fields.get("options", ()))),
            title=" ".join(fields.get("title", ())),
        )


def _named(root: RootFs) -> Iterator[Kernel]:
    """Yield the kernels that /boot holds by the names of distributions."""
    for name in list_names(root, "/boot"):
        prefix = next((p for p in _PREFIXES if name.startswith(p)), None)
        if prefix is None or _NO_KERNEL.fullmatch(name):
            continue
        version = name.removeprefix(prefix)
        path = _file(root, f"/boot/{name}")
        if path and version:
            initrd = _first_file(
                root, (f"/boot/{i.format(version)}" for i in _INITRDS)
            )
            yield Kernel(version, "/", path, initrd, ())


def _linked(root: RootFs) -> Iterator[Kernel]:
    """Yield the kernels that links without a version lead to."""
    for directory in ("", "/boot"):
        for suffix in ("", ".old"):
            path = _file(root, f"{directory}/vmlinuz{suffix}")
            if path:
                initrd = _first_file(
                    root,
                    (
                        f"{directory}/{name}{suffix}"
                        for name in ("initrd.img", "initrd")
                    ),
                )
                version = _version(path) + suffix
                yield Kernel(version, "/", path, initrd, ())


def _on_its_filesystem(kernel: Kernel, mounts: Sequence[str]) -> Kernel:
    mount = _mount_of(kernel.path, mounts)
    # GRUB reads both from one filesystem.
    initrds = tuple(i for i in kernel.initrds if _mount_of(i, mounts) == mount)
    return replace(
        kernel,
        mount=mount,
        path=below(mount, kernel.path),
        initrds=tuple(below(mount, initrd) for initrd in initrds),
    )


def _mount_of(path: str, mounts: Sequence[str]) -> str:
    above = (mount for mount in mounts if is_below(mount, path))
    return max(above, key=len, default="/")


def is_below(mount: str, path: str) -> bool:
    """Tell whether ``path`` lies below the mount point."""
    return mount == "/" or path.startswith(f"{mount}/")


def below(mount: str, path: str) -> str:
    """Return ``path`` as it is on the filesystem mounted there."""
    return path if mount == "/" else path.removeprefix(mount)


def _in_boot(root: RootFs, path: str | None = None) -> str | None:
    """Return the file that ``path`` of an entry means, if it is there.

    It is relative to the filesystem that holds /boot, a volume or not.
    """
    if path is None or "$" in path:
        return None
    return _file(root, f"/boot/{path}") or _file(root, f"/{path}")


def _file(root: RootFs, path: str) -> str | None:
    if not root.is_file(path):
        return None
    real = root.real_path(path)
    safe = all(_SAFE_NAME.fullmatch(part) for part in real[1:].split("/"))
    return real if safe else None


def _first_file(root: RootFs, paths: Iterable[str]) -> tuple[str, ...]:
    found = (_file(root, path) for path in paths)
    first = next((path for path in found if path), None)
    return (first,) if first else ()


def _version(path: str) -> str:
    name = path.rpartition("/")[2]
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
