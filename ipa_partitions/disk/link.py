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

"""Links below /dev, where udev makes and removes some at the same time."""

from __future__ import annotations

from pathlib import Path


def make_link(link: str, node: str) -> None:
    """Have ``link`` lead to ``node``, whatever it was before."""
    path = Path(link)
    fresh = path.with_name(f".{path.name}")
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(node)
            fresh.replace(path)
        except FileNotFoundError:
            # udev has taken its last link away, and the directory.
            continue
        return
