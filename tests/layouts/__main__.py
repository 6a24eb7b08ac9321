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

"""Write the golden plans anew."""

from __future__ import annotations

from ipa_partitions.deploy import Request, make_plan
from ipa_partitions.show.as_text import plan_text
from tests import layouts


def golden(name: str) -> str:
    """Return what ``ipa-partitions plan`` shows of the layout."""
    request = Request(
        layouts.document(name),
        firmware="bios",
        seed=layouts.SEED,
        imagined=layouts.imagined(name),
    )
    return plan_text(make_plan(request))


if __name__ == "__main__":
    for each in layouts.DISKS:
        (layouts.FOLDER / f"{each}.plan").write_text(golden(each))
