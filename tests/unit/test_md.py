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

"""MD arrays: their sizes, the command that makes one, what members say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipa_partitions.disk.md import (
    Array,
    Superblock,
    array_bytes,
    conf_line,
    create_argv,
)
from ipa_partitions.disk.md_examine import parse_examined
from ipa_partitions.disk.size import MIB

UUID = "11223344-5566-7788-99aa-bbccddeeff00"

ARRAY = Array(
    device="/dev/md/root",
    name="root",
    uuid=UUID,
    level=1,
    members=("/dev/vda2", "/dev/vdb2"),
    spares=(),
    metadata="1.2",
    member_bytes=99 * MIB,
)


# As the kernel has it, tried on every version of metadata.
@pytest.mark.parametrize(("level", "members_mib", "spares", "array_mib"), [
    (0,  [100, 100],           0, 198),
    (0,  [100, 60, 80.5],      0, 99 + 59 + 79),
    (0,  [100, 1.9],           0,   0),     # nothing of one can be used
    (1,  [100],                0,  99),
    (1,  [100, 60.9],          0,  59),
    (1,  [100, 100, 60],       1,  59),     # a spare may have to step in
    (1,  [2, 2],               0,   1),
    (1,  [1, 1],               0,   0),
    (4,  [100, 100, 100],      0, 198),
    (5,  [100, 100, 100, 100], 1, 198),
    (5,  [3, 4, 5],            0,   4),
    (6,  [100, 100, 100, 100], 0, 198),
    (6,  [61, 61, 61, 61, 61], 0, 180),
    (10, [100, 100],           0,  99),
    (10, [100, 100, 100, 100], 0, 198),
    (10, [101, 101, 101],      0, 150),
    (10, [100, 100, 100, 100], 1, 148),     # half a MiB is left
])  # fmt: skip
def test_an_array_is_as_large_as_its_level_makes_of_its_members(
    level, members_mib, spares, array_mib
):
    sizes = [int(size * MIB) for size in members_mib]
    assert array_bytes(level, sizes, spares) == array_mib * MIB


COMMON = (
    "--create", "/dev/md/root", "--run", "--force",
    "--homehost=any", "--name=root", f"--uuid={UUID}",
)  # fmt: skip
MEMBERS = ("/dev/vda2", "/dev/vdb2")


@pytest.mark.parametrize(("changes", "argv"), [
    (
        {},
        (
            *COMMON, "--metadata=1.2", "--level=1", "--raid-devices=2",
            "--size=101376", "--bitmap=internal", "--data-offset=1024",
            *MEMBERS,
        ),
    ),
    (
        {"metadata": "1.0", "spares": ("/dev/vdc2",)},
        (
            *COMMON, "--metadata=1.0", "--level=1", "--raid-devices=2",
            "--size=101376", "--bitmap=internal", "--spare-devices=1",
            *MEMBERS, "/dev/vdc2",
        ),
    ),
    (
        {"level": 0, "metadata": "1.1"},
        (
            *COMMON, "--metadata=1.1", "--level=0", "--raid-devices=2",
            "--chunk=1024", "--data-offset=1024", *MEMBERS,
        ),
    ),
    (
        {"level": 10, "metadata": "1.0"},
        (
            *COMMON, "--metadata=1.0", "--level=10", "--raid-devices=2",
            "--chunk=1024", "--size=101376", "--bitmap=internal", *MEMBERS,
        ),
    ),
    (
        {"level": 5, "metadata": "0.90", "members": (*MEMBERS, "/dev/vdc2")},
        (
            *COMMON[:4], "--homehost=<none>", *COMMON[5:],
            "--metadata=0.90", "--level=5", "--raid-devices=3",
            "--chunk=512", "--size=101376", "--bitmap=internal",
            *MEMBERS, "/dev/vdc2",
        ),
    ),
])  # fmt: skip
def test_the_command_leaves_nothing_to_mdadm(changes, argv):
    assert create_argv(replace(ARRAY, **changes)) == argv


NEW = """\
/dev/vda2:
          Magic : a92b4efc
        Version : 1.2
    Feature Map : 0x1
     Array UUID : 11223344:55667788:99aabbcc:ddeeff00
           Name : any:root
  Creation Time : Sat Nov 21 04:10:11 2026
     Raid Level : raid1
   Raid Devices : 2

 Avail Dev Size : 202752 sectors (99.00 MiB 103.81 MB)
     Array Size : 101376 KiB (99.00 MiB 103.81 MB)
    Data Offset : 2048 sectors
   Super Offset : 8 sectors
   Unused Space : before=1968 sectors, after=0 sectors
          State : clean
    Device UUID : 3ad3ecd9:b55ea889:6fb305e7:66a5e4a3

Internal Bitmap : 8 sectors from superblock
    Update Time : Sat Nov 21 04:10:12 2026
  Bad Block Log : 512 entries available at offset 16 sectors
       Checksum : a4106891 - correct
         Events : 17


   Device Role : Active device 1
   Array State : AA ('A' == active, '.' == missing, 'R' == replacing)
"""

OLD = """\
/dev/vda2:
          Magic : a92b4efc
        Version : 0.90.00
           UUID : 11223344:55667788:99aabbcc:ddeeff00
  Creation Time : Sat Nov 21 04:10:08 2026
     Raid Level : raid5
  Used Dev Size : 51200 (50.00 MiB 52.43 MB)
     Array Size : 102400 (100.00 MiB 104.86 MB)
   Raid Devices : 3
  Total Devices : 4
Preferred Minor : 127

    Update Time : Sat Nov 21 04:10:08 2026
          State : active
Internal Bitmap : present
 Active Devices : 3
         Layout : left-symmetric
     Chunk Size : 512K

      Number   Major   Minor   RaidDevice State
this     2      98       48        2      active sync   /dev/vdc2

   0     0      98       16        0      active sync   /dev/vda2
   1     1      98       32        1      active sync   /dev/vdb2
   2     2      98       48        2      active sync   /dev/vdc2
   3     3      98       64        3      spare   /dev/vdd2
"""
OLD_SPARE = OLD.replace(
    "this     2      98       48        2      active sync   /dev/vdc2",
    "this     3      98       64        3      spare   /dev/vdd2",
)

# No size is in the superblock of a member of level 0.
STRIPES = "".join(
    line
    for line in NEW.replace("raid1", "raid0").splitlines(keepends=True)
    if "Array Size" not in line
)

FIRMWARE = """\
/dev/vda:
          Magic : Intel Raid ISM Cfg Sig.
        Version : 1.3.00
    Orig Family : 4bc1b5ac
         Family : 4bc1b5ac
     Generation : 00000004
           UUID : 11223344:55667788:99aabbcc:ddeeff00
"""

MBR = """\
/dev/vda:
   MBR Magic : aa55
Partition[0] :       202752 sectors at         2048 (type 83)
"""

OWN = Superblock(
    device="/dev/vda2",
    uuid=UUID,
    name="root",
    level=1,
    raid_devices=2,
    role=1,
    metadata="1.2",
    array_bytes=99 * MIB,
)
OWN_OLD = replace(
    OWN,
    name="",
    level=5,
    raid_devices=3,
    role=2,
    metadata="0.90",
    array_bytes=100 * MIB,
)


@pytest.mark.parametrize(("shown", "found"), [
    (NEW, OWN),
    (NEW.replace("Active device 1", "spare"), replace(OWN, role=None)),
    (NEW.replace("any:root", "n1:root  (local to host n1)"), OWN),
    (NEW.replace("any:root", "root"), OWN),
    (NEW.replace("raid1", "linear"), replace(OWN, level=-1)),
    (NEW.replace("101376 KiB", "101888 KiB"), OWN),
    (STRIPES, replace(OWN, level=0, array_bytes=0)),
    (OLD, OWN_OLD),
    (OLD_SPARE, replace(OWN_OLD, role=None)),
    (FIRMWARE, None),
    (MBR, None),
])  # fmt: skip
def test_a_member_tells_of_its_array(shown, found):
    assert parse_examined("/dev/vda2", shown) == found


def test_an_array_has_its_name_from_the_configuration():
    assert conf_line(ARRAY) == (
        "ARRAY /dev/md/root metadata=1.2"
        " UUID=11223344:55667788:99aabbcc:ddeeff00"
    )
