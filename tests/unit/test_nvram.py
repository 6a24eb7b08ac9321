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

from __future__ import annotations

import pytest

from ipa_partitions.boot.nvram import BootEntry, Nvram, new_order, parse

# Of efibootmgr 17 and of 18, which shows the path without --verbose, too.
SHOWN = """\
BootCurrent: 0001
Timeout: 0 seconds
BootOrder: 0001,0003,0000
Boot0000* UiApp	FvVol(7cb8bdc9)/FvFile(462caa21)
Boot0001* UEFI PXEv4 (MAC:525400123456)	Pci(0x3,0x0)N.....YM....R,Y.
Boot0003* ipa-partitions	HD(1,GPT,0b,0x800,0x100000)/File(\\EFI\\x.efi)
Boot0004  debian	HD(1,GPT,0c)/File(\\EFI\\debian\\shim.efi)
      dp: 04 01 2a 00
MirroredPercentageAbove4G: 0.00
"""


def test_the_entries_and_their_order_are_read():
    found = parse(SHOWN)
    assert found.order == ("0001", "0003", "0000")
    assert [e.number for e in found.entries] == [
        "0000",
        "0001",
        "0003",
        "0004",
    ]
    assert found.entries[2] == BootEntry(
        "0003",
        "ipa-partitions",
        "HD(1,GPT,0b,0x800,0x100000)/File(\\EFI\\x.efi)",
    )
    assert found.ours == ("0003",)


@pytest.mark.parametrize("shown", ["", "BootCurrent: 0000\n", "BootOrder: \n"])
def test_firmware_may_have_nothing(shown):
    assert parse(shown) == Nvram((), ())


def nvram(order: str, **labels: str) -> Nvram:
    entries = tuple(
        BootEntry(number[1:], label, "") for number, label in labels.items()
    )
    return Nvram(entries, tuple(order.split()))


@pytest.mark.parametrize(("before", "after", "order"), [
    # efibootmgr has put the new ones first, as it does
    (nvram("0001 0000", n0000="a", n0001="PXE"),
     nvram("0003 0002 0001 0000", n0000="a", n0001="PXE",
           n0002="ipa-partitions", n0003="ipa-partitions"),
     ("0003", "0002", "0001", "0000")),
    # firmware has put what it was booted by first, or lost the order
    (nvram("0001 0000", n0000="a", n0001="PXE"),
     nvram("0001 0002", n0000="a", n0001="PXE", n0002="ipa-partitions"),
     ("0002", "0001", "0000")),
    # an entry is gone meanwhile
    (nvram("0001 0000", n0000="a", n0001="PXE"),
     nvram("0002 0001", n0001="PXE", n0002="ipa-partitions"),
     ("0002", "0001")),
    # one that was in no order stays in none
    (nvram("0001", n0001="PXE", n0004="debian"),
     nvram("0002 0001", n0001="PXE", n0004="debian",
           n0002="ipa-partitions"),
     ("0002", "0001")),
])  # fmt: skip
def test_ours_come_first_and_the_others_stay(before, after, order):
    assert new_order(before, after) == order
