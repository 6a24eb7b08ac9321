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

"""A plan for a program: SPEC 4.4, the same plan to the same bytes."""

from __future__ import annotations

from typing import Any

from ipa_partitions.layout.model import NONE
from ipa_partitions.plan import Plan, action_name
from ipa_partitions.resolved import Array, Bcache, Disk, Group
from ipa_partitions.show.rows import Row, rows


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain JSON."""
    return {
        "disks": [_disk(disk) for disk in plan.resolved.disks],
        "groups": [_group(group) for group in plan.resolved.groups],
        "arrays": [
            *map(_array, plan.resolved.arrays),
            *map(_bcache, plan.resolved.bcaches),
        ],
        "actions": actions_json(plan),
        "warnings": list(plan.warnings),
    }


def actions_json(plan: Plan) -> list[dict[str, str]]:
    """Return what the plan would do, in order."""
    return [
        {"action": action_name(action), "text": str(action)}
        for action in plan.actions
    ]


def _disk(disk: Disk) -> dict[str, Any]:
    return {
        "device": disk.device,
        "size_bytes": disk.size_bytes,
        "sector_bytes": disk.sector_bytes,
        "table": disk.table,
        "partitions": [_partition(row) for row in rows(disk)],
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "size_bytes": group.size_bytes,
        "volumes": [
            {
                "name": lv.spec.name,
                "size_bytes": lv.spec.size_bytes,
                "mount": lv.volume.content.mount,
                "file_system": lv.volume.content.file_system,
                "images": list(lv.volume.content.images),
            }
            for lv in group.volumes
        ],
    }


def _array(array: Array) -> dict[str, Any]:
    spec, volume = array.spec, array.volume
    return {
        "name": spec.name,
        "level": spec.level,
        "members": [*spec.members, *spec.spares],
        "size_bytes": array.size_bytes,
        "mount": volume.content.mount if volume else NONE,
        "file_system": volume.content.file_system if volume else NONE,
    }


def _bcache(bcache: Bcache) -> dict[str, Any]:
    return {
        "name": bcache.volume.name,
        "level": "bcache",
        "members": [bcache.spec.backing, *bcache.spec.caches],
        "size_bytes": bcache.volume.size_bytes,
        "mount": bcache.volume.content.mount,
        "file_system": bcache.volume.content.file_system,
    }


def _partition(row: Row) -> dict[str, Any]:
    return {
        "number": row.number,
        "name": row.name,
        "type": row.kind,
        "start_bytes": row.start_bytes,
        "size_bytes": row.size_bytes,
        "mount": row.mount,
        "file_system": row.file_system,
        "keep_data": row.keep_data,
        "images": list(row.images),
    }
