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

"""What of this folder ``make test`` runs.

All of it takes more than an hour under emulation: ``make test-vm``.
"""

from __future__ import annotations

# Files, tests, or one row of a test: what a node begins with, in this folder.
QUICK = (
    "test_two_systems.py",
    "test_boot_firmware.py::test_it_boots_under_every_firmware[two images]",
    "test_fallback.py::test_the_next_boot_after_one_that_fails_is_the_system"
    "_before[panic-bios]",
    "test_later_kernels.py::test_links_lead_to_a_kernel_of_later[secure]",
    "test_later_kernels.py::test_an_entry_leads_to_a_kernel_of_later[bios]",
    "test_own_menu.py::test_it_boots_by_its_own_menu[uefi]",
    "test_layouts.py::test_a_layout_is_on_the_disks_as_planned[512-bcache]",
    "test_layouts.py::test_a_layout_is_on_the_disks_as_planned[512-encrypted]",
    "test_clean.py::test_what_was_there_is_gone[a tower]",
    "test_clean.py::test_what_was_there_is_gone[the arrays of firmware]",
    "test_clean.py::test_others_stay_up",
    "test_clean.py::test_what_is_in_use_or_elsewhere_too_is_refused"
    "[a group on an array]",
    "test_md.py::test_an_array_is_exactly_as_large_as_computed[5-3-1]",
    "test_md.py::test_the_name_of_one_that_is_no_more_is_free[md99]",
    "test_lvm.py::test_every_layout_takes_exactly_what_was_computed",
    "test_luks.py::test_a_key_file_opens_all_but_the_header[512]",
    "test_bcache.py::test_a_set_is_as_large_as_its_backing_device_allows"
    "[none-True]",
    "test_bcache.py::test_what_was_written_is_there_again",
)
