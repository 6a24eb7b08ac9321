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

"""The options of the scenarios, in tempest.conf."""

from oslo_config import cfg

service_option = cfg.BoolOpt(
    "ipa_partitions",
    default=False,
    help="Whether the nodes' ramdisk has ipa-partitions.",
)

group = cfg.OptGroup("ipa_partitions", title="Scenarios of ipa-partitions")

options = [
    cfg.StrOpt(
        "image_url",
        help="The image of a filesystem with a system in it; none: skip.",
    ),
    cfg.StrOpt("image_sha256", help="Its sha256."),
    cfg.StrOpt(
        "node",
        help="The node to use, which must be available; none: the first.",
    ),
    cfg.IntOpt(
        "provision_timeout",
        default=1800,
        help="Seconds for a deployment, or the steps of service.",
    ),
    cfg.IntOpt("poll_interval", default=5, help="Seconds between requests."),
]
