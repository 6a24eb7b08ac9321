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

"""Directives that put into a page what the program says of itself."""

from __future__ import annotations

import program
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ipa_partitions import layout


class DocumentObject(SphinxDirective):
    """``.. document-object:: Disk``: a table of the object's keys."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        lines = program.object_keys(layout.json_schema(), self.arguments[0])
        return self.parse_text_to_nodes("\n".join(lines))


class CommandHelp(SphinxDirective):
    """``.. command-help:: boot set``: what ``--help`` prints."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        text = program.help_text(*" ".join(self.arguments).split())
        return [nodes.literal_block(text, text, language="none")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register them."""
    app.add_directive("document-object", DocumentObject)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
