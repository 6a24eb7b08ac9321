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

"""The rescue interface ``partitions``: afterwards a node boots as before.

Ironic's own has the boot interface boot the disk, wherever the deployed
system was booted from.
"""

from __future__ import annotations

from typing import Any

from ironic.drivers.modules import agent

from ipa_partitions.conductor import follow_up


class PartitionsRescue(agent.AgentRescue):  # type: ignore[misc]
    """``agent``, and the follow-up boot that the node asks for."""

    def unrescue(self, task: Any) -> Any:
        """End the rescue and boot what was deployed, from where it was."""
        follow_up.follow(task)
        return super().unrescue(task)
