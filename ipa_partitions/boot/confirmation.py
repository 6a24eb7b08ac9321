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

"""What a deployed system runs once it is up: SPEC 3.6.

It needs neither this program nor GRUB's, only mount and a shell.
"""

from __future__ import annotations

UNIT = "ipa-partitions-confirm.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
WANTS_PATH = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
SCRIPT_PATH = "/etc/ipa-partitions/confirm"


def render_unit() -> str:
    """Return the unit."""
    return f"""\
# Written by ipa-partitions.
[Unit]
Description=Confirm that this system is up, so that it stays the default
After=multi-user.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {SCRIPT_PATH}

[Install]
WantedBy=multi-user.target
"""


def render_script(multiboot_uuid: str, grub_id: int) -> str:
    """Return the script of the system that is entry ``grub_id``.

    It keeps what else is in GRUB's environment, and replaces that by a
    rename, so that a loss of power finds the old or the new one.
    """
    return f"""\
#!/bin/sh
# Written by ipa-partitions. This system came up: if it is the one on trial,
# it becomes the default of the boot menu; if not, the trial has failed.
set -eu
mine={grub_id}
where=$(mktemp -d)
mount -o nodev,nosuid,noexec UUID={multiboot_uuid} "$where"
trap 'umount "$where" && rmdir "$where"' EXIT
for environment in "$where/grub/grubenv" "$where/grub2/grubenv"; do
    [ -f "$environment" ] && break
done
trial=$(sed -n 's/^trial_entry=//p' "$environment")
[ -n "$trial" ] || exit 0
if [ "$trial" != "$mine" ] && grep -q '^next_entry=.' "$environment"; then
    exit 0  # chosen while this system came up, and not booted yet
fi
{{
    echo '# GRUB Environment Block'
    if [ "$trial" = "$mine" ]; then
        sed -e '/^#/d' -e '/^trial_entry=/d' -e '/^saved_entry=/d' \\
            "$environment"
        echo "saved_entry=$mine"
    else
        sed -e '/^#/d' -e '/^trial_entry=/d' "$environment"
    fi
    printf '%1024s' '' | tr ' ' '#'
}} | head -c 1024 > "$environment.new"
sync "$environment.new"
mv "$environment.new" "$environment"
sync -f "$where"
"""
