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

"""Turn a valid document into a Layout: fill in what is not written."""

from __future__ import annotations

from dataclasses import replace

from ipa_partitions.disk.size import Size
from ipa_partitions.images.configdrive import ConfigDrive
from ipa_partitions.layout import document as doc
from ipa_partitions.layout import model, objects, partitions
from ipa_partitions.layout.images import build_image
from ipa_partitions.layout.short_form import with_short_form
from ipa_partitions.layout.values import TYPE_GUIDS, parse_words

# What a service partition is when the document does not say: SPEC 3.2.
SERVICE_SIZES = {
    "bios_boot": Size.mib(1),
    "esp": Size.mib(512),
    "multiboot": Size.mib(100),
}
_SERVICE_FILE_SYSTEMS = {"esp": "vfat", "multiboot": "ext4"}
ESP_MOUNT = "/boot/efi"
_ROLE_OF_MOUNT = {"multiboot": "multiboot", ESP_MOUNT: "esp"}
_TYPE_OF_ROLE = {
    "pv": "lvm",
    "raid": "raid",
    "esp": "esp",
    "bios_boot": "bios_boot",
}

# A GPT has room for as many, a little less if they are rare ones.
_NAME_LENGTH = 36
# That of mdadm is 27, and there may be several: "-999".
_ARRAY_NAME_LENGTH = 23

Owners = tuple[str, ...]


def build(document: doc.Document) -> model.Layout:
    """Return ``document`` as a layout, which ``check`` has yet to see."""
    images = tuple(
        build_image(f"$.images[{n}]", image)
        for n, image in enumerate(document.images)
    )
    owners = tuple(image.name for image in images[:1])
    entries = [
        (f"$.partitions[{n}]", entry)
        for n, entry in enumerate(document.partitions)
    ]
    disks = tuple(
        _disk(at, entry, owners)
        for at, entry in entries
        if isinstance(entry, partitions.Disk)
    )
    arrays = tuple(
        _array(at, entry, owners)
        for at, entry in entries
        if isinstance(entry, partitions.Array)
    )
    disks, arrays = with_short_form(disks, arrays)
    return model.Layout(
        form="layout",
        policy=document.partitions_policy,
        disks=disks,
        groups=tuple(
            _group(at, entry, owners)
            for at, entry in entries
            if isinstance(entry, partitions.VolumeGroup)
        ),
        arrays=arrays,
        bcaches=tuple(
            model.Bcache(at, entry.id, entry.mode, _content(entry, owners))
            for at, entry in entries
            if isinstance(entry, partitions.Bcache)
        ),
        images=images,
        rsync_flags=parse_words(document.image_deploy_flags.rsync_flags),
        kernel_params=document.deploy_data.kernel_params,
        boot=model.Boot(**document.boot.model_dump()),
        configdrive=build_configdrive(document.configdrive),
        catalog_url=document.catalog_url,
    )


def build_configdrive(
    given: doc.ConfigDriveParts | None,
) -> ConfigDrive | None:
    """Return the config drive; None for none, or only a place for one."""
    content = given and (given.content or given.data)
    return ConfigDrive(content, given.into) if given and content else None


def service_volume(at: str, role: str) -> model.Volume:
    """Return the implicit service partition ``role``: SPEC 3.2."""
    return model.Volume(
        at=at,
        name=role,
        role=role,
        size=SERVICE_SIZES[role],
        type_guid=_type_guid(role),
        content=service_content(role),
    )


def service_content(role: str, label: str | None = None) -> model.Content:
    """Return what a service partition holds."""
    return model.Content(
        file_system=_SERVICE_FILE_SYSTEMS.get(role, model.NONE),
        # get_boot_info and switch_boot look for this label first.
        label=label or ("multiboot" if role == "multiboot" else None),
    )


def _type_guid(role: str) -> str:
    return TYPE_GUIDS[_TYPE_OF_ROLE.get(role, "linux")]


def _named(
    named: objects.Titled,
    fallback: str,
    mount: str = model.NONE,
) -> str:
    """Return what the volume is called: its name, its mount or its role."""
    if named.name or named.id:
        return str(named.name or named.id)
    if mount == "/":
        return "root"
    if mount == model.NONE:
        return fallback
    # Nobody wrote this name, so it must not be too long for a table.
    most = _ARRAY_NAME_LENGTH if fallback == "raid" else _NAME_LENGTH
    return mount.strip("/").replace("/", "-")[:most]


def _name_key(named: objects.Titled, mount: str = model.NONE) -> str:
    """Return the key that the name is from, or that could give another."""
    if named.name or (mount == model.NONE and not named.id):
        return "name"
    return "id" if named.id else "mount"


def _disk(at: str, disk: partitions.Disk, owners: Owners) -> model.Disk:
    return model.Disk(
        at=at,
        id=_disk_id(disk.id),
        budget_bytes=disk.size,
        table=disk.table,
        boot=disk.boot,
        volumes=tuple(
            _volume(f"{at}.volumes[{n}]", volume, owners)
            for n, volume in enumerate(disk.volumes)
        ),
    )


def _disk_id(found_by: partitions.DiskId) -> model.DiskId:
    if isinstance(found_by, partitions.IdOfOsInstall):
        return model.DiskId("os_install")
    if isinstance(found_by, partitions.IdByHints):
        return model.DiskId("hints", hints=dict(found_by.value))
    return model.DiskId(found_by.type, found_by.value)


def _volume(
    at: str, volume: partitions.DiskVolume, owners: Owners
) -> model.Volume:
    if isinstance(volume, partitions.Partition):
        return _partition(at, volume, owners)
    content, member_of = model.Content(), None
    if isinstance(volume, partitions.ServicePartition):
        content = replace(
            service_content(volume.type, volume.label),
            uuid=volume.uuid,
            keep_data=volume.keep_data,
        )
    elif isinstance(volume, partitions.RaidMember):
        content, member_of = _content(volume, owners), volume.raid
    elif isinstance(volume, partitions.PhysicalVolume):
        member_of = volume.vg
    else:
        member_of = volume.bcache
    return model.Volume(
        at=at,
        name=_named(volume, volume.type, content.mount),
        role=volume.type,
        size=volume.size or SERVICE_SIZES[volume.type],
        type_guid=_type_guid(volume.type),
        content=content,
        member_of=member_of,
        name_key=_name_key(volume, content.mount),
    )


def _partition(
    at: str, volume: partitions.Partition, owners: Owners
) -> model.Volume:
    role = _ROLE_OF_MOUNT.get(volume.mount, volume.type)
    own = type(volume).model_fields.keys() - partitions.Partition.model_fields
    content = _content(volume, owners)
    if role == "multiboot":
        label = content.label or "multiboot"
        content = replace(content, mount=model.NONE, label=label)
    default = _type_guid(role)
    if content.file_system == "swap":
        default = TYPE_GUIDS["swap"]
    return model.Volume(
        at=at,
        name=_named(volume, role, volume.mount),
        role=role,
        size=volume.size,
        type_guid=volume.partition_guid or default,
        content=content,
        own={key: getattr(volume, key) for key in own},
        name_key=_name_key(volume, volume.mount),
    )


def _content(content: objects.Content, owners: Owners) -> model.Content:
    """Return the content with the defaults that follow from its mount."""
    mount, images = content.mount, content.images
    if images is None:
        unmounted = {mount, *(s.mount for s in content.subvolumes)} <= {
            model.NONE,
            "multiboot",
        }
        images = () if unmounted else owners
    return model.Content(
        file_system=content.file_system or _file_system(content.mount),
        mount=mount,
        label=content.label,
        uuid=content.uuid,
        mkfs_options=content.mkfs_options,
        fstab_options=content.fstab_options,
        fstab_enabled=content.fstab_enabled,
        keep_data=content.keep_data,
        images=images,
        encryption=_encryption(content.encryption),
        subvolumes=tuple(
            model.Subvolume(each.name, each.mount)
            for each in content.subvolumes
        ),
    )


def _encryption(
    encryption: objects.Encryption | None,
) -> model.Encryption | None:
    if encryption is None:
        return None
    return model.Encryption(encryption.key_file, encryption.tpm2)


def _file_system(mount: str) -> str:
    """Return the default: SPEC 2.3."""
    if mount == ESP_MOUNT:
        return _SERVICE_FILE_SYSTEMS["esp"]
    return {model.NONE: model.NONE, "swap": "swap"}.get(mount, "ext4")


def _group(
    at: str, group: partitions.VolumeGroup, owners: Owners
) -> model.Group:
    volumes = tuple(
        model.LogicalVolume(
            at=f"{at}.volumes[{n}]",
            name=_named(lv, "lv", lv.mount),
            size=lv.size,
            layout=lv.layout,
            stripes=lv.stripes,
            mirrors=lv.mirrors,
            pool=lv.pool,
            content=_content(lv, owners),
            name_key=_name_key(lv, lv.mount),
        )
        for n, lv in enumerate(group.volumes)
    )
    return model.Group(at, group.id, volumes)


def _array(at: str, array: partitions.Array, owners: Owners) -> model.Array:
    return model.Array(
        at=at,
        id=array.id,
        level=array.level,
        spares=array.spares,
        metadata=array.metadata,
        vg=array.vg,
        content=_content(array, owners),
    )
