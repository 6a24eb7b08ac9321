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

"""What tempest asks of a plug-in."""

from pathlib import Path

from tempest.test_discover import plugins

from ipa_partitions_tempest_plugin import config


class IpaPartitionsTempestPlugin(plugins.TempestPlugin):
    """Tells tempest where tests and options are."""

    def load_tests(self):
        """Return the folder of the tests, and the one it is below."""
        package = Path(__file__).parent
        return str(package / "tests"), str(package.parent)

    def register_opts(self, conf):
        """Register our options."""
        conf.register_opt(config.service_option, group="service_available")
        conf.register_group(config.group)
        conf.register_opts(config.options, group=config.group)

    def get_opt_lists(self):
        """Return the options, for sample files."""
        return [
            (config.group.name, config.options),
            ("service_available", [config.service_option]),
        ]
