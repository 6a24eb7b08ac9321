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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ipa_partitions.deploy import Request, deploy
from ipa_partitions.disk import lock
from ipa_partitions.errors import CommandError, MachineErrors

pytestmark = pytest.mark.disks(*["400 MiB"] * 4)

MIB = 1024**2
TMP = Path("/tmp")

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
    # The kernel takes no cache of 512 buckets or fewer.
    make-bcache --bucket=64k --bdev "$1" --cache "$2" "${@:3}"
    for device in "$1" "$2"; do
        # udev may be quicker
        echo "$device" > /sys/fs/bcache/register_quiet || :
    done
    backing=$(readlink -f "$1")
    backing=/sys/class/block/${backing##*/}/bcache
    until test -e "$backing/cache"; do sleep .1; done
    udevadm settle
    # The kernel counts on, from test to test.
    NODE=$(readlink -f "$backing/dev")
    NODE=${NODE##*/}
}
filled() { mkfs.ext4 -q "$1"; mount "$1" "$HERE"; echo data > "$HERE/data"; }
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
        volume lin-ear --size=150M vg0
        volume stripe --stripes=2 --size=40M vg0
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
        echo 0 > /sys/block/$NODE/bcache/writeback_percent
        echo 0 > /sys/block/$NODE/bcache/writeback_running
        echo 0 > /sys/block/$NODE/bcache/cache/congested_read_threshold_us
        echo 0 > /sys/block/$NODE/bcache/cache/congested_write_threshold_us
        dd if=/dev/urandom of=/dev/$NODE bs=1M count=20 oflag=direct
        grep dirty /sys/block/$NODE/bcache/state
    """,
    "a cache with nothing to cache": """
        cached $A $B; echo 1 > /sys/block/$NODE/bcache/stop
    """,
    "bcache that waits for its cache": """
        cached $A $B; cache=$(echo /sys/fs/bcache/*-*)
        echo 1 > $cache/stop
        until ! test -e $cache; do sleep .1; done; sleep 1
        echo $A > /sys/fs/bcache/register
    """,
    "encryption on bcache": """
        cached $A $B; luks one /dev/$NODE; mkfs.ext4 -q /dev/mapper/one
    """,
    "a tower": """
        parts $A $B; array md0 1 1.2 ${A}2 ${B}2
        cached /dev/md/md0 ${A}1; luks one /dev/$NODE
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
        export IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1
        mdadm --create /dev/md/imsm --run --metadata=imsm \
            --raid-devices=2 $A $B
        udevadm settle
        mdadm --create /dev/md/volume --run --level=1 \
            --raid-devices=2 /dev/md/imsm
    """,
    "the arrays of firmware that are down": """
        mdadm --create /dev/md/ddf --run --metadata=ddf --raid-devices=2 $A $B
        mdadm --stop --scan
    """,
    "btrfs of several devices": "parts $A; mkfs.btrfs -q ${A}1 ${A}2 $B",
    "the table of a larger disk": r"""
        parts $A; array md0 1 1.0 ${A}1 $B; mdadm --stop /dev/md/md0
        truncate --size=1G $HERE/table
        printf 'label: gpt\n,100M\n,\n' | sfdisk --quiet $HERE/table
        dd if=$HERE/table of=$A bs=1M count=1
    """,
}  # fmt: skip


# Disks that cannot discard: what is not wiped stays.
KEEPS_ALL = """
for disk in $A $B; do
    echo 0 > /sys/class/block/${disk##*/}/queue/discard_max_bytes
done
"""


def shell(script: str, disks: Sequence[str] = (), here: Path = TMP) -> str:
    """Run ``script`` and return what it says."""
    names = dict(zip("ABCD", disks, strict=False)) | {"HERE": str(here)}
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
        udevadm trigger --settle --action=change {" ".join(nodes)}
        lsblk --noheadings --raw -o PATH {" ".join(disks)}
        echo and; wipefs --noheadings {" ".join(nodes - {*disks})}
        """
    ).partition("and\n")
    assert sorted(found.split()) == sorted(nodes)
    assert signatures == ""
    for disk in disks:
        os.close(os.open(disk, os.O_RDONLY | os.O_EXCL))


@pytest.mark.parametrize("before", BEFORE)
def test_what_was_there_is_gone(before, disks, tmp_path):
    shell(KEEPS_ALL + BEFORE[before], disks, tmp_path)
    deploy(Request(document(*disks[:2])))
    assert_fresh(*disks[:2])


def test_no_label_of_a_pool_is_left_in_between(disks):
    shell(KEEPS_ALL + "parts $A; zfs ${A}1; zfs ${A}2", disks)
    magic = (0xBAB10C).to_bytes(8, "little")
    assert magic in Path(disks[0]).read_bytes()
    deploy(Request(document(disks[0])))
    assert magic not in Path(disks[0]).read_bytes()


def test_the_copy_of_a_table_goes_where_it_is_on_a_disk_that_grew(disks):
    where = 200 * MIB - 512
    shell(
        KEEPS_ALL
        + """
        echo 0 409600 linear $A 0 | dmsetup create small
        echo 'label: gpt' | sfdisk --quiet /dev/mapper/small
        dmsetup remove --retry small
        """,
        disks,
    )
    assert signature(disks[0], where) == b"EFI PART"
    deploy(Request(document(disks[0])))
    assert signature(disks[0], where) == bytes(8)


def signature(device: str, where: int) -> bytes:
    with Path(device).open("rb") as node:
        node.seek(where)
        return node.read(8)


def test_a_disk_with_several_paths_has_partitions_by_kpartx(disks):
    shell(
        """
        echo 0 819200 linear $A 0 | dmsetup create mpatha --uuid=mpath-3600
        udevadm settle; parts /dev/mapper/mpatha
        kpartx -s -a -p -part /dev/mapper/mpatha
        group vg0 /dev/mapper/mpatha-part2; volume root --size=40M vg0
        """,
        disks,
    )
    disk = "/dev/mapper/mpatha"
    for _ in range(2):
        deploy(Request(document(disk)))
        shell("udevadm settle")
        shown = shell(f"lsblk --noheadings --raw -o PATH {disk}")
        assert shown.split() == [disk, f"{disk}-part1", f"{disk}-part2"]
        assert shell(f"wipefs --noheadings {disk}-part?") == ""


OTHERS = """
group vg0 $A; volume ours --size=40M vg0; vgchange --activate=n vg0
array other 1 1.2 $C $D
group vg0 /dev/md/other --devices /dev/md/other
volume keep --size=40M vg0 --devices /dev/md/other
filled /dev/vg0/keep
vgchange --activate=y vg0 --devices $A
mkfs.ext4 -q /dev/vg0/ours
"""


def test_others_stay_up_even_a_group_with_the_same_name(disks, tmp_path):
    with unmounted(tmp_path):
        shell(OTHERS, disks, tmp_path)
        before = shell("lsblk --noheadings $C $D", disks)
        deploy(Request(document(*disks[:2])))
        assert_fresh(*disks[:2])
        assert shell("lsblk --noheadings $C $D", disks) == before
        assert (tmp_path / "data").read_text() == "data\n"
        (tmp_path / "more").write_text("more")
        assert shell("vgs --noheadings -o vg_name").split() == ["vg0"]
        shell("grep '\\[UU\\]' /proc/mdstat")


@contextmanager
def unmounted(where: Path) -> Iterator[None]:
    """Leave nothing mounted nor running, and no swap in use."""
    try:
        yield
    finally:
        shell(
            """
            if test -e $HERE.pid; then kill $(cat $HERE.pid); fi
            umount --recursive --all-targets $HERE || :
            swapoff --all
            """,
            here=where,
        )


# In HERE something is mounted, of what is on the disks A to D. The document
# mentions A and B.
REFUSED = {
    "a mounted partition": (
        "parts $A; filled ${A}2", "{A}2 is mounted on {HERE}",
    ),
    "a mounted volume": (
        """
        group vg0 $A $B; volume root --size=40M vg0
        luks one /dev/vg0/root; filled /dev/mapper/one
        """,
        "/dev/mapper/one on {A} is mounted on {HERE}",
    ),
    "btrfs mounted by its other device": (
        "mkfs.btrfs -q $C $B; mount $C $HERE", "{B} is mounted on {HERE}",
    ),
    "swap on an array": (
        "array md0 1 1.2 $A $B; mkswap /dev/md/md0; swapon /dev/md/md0",
        "/dev/md/md0 on {B} is used as swap",
    ),
    "a mount that only others see": (
        """
        parts $A; mkfs.ext4 -q ${A}1
        unshare --mount --propagation=private \
            sh -c "mount ${A}1 $HERE; touch $HERE.up; exec sleep 1000" \
            > /dev/null 2>&1 &
        echo $! > $HERE.pid
        until test -e $HERE.up; do sleep .1; done
        """,
        "{A}1 is in use",
    ),
    "a mapping that a program has for itself": (
        """
        luks one $B
        python3 -c 'if True:
            import os, time
            os.open("/dev/mapper/one", os.O_EXCL)
            open(os.environ["HERE"] + ".up", "w").close()
            time.sleep(1000)' > /dev/null 2>&1 &
        echo $! > $HERE.pid
        until test -e $HERE.up; do sleep .1; done
        """,
        "/dev/mapper/one on {B} is in use",
    ),
    "an array on another disk, too": (
        "array md0 1 1.2 $A $C", "array md0 spans {A} and {C}, which",
    ),
    "an array that is down": (
        "parts $A; array md0 5 0.90 ${A}1 $B $C; mdadm --stop /dev/md/md0",
        "spans {A}, {B} and {C}, which the document does not mention",
    ),
    "an array of firmware": (
        """
        export IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1
        mdadm --create /dev/md/imsm --run --metadata=imsm \
            --raid-devices=2 $B $D
        udevadm settle
        mdadm --create /dev/md/volume --run --level=1 \
            --raid-devices=2 /dev/md/imsm
        """,
        "spans {B} and {D}, which the document does not mention",
    ),
    "a group": (
        "parts $C; group vg0 $B ${C}2", "group vg0 spans {B} and {C}, which",
    ),
    "a group on an array": (
        """
        array md0 1 1.2 $A $B; group vg0 /dev/md/md0 $D
        volume root --size=40M vg0 $D
        """,
        "group vg0 spans {A}, {B} and {D}, which",
    ),
    "bcache": ("cached $A $C", " spans {A} and {C}, which"),
    "btrfs": (
        "mkfs.btrfs -q -L data $A $D", "btrfs data spans {A} and {D}, which",
    ),
}  # fmt: skip


@pytest.mark.disks(*["120 MiB"] * 4)
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_in_use_or_elsewhere_too_is_refused(what, disks, tmp_path):
    script, problem = REFUSED[what]
    names = dict(zip("ABCD", disks, strict=True))
    with unmounted(tmp_path):
        shell(script, disks, tmp_path)
        before = shell(SEEN, disks)
        with pytest.raises(MachineErrors) as caught:
            deploy(Request(document(*disks[:2])))
        assert problem.format(**names, HERE=tmp_path) in str(caught.value)
        assert shell(SEEN, disks) == before


@pytest.mark.disks(*["120 MiB"] * 4)
def test_what_another_of_us_works_on_is_left_alone(disks, monkeypatch):
    monkeypatch.setattr(lock, "TIMEOUT_S", 0.2)
    shell("array md0 1 1.2 $A $B", disks)
    before = shell(SEEN, disks)
    with (
        lock.locked(disks[1:2]),
        pytest.raises(CommandError, match="another program has locked it"),
    ):
        deploy(Request(document(*disks[:2])))
    assert shell(SEEN, disks) == before


SEEN = """
lsblk --noheadings -o KNAME,TYPE,MOUNTPOINTS $A $B $C $D
wipefs --noheadings $A $B $C $D; sfdisk --dump $A || :
"""
