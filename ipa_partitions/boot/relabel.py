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

"""SELinux, in systems whose files came without its labels."""

from __future__ import annotations

from ipa_partitions.boot.image_text import read_assignments
from ipa_partitions.disk.rootfs import RootFs


def mark_for_relabel(root: RootFs, written: str) -> None:
    """Let a system that uses SELinux label all files when it first boots.

    Only where the file ``written``, which is ours, has no label of one that
    was there before: then the image had none, or lacked the file.
    """
    settings = dict(read_assignments(root, "/etc/selinux/config"))
    is_used = settings.get("SELINUX") in ("enforcing", "permissive")
    if is_used and not root.has_label(written):
        root.write("/.autorelabel", b"")
