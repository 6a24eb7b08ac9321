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

"""Hardware types that allow the deploy interface ``partitions``.

Ironic's own refuse a deploy interface that they do not know.
"""

from __future__ import annotations

from typing import Any

from ironic.conf import CONF
from ironic.drivers.ipmi import IPMIHardware
from ironic.drivers.redfish import RedfishHardware
from oslo_config import cfg

from ipa_partitions.conductor.deploy import PartitionsDeploy
from ipa_partitions.conductor.rescue import PartitionsRescue

# Ironic looks for this option in a group named like the node's driver.
CONF.register_opts(
    [
        cfg.StrOpt(
            "verify_ca",
            help=(
                "The default of driver_info/redfish_verify_ca: a file or"
                " folder of trusted certificates."
            ),
        )
    ],
    group="partitions-redfish",
)


class PartitionsRedfish(RedfishHardware):  # type: ignore[misc]
    """``redfish``, with one deploy and one rescue interface more."""

    @property
    def supported_deploy_interfaces(self) -> list[type[Any]]:
        """Ours, the default if it is enabled, and those of redfish."""
        return [PartitionsDeploy, *super().supported_deploy_interfaces]

    @property
    def supported_rescue_interfaces(self) -> list[type[Any]]:
        """Those of redfish, and ours for nodes that name it."""
        return [*super().supported_rescue_interfaces, PartitionsRescue]


class PartitionsIPMI(IPMIHardware):  # type: ignore[misc]
    """``ipmi``, with one deploy and one rescue interface more."""

    @property
    def supported_deploy_interfaces(self) -> list[type[Any]]:
        """Ours, the default if it is enabled, and those of ipmi."""
        return [PartitionsDeploy, *super().supported_deploy_interfaces]

    @property
    def supported_rescue_interfaces(self) -> list[type[Any]]:
        """Those of ipmi, and ours for nodes that name it."""
        return [*super().supported_rescue_interfaces, PartitionsRescue]
