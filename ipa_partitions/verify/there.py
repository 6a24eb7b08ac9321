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

"""What is on the disks that a document is about."""

from __future__ import annotations

from ipa_partitions.disk.inventory import Inventory, read_inventory
from ipa_partitions.resolved import ResolvedLayout


def inventory_of(resolved: ResolvedLayout) -> Inventory:
    """Return what is on the disks of ``resolved``; nothing is written."""
    cached = {each.spec.device: each.spec.backing for each in resolved.bcaches}
    return read_inventory(
        {disk.device: disk.sector_bytes for disk in resolved.disks},
        {
            member: array.spec.device
            for array in resolved.arrays
            for member in (*array.spec.members, *array.spec.spares)
        },
        {
            cached.get(each.home, each.home): each.luks
            for each in resolved.volumes
            if each.luks
        },
    )
