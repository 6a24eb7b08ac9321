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

"""What the document can already say and this program cannot yet do."""

from __future__ import annotations

from collections.abc import Iterator

from ipa_partitions import registry
from ipa_partitions.errors import MachineError
from ipa_partitions.layout import model
from ipa_partitions.urls import url_scheme


def refusals(layout: model.Layout) -> Iterator[MachineError]:
    """Yield everything of ``layout`` that is not supported yet."""
    for at, what in _unsupported(layout):
        yield MachineError(at, f"{what} is not supported yet")


def _unsupported(layout: model.Layout) -> Iterator[tuple[str, str]]:
    for image in layout.images:
        yield from _unsupported_image(layout, image)


def _unsupported_image(
    layout: model.Layout, image: model.Image
) -> Iterator[tuple[str, str]]:
    scheme = url_scheme(image.url)
    url_key = "urls[0]" if layout.form == "classic" else "image_pull_url"
    # The catalog is no source: it says which URL is meant.
    if scheme not in {*registry.load("sources"), "catalog"}:
        yield f"{image.at}.{url_key}", f"the source {scheme}"
    if image.type == "whole-disk":
        yield f"{image.at}.image_type", "a whole-disk image"
