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

"""What our steps take, as Ironic shows it, on both of its sides."""

from __future__ import annotations

ARGUMENTS = {
    "image_info": {
        "description": (
            "The document: disks, volumes, images. By default the node's"
            " instance_info['image_info'], else its"
            " extra['default_image_info'], else the ramdisk's own."
        ),
        "required": False,
    },
    "layout": {
        "description": (
            "The name of a document that the node has in extra['layouts'],"
            " or the ramdisk in /etc/ipa-partitions/layouts; instead of"
            " image_info."
        ),
        "required": False,
    },
    "configdrive": {
        "description": (
            "The config drive, as Ironic sends it; by default the node's"
            " instance_info['configdrive']."
        ),
        "required": False,
    },
}

SWITCH_ARGUMENTS = {
    "image": {
        "description": (
            "What is to boot: the name or UUID of an image, or its grub_id"
            " in boot-info."
        ),
        "required": True,
    },
    "once": {
        "description": (
            "True to boot it the next time only. False, the default, makes"
            " it what boots from now on."
        ),
        "required": False,
    },
}
