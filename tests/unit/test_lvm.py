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

"""LVM: what volumes take, the commands that make them, what LVM reports."""

from __future__ import annotations

import pytest

from ipa_partitions.disk.lvm import (
    EXTENT_BYTES,
    Group,
    Volume,
    Wanted,
    consumed_extents,
    create_argv,
    extents,
)
from ipa_partitions.disk.lvm_report import parse_report
from ipa_partitions.disk.size import MIB

GIB = 1024 * MIB


def wanted(layout, size_bytes, stripes=None, mirrors=None, pool=None):
    return Wanted("vg0", "lv", layout, size_bytes, stripes, mirrors, pool)


@pytest.mark.parametrize(("pv_mib", "count"), [
    (0,      0),
    (4,      0),
    (5,      1),
    (8,      1),
    (9,      2),
    (200,   49),
    (10240, 2559),
])  # fmt: skip
def test_a_physical_volume_has_the_extents_of_spec_2_5(pv_mib, count):
    assert extents(pv_mib * MIB) == count


@pytest.mark.parametrize(("volume", "count"), [
    (wanted("linear", 20 * MIB),              5),
    (wanted("linear", 21 * MIB),              6),
    (wanted("striped", 24 * MIB, stripes=3),  6),
    (wanted("raid1", 20 * MIB, mirrors=1),   12),
    (wanted("raid1", 12 * MIB, mirrors=2),   12),
    (wanted("thin", 400 * MIB, pool="pool"),  0),
    # The pool, its metadata, and as much to repair that with.
    (wanted("thin-pool", 40 * MIB),          10 + 2),
    (wanted("thin-pool", 4 * GIB),         1024 + 2),
    (wanted("thin-pool", 4100 * MIB),      1025 + 4),
    (wanted("thin-pool", 128 * GIB),      32768 + 64),
    (wanted("thin-pool", 1024 * GIB),    262144 + 64),
])  # fmt: skip
def test_a_volume_takes_more_than_its_size(volume, count):
    assert consumed_extents(volume) == count


def test_a_larger_pool_never_takes_less():
    taken = [
        consumed_extents(wanted("thin-pool", count * EXTENT_BYTES))
        for count in range(1, 80_000)
    ]
    assert taken == sorted(taken)


COMMON = ("lvcreate", "--yes", "--name", "lv", "--type")
WIPED = ("--wipesignatures", "y", "--zero", "y")


@pytest.mark.parametrize(("volume", "argv"), [
    (
        wanted("linear", 20 * MIB),
        (*COMMON, "linear", "--extents", "5", *WIPED, "vg0"),
    ),
    (
        wanted("striped", 24 * MIB, stripes=3),
        (
            *COMMON, "striped", "--extents", "6", *WIPED,
            "--stripes", "3", "--stripesize", "64k", "vg0",
        ),
    ),
    (
        wanted("raid1", 20 * MIB, mirrors=2),
        (*COMMON, "raid1", "--extents", "5", *WIPED, "--mirrors", "2", "vg0"),
    ),
    (
        wanted("thin-pool", 40 * MIB),
        (
            *COMMON, "thin-pool", "--extents", "10",
            "--chunksize", "64k", "--poolmetadatasize", "4096k",
            "--poolmetadataspare", "y", "vg0",
        ),
    ),
    (
        wanted("thin-pool", 1024 * GIB),
        (
            *COMMON, "thin-pool", "--extents", "262144",
            "--chunksize", "512k", "--poolmetadatasize", "131072k",
            "--poolmetadataspare", "y", "vg0",
        ),
    ),
    (
        wanted("thin", 400 * MIB, pool="pool"),
        (
            *COMMON, "thin",
            "--thinpool", "pool", "--virtualsize", "409600k", "vg0",
        ),
    ),
])  # fmt: skip
def test_the_command_leaves_nothing_to_lvm(volume, argv):
    assert create_argv(volume) == argv


# As LVM 2.03.16 has it: one disk of three is not there, another is in no
# group, and the volume "big" has two segments.
SHOWN = """\
  {
      "report": [
          {
              "vg": [
                  {"vg_name":"vg0", "vg_uuid":"i7RRQY", "vg_extent_size":"4194304"}
              ]
              ,
              "pv": [
                  {"pv_name":"/dev/vdb"},
                  {"pv_name":"/dev/vdc"},
                  {"pv_name":"[unknown]"}
              ]
              ,
              "lv": [
                  {"lv_name":"big", "lv_uuid":"9AdQ0n", "lv_size":"251658240", "lv_active":"", "pool_lv":""},
                  {"lv_name":"pool", "lv_uuid":"QjbLwp", "lv_size":"41943040", "lv_active":"active", "pool_lv":""},
                  {"lv_name":"r1", "lv_uuid":"KYuCSl", "lv_size":"20971520", "lv_active":"active", "pool_lv":""},
                  {"lv_name":"st", "lv_uuid":"cdQKqJ", "lv_size":"25165824", "lv_active":"active", "pool_lv":""},
                  {"lv_name":"t", "lv_uuid":"CrNMtc", "lv_size":"419430400", "lv_active":"active", "pool_lv":"pool"},
                  {"lv_name":"r5", "lv_uuid":"B5kXzm", "lv_size":"8388608", "lv_active":"active", "pool_lv":""}
              ]
              ,
              "pvseg": [
                  {"pv_name":"/dev/vdb"}
              ]
              ,
              "seg": [
                  {"lv_uuid":"9AdQ0n", "segtype":"linear", "stripes":"1", "data_copies":"1"},
                  {"lv_uuid":"9AdQ0n", "segtype":"linear", "stripes":"1", "data_copies":"1"},
                  {"lv_uuid":"CrNMtc", "segtype":"thin", "stripes":"0", "data_copies":"1"},
                  {"lv_uuid":"KYuCSl", "segtype":"raid1", "stripes":"2", "data_copies":"2"},
                  {"lv_uuid":"QjbLwp", "segtype":"thin-pool", "stripes":"1", "data_copies":"1"},
                  {"lv_uuid":"cdQKqJ", "segtype":"striped", "stripes":"2", "data_copies":"1"},
                  {"lv_uuid":"B5kXzm", "segtype":"raid5", "stripes":"3", "data_copies":"1"}
              ]
          }
          ,
          {
              "pv": [
                  {"pv_name":"/dev/vde"}
              ]
              ,
              "pvseg": [
                  {"pv_name":"/dev/vde"}
              ]
          }
      ]
  }
"""  # noqa: E501


def test_a_report_tells_of_groups_and_their_volumes():
    names = {"/dev/vdc": "/dev/md/pv"}
    assert parse_report(SHOWN, names) == (
        Group(
            name="vg0",
            uuid="i7RRQY",
            extent_bytes=4 * MIB,
            pvs=("/dev/vdb", "/dev/md/pv", "unknown"),
            volumes=(
                Volume(
                    "big", "9AdQ0n", 240 * MIB, "linear",
                    None, None, None, is_active=False,
                ),
                Volume(
                    "pool", "QjbLwp", 40 * MIB, "thin-pool",
                    None, None, None, is_active=True,
                ),
                Volume(
                    "r1", "KYuCSl", 20 * MIB, "raid1",
                    None, 1, None, is_active=True,
                ),
                Volume(
                    "st", "cdQKqJ", 24 * MIB, "striped",
                    2, None, None, is_active=True,
                ),
                Volume(
                    "t", "CrNMtc", 400 * MIB, "thin",
                    None, None, "pool", is_active=True,
                ),
                Volume(
                    "r5", "B5kXzm", 8 * MIB, "raid5",
                    None, None, None, is_active=True,
                ),
            ),
        ),
    )  # fmt: skip


def test_nothing_there_is_no_group():
    assert parse_report('{"report": []}', {}) == ()
