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

"""The menu entry of a system, made by reading it."""

from __future__ import annotations

from dataclasses import dataclass

from ipa_partitions.boot.command_line import without_subvolume
from ipa_partitions.boot.followed import find_links, find_listing
from ipa_partitions.boot.image_text import read_title
from ipa_partitions.boot.kernels import Kernel, find_kernels
from ipa_partitions.boot.menu import Listing, MenuEntry, OtherKernel
from ipa_partitions.disk.rootfs import RootFs

# A person chooses from a screen.
_OTHERS_MAX = 8
_KERNEL_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class Place:
    """A part of a system's tree: ``subvolume`` of filesystem ``uuid``."""

    mount: str
    uuid: str
    subvolume: str = ""

    def path(self, path: str) -> str:
        """Return ``path`` as GRUB sees it, which sees all of it."""
        return f"/{self.subvolume}{path}" if self.subvolume else path


@dataclass(frozen=True)
class Bootable:
    """A system that the menu offers, with what is not read from it.

    ``device`` is where its root was when it was deployed. ``root_words``
    come before the kernel parameters of its own, ``further_words`` after.
    Where the image ``brings_root`` as a filesystem, its subvolume is there.
    """

    name: str
    device: str
    root_uuid: str
    places: tuple[Place, ...]
    root_words: tuple[str, ...] = ()
    further_words: tuple[str, ...] = ()
    brings_root: bool = True

    def title(self, root: RootFs) -> str:
        """Return what the menu calls it, mounted at ``root``."""
        return f"{read_title(root, self.name)} (on {self.device})"

    def kernel(self, root: RootFs) -> bytes:
        """Return the kernel that it boots by default."""
        first, *_ = self._kernels(root)
        return root.read_bytes(f"{first.mount}/{first.path}", _KERNEL_BYTES)

    def entry(self, root: RootFs) -> MenuEntry:
        """Return its entry; raises ImageError if it holds no kernel."""
        places = {place.mount: place for place in self.places}
        first, *others = self._kernels(root)
        place = places[first.mount]
        listing = find_listing(root, first)
        links = () if listing else find_links(root, first)
        return MenuEntry(
            self.name,
            self.title(root),
            place.uuid,
            place.path(first.path),
            tuple(map(place.path, first.initrds)),
            self._command_line(first),
            tuple(map(place.path, links)),
            listing
            and Listing(
                place.path(listing.entries),
                place.path(listing.kernel),
                place.path(listing.initrd),
                listing.version,
            ),
            tuple(
                OtherKernel(
                    other.version,
                    place.path(other.path),
                    tuple(map(place.path, other.initrds)),
                    self._command_line(other),
                )
                for other in others
                if other.mount == first.mount
            )[:_OTHERS_MAX],
        )

    def _kernels(self, root: RootFs) -> tuple[Kernel, ...]:
        mounts = [place.mount for place in self.places]
        return find_kernels(root, self.name, mounts)

    def _command_line(self, kernel: Kernel) -> tuple[str, ...]:
        return (
            f"root=UUID={self.root_uuid}",
            "ro",
            *self.root_words,
            *(
                kernel.words
                if self.brings_root
                else without_subvolume(kernel.words)
            ),
            *self.further_words,
        )
