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

"""What a volume stands on, in a resolved layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ipa_partitions.disk import md
from ipa_partitions.resolved import Array, Group, ResolvedLayout, Volume

_PARITY_MODULES = {
    4: {"raid5rec"},
    5: {"raid5rec"},
    6: {"raid5rec", "raid6rec"},
}


@dataclass(frozen=True)
class Base:
    """A group, None without one, and the arrays beneath a volume."""

    group: Group | None
    arrays: tuple[Array, ...]


def base_of(resolved: ResolvedLayout, volume: Volume) -> Base:
    """Return what ``volume`` stands on."""
    group = next(
        (
            group
            for group in resolved.groups
            if volume.home in {lv.spec.device for lv in group.volumes}
        ),
        None,
    )
    homes = {volume.home, *(group.pvs if group else ())}
    arrays = (a for a in resolved.arrays if a.spec.device in homes)
    return Base(group, tuple(arrays))


def key_path(volume: Volume) -> str:
    """Return where systemd looks for the key of an encrypted volume."""
    assert volume.luks
    return f"/etc/cryptsetup-keys.d/{volume.luks.name}.key"


def subvolume_words(root: Volume) -> Iterator[str]:
    """Yield what a kernel has to be told to mount ``root``."""
    if root.subvolume:
        yield f"rootflags=subvol={root.subvolume}"


def storage_words(resolved: ResolvedLayout, root: Volume) -> Iterator[str]:
    """Yield what an initrd has to be told to find ``root``.

    Words for dracut and systemd; initramfs-tools looks for arrays and
    groups by itself, and has ``cryptopts``.
    """
    base = base_of(resolved, root)
    if base.group:
        name = next(
            lv.spec.name
            for lv in base.group.volumes
            if lv.spec.device == root.home
        )
        yield f"rd.lvm.lv={base.group.name}/{name}"
    for array in base.arrays:
        yield f"rd.md.uuid={md.mdadm_uuid(array.spec.uuid)}"
    if root.luks:
        yield from _luks_words(root)


def _luks_words(root: Volume) -> Iterator[str]:
    luks = root.luks
    assert luks
    # Nobody knows the UUID before: an initrd of the image can have the key
    # only where the document has it.
    key = luks.key_file or "none"
    yield f"rd.luks.name={luks.uuid}={luks.name}"
    # As crypttab has them, see disk/luks.py.
    options = "discard"
    if luks.tpm2:
        options += ",tpm2-device=auto"
    else:
        yield f"rd.luks.key={luks.uuid}={key}"
    yield f"rd.luks.options={luks.uuid}={options}"
    yield (
        f"cryptopts=target={luks.name},source=UUID={luks.uuid},key={key},"
        "discard"
    )


def grub_modules(resolved: ResolvedLayout) -> tuple[str, ...]:
    """Return what GRUB needs to see the volumes that it boots from."""
    modules = set()
    for system in resolved.bootable:
        base = base_of(resolved, system.boot)
        if base.group:
            modules |= {"lvm"}
        for array in base.arrays:
            is_old = array.spec.metadata == "0.90"
            modules |= {"mdraid09" if is_old else "mdraid1x"}
            modules |= _PARITY_MODULES.get(array.spec.level, set())
    return tuple(sorted(modules))
