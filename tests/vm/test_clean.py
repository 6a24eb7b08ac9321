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

"""Policy clean: whatever stands on the disks is stopped, and gone for good.

A row is what is on the disks before, as a shell script with the disks in
$A, $B, $C and $D; the document mentions $A and $B.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from ipa_partitions.deploy import Request, deploy

pytestmark = pytest.mark.disks(*["400 MiB"] * 4)

MIB = 1024**2

PRELUDE = r"""
set -eu
parts() {
    for disk; do
        printf 'label: gpt\n,100M\n,,\n' | sfdisk --quiet "$disk"
    done
    udevadm settle
}
array() {  # name, level, metadata, members
    name=$1 level=$2 metadata=$3; shift 3
    mdadm --create "/dev/md/$name" --run --homehost=any --name="$name" \
        --level="$level" --metadata="$metadata" --raid-devices=$# "$@"
    udevadm settle
}
group() { vgcreate --yes "$@"; }
volume() { lvcreate --yes --name="$@"; udevadm settle; }
luks() {  # name, device
    echo key | cryptsetup luksFormat --batch-mode --type=luks2 \
        --pbkdf=pbkdf2 --pbkdf-force-iterations=1000 "$2" -
    echo key | cryptsetup open --key-file=- "$2" "$1"
}
cached() {  # backing, cache, options
    wipefs --all --quiet "$1" "$2"
    make-bcache --bdev "$1" --cache "$2" "${@:3}"
    for device in "$1" "$2"; do
        test -d "/sys/class/block/${device##*/}/bcache" ||
            echo "$device" > /sys/fs/bcache/register
    done
    until test -e "/sys/class/block/${1##*/}/bcache/cache"; do sleep .1; done
    udevadm settle
}
filled() { mkfs.ext4 -q "$1"; mount "$1" "$2"; echo data > "$2/data"; }
zfs() {  # the uberblocks of the four labels of a pool
    python3 - "$1" <<'END'
import os, struct, sys
with open(sys.argv[1], "r+b") as device:
    end = device.seek(0, os.SEEK_END) & ~0x3ffff
    for label in (0, 1 << 18, end - (2 << 18), end - (1 << 18)):
        for block in range(128, 256):
            device.seek(label + block * 1024)
            device.write(struct.pack("<QQ", 0xbab10c, 5000))
END
}
"""

BEFORE = {
    "nothing": "",
    "filesystems": "parts $A; mkfs.vfat ${A}1; mkswap ${A}2; mkfs.ext4 -q $B",
    **{
        f"arrays of partitions, metadata {metadata}": f"""
            parts $A $B
            array one 1 {metadata} ${{A}}1 ${{B}}1
            array two 10 {metadata} ${{A}}2 ${{B}}2
        """
        for metadata in ("0.90", "1.0", "1.1", "1.2")
    },
    "an array of whole disks": "array md0 1 1.2 $A $B",
    "an array with partitions": """
        array md0 0 1.2 $A $B; parts /dev/md/md0; mkfs.ext4 -q /dev/md/md0p1
    """,
    "arrays that are down": """
        parts $A $B
        array one 1 1.0 ${A}1 ${B}1; array two 5 0.90 ${A}2 ${B}2
        mdadm --stop --scan
    """,
    "an array half together": """
        parts $A $B
        array one 5 1.2 ${A}1 ${A}2 ${B}1
        mdadm --stop /dev/md/one; mdadm --incremental ${A}2
        grep -q inactive /proc/mdstat
    """,
    "a degraded array": """
        array one 1 1.2 $A $B; mdadm /dev/md/one --fail $A
    """,
    "a group": """
        parts $A; group vg0 ${A}1 ${A}2 $B
        volume lin-ear --size=150M vg0; volume stripe --stripes=2 --size=40M vg0
    """,
    "a group with mirrors and snapshots": """
        group vg0 $A $B
        volume root --type=raid1 --mirrors=1 --size=40M vg0
        volume copy --snapshot --size=20M vg0/root
    """,
    "a thin pool": """
        group vg-0 $A $B
        lvcreate --yes --type=thin-pool --name=pool --size=100M vg-0
        volume thin --thin --virtualsize=1G vg-0/pool
        volume again --snapshot vg-0/thin; vgchange --activate=y -K vg-0
    """,
    "a group that is down": """
        group vg0 $A $B; volume root --size=500M vg0; vgchange --activate=n
    """,
    "a group on an array": """
        parts $A $B; array md0 1 1.0 ${A}1 ${B}1
        group vg0 /dev/md/md0; volume root --size=40M vg0
        mkfs.ext4 -q /dev/vg0/root
    """,
    "an array of volumes": """
        group vg0 $A; group vg1 $B
        volume one --size=40M vg0; volume one --size=40M vg1
        array md0 1 1.2 /dev/vg0/one /dev/vg1/one
    """,
    "encrypted volumes": """
        group vg0 $A; volume root --size=40M vg0; luks inner /dev/vg0/root
        luks whole $B
    """,
    "a group on an encrypted partition": """
        parts $A; luks outer ${A}1
        group vg0 /dev/mapper/outer; volume root --size=40M vg0
    """,
    "encryption that is closed": "luks one $A; cryptsetup close one",
    "bcache, dirty": """
        parts $A; cached ${A}2 $B --writeback
        echo 0 > /sys/block/bcache0/bcache/writeback_percent
        echo 0 > /sys/block/bcache0/bcache/writeback_running
        dd if=/dev/urandom of=/dev/bcache0 bs=1M count=20 oflag=direct
        grep dirty /sys/block/bcache0/bcache/state
    """,
    "a cache with nothing to cache": """
        cached $A $B; echo 1 > /sys/block/bcache0/bcache/stop
    """,
    "bcache that waits for its cache": """
        cached $A $B; cache=$(echo /sys/fs/bcache/*-*)
        echo 1 > $cache/stop
        until ! test -e $cache; do sleep .1; done; sleep 1
        echo $A > /sys/fs/bcache/register
    """,
    "encryption on bcache": """
        cached $A $B; luks one /dev/bcache0; mkfs.ext4 -q /dev/mapper/one
    """,
    "a tower": """
        parts $A $B; array md0 1 1.2 ${A}2 ${B}2
        cached /dev/md/md0 ${A}1; luks one /dev/bcache0
        group vg0 /dev/mapper/one; volume root --size=100M vg0
        luks two /dev/vg0/root
    """,
    "mappings of no known kind": """
        echo 0 2048 linear $A 4096 | dmsetup create some
        echo 0 1024 linear /dev/mapper/some 0 | dmsetup create 'a name'
    """,
    "partitions that the kernel does not know": """
        parts $A $B; array md0 1 1.0 ${A}1 ${B}1; mdadm --stop /dev/md/md0
        mkfs.ext4 -q ${A}2; partx --delete $A; partx --delete $B
    """,
    "logical partitions": r"""
        printf 'label: dos\n,50M\n,,Ex\n,50M\n,50M\n' | sfdisk --quiet $A
        printf 'label: dos\n,50M\n,,Ex\n,50M\n,50M\n' | sfdisk --quiet $B
        udevadm settle
        array md0 1 1.0 ${A}6 ${B}6; mkswap ${A}5
    """,
    "pools": "parts $A; zfs ${A}1; zfs ${A}2; zfs $B",
    "the arrays of firmware": """
        export IMSM_NO_PLATFORM=1
        mdadm --create /dev/md/imsm --run --metadata=imsm --raid-devices=2 $A $B
        mdadm --create /dev/md/volume --run --level=1 --raid-devices=2 \
            /dev/md/imsm
    """,
    "the arrays of firmware that are down": """
        mdadm --create /dev/md/ddf --run --metadata=ddf --raid-devices=2 $A $B
        mdadm --stop --scan
    """,
    "btrfs of several devices": "parts $A; mkfs.btrfs -q ${A}1 ${A}2 $B",
}  # fmt: skip


def shell(script: str, disks: Sequence[str] = ()) -> str:
    """Run ``script`` and return what it says."""
    names = dict(zip("ABCD", disks, strict=False))
    ran = subprocess.run(
        ["bash", "-c", PRELUDE + script],
        env=os.environ | names, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def document(*disks: str) -> dict[str, Any]:
    """Return one with a first partition where that of ``parts`` is."""
    volumes = [
        {"type": "partition", "name": "same", "size": "100 MiB"},
        {"type": "partition", "name": "rest", "size": "remaining"},
    ]
    return {
        "partitions_policy": "clean",
        "partitions": [
            {
                "type": "disk",
                "id": {"type": "name", "value": disk},
                "volumes": volumes,
            }
            for disk in disks
        ],
    }


def assert_fresh(*disks: str) -> None:
    """Look, once udev has, too, whether there is nothing but partitions."""
    nodes = {f"{disk}{part}" for disk in disks for part in ("", 1, 2)}
    found, _, signatures = shell(
        f"""
        udevadm trigger --settle --action=change {' '.join(nodes)}
        lsblk --noheadings --raw -o PATH {' '.join(disks)}
        echo and; wipefs --noheadings {' '.join(nodes - {*disks})}
        """
    ).partition("and\n")
    assert sorted(found.split()) == sorted(nodes)
    assert signatures == ""
    for disk in disks:
        os.close(os.open(disk, os.O_RDONLY | os.O_EXCL))


@pytest.mark.parametrize("before", BEFORE)
def test_what_was_there_is_gone(before, disks):
    shell(BEFORE[before], disks)
    deploy(Request(document(*disks[:2])))
    assert_fresh(*disks[:2])
