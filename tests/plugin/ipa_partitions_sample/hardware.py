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

"""A hardware manager that knows which disk to install on."""

from __future__ import annotations

import os

from ironic_python_agent import hardware

# The device; without one this manager has nothing to say.
VARIABLE = "IPA_PARTITIONS_TEST_DISK"


class SampleHardwareManager(hardware.HardwareManager):
    """Knows better than Ironic's rules, which take no loop device."""

    def evaluate_hardware_support(self) -> int:
        """Return more than the manager of ipa-partitions itself."""
        if VARIABLE not in os.environ:
            return hardware.HardwareSupport.NONE
        return hardware.HardwareSupport.SERVICE_PROVIDER + 1

    def get_os_install_device(self, permit_refresh: bool = False) -> str:
        """Return the device that it was told."""
        return os.environ[VARIABLE]
