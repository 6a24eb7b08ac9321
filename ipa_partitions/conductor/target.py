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

"""What an instance wants to be booted by."""

from __future__ import annotations

from typing import Any, Final

LOCAL: Final = "local"
KEY: Final = "partitions_boot_target"


def target(node: Any) -> str:
    """Return what the deployed system is to be booted by."""
    return node.instance_info.get(KEY) or LOCAL
