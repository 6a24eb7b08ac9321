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

"""What of this folder ``make test`` runs: a case for each thing there is.

The rest is more of the same under emulation, which takes its time: other
sizes, versions and orders. ``make test-vm`` runs all.
"""

from __future__ import annotations

# Files, tests, or one row of a test: what a node begins with, in this folder.
QUICK = (
    "test_two_systems.py",
    "test_boot_firmware.py::test_it_boots_under_every_firmware[two images]",
    "test_fallback.py::test_a_system_that_comes_up_stays[bios]",
    "test_fallback.py::test_the_next_boot_after_one_that_fails_is_the_system"
    "_before[panic-uefi]",
    "test_fallback.py::test_a_kernel_that_cannot_be_loaded_is_left_at_once"
    "[uefi]",
    "test_later_kernels.py::test_links_lead_to_a_kernel_of_later[secure]",
    "test_later_kernels.py::test_an_entry_leads_to_a_kernel_of_later[bios]",
    "test_own_menu.py::test_it_boots_by_its_own_menu[secure]",
    "test_uefi_entries.py",
    "test_boot_storage.py::test_a_mirror_boots_with_either_disk_gone",
    "test_boot_storage.py::test_a_group_with_boot_in_it_boots",
    "test_boot_storage.py::test_a_subvolume_boots",
    "test_rows.py",
    "test_verify.py",
    "test_policies.py::test_only_what_is_not_kept_is_made_anew",
    "test_policies.py::test_a_root_in_a_group_is_updated_in_place[tar.zst]",
    "test_policies.py::test_one_system_of_two_in_a_group_is_replaced",
    "test_policies.py::test_what_was_changed_on_the_disks_is_told",
    "test_layouts.py::test_a_layout_is_on_the_disks_as_planned[512",
    "test_clean.py::test_what_was_there_is_gone[a tower]",
    "test_clean.py::test_what_was_there_is_gone[the arrays of firmware]",
    "test_clean.py::test_others_stay_up",
    "test_clean.py::test_what_is_in_use_or_elsewhere_too_is_refused"
    "[a mounted volume]",
    "test_clean.py::test_what_is_in_use_or_elsewhere_too_is_refused"
    "[a group on an array]",
    "test_md.py::test_an_array_is_exactly_as_large_as_computed[0-3-0]",
    "test_md.py::test_an_array_is_exactly_as_large_as_computed[1-3-1]",
    "test_md.py::test_an_array_is_exactly_as_large_as_computed[4-3-0]",
    "test_md.py::test_an_array_is_exactly_as_large_as_computed[6-4-0]",
    "test_lvm.py::test_every_layout_takes_exactly_what_was_computed",
    "test_luks.py::test_only_the_tpm_has_the_key",
    "test_luks.py::test_systemd_opens_it_by_its_line_of_crypttab",
    "test_bcache.py::test_a_set_is_as_large_as_its_backing_device_allows"
    "[none-True]",
    "test_bcache.py::test_what_was_written_is_there_again",
    "test_rig.py::test_the_disks_can_be_looked_at_afterwards",
)
