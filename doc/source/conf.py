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

"""How the documentation is built: Sphinx's stock theme, two directives."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "ext"))

project = "ipa-partitions"
author = "the ipa-partitions authors"
copyright = author
extensions = ["directives"]
templates_path: list[str] = []
exclude_patterns: list[str] = []
nitpicky = True

html_theme = "alabaster"
html_theme_options = {
    "description": "Partitions, several operating systems and one GRUB,"
    " for Ironic Python Agent",
    "page_width": "1100px",
    "fixed_sidebar": True,
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_show_sourcelink = False
html_static_path: list[str] = []
# One highlighter for what is no language: plans, errors, captures.
highlight_language = "none"
