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

"""The documents of the scenarios."""

NAMES = ("first", "second")


def two_systems(url, sha256, policy="clean", keep_first=True):
    """Return two systems of one image, and data that both mount."""
    roots = [
        {
            "type": "partition",
            "name": name,
            "size": "30%",
            "mount": "/",
            "images": [name],
            "keep_data": keep_first or name != NAMES[0],
        }
        for name in NAMES
    ]
    data = {
        "type": "partition",
        "name": "data",
        "size": "remaining",
        "mount": "/data",
        "images": list(NAMES),
    }
    image = {
        "image_pull_url": url,
        "os_hash_algo": "sha256",
        "os_hash_value": sha256,
    }
    return {
        "partitions_policy": policy,
        "partitions": [
            {
                "type": "disk",
                "id": {"type": "os_install"},
                "volumes": [*roots, data],
            }
        ],
        "images": [{"name": name, **image} for name in NAMES],
    }


def step(name, **args):
    """Return a step; a deploy step has a priority as well."""
    return {"interface": "deploy", "step": name, "args": args}


def uuids(boot_info):
    """Return the UUIDs of the roots, by the names of their images."""
    return {e["os_id"]: e["root_uuid"] for e in boot_info["elements"]}


def default(boot_info):
    """Return the name of the image that boots."""
    return boot_info["elements"][boot_info["current_element"]]["os_id"]
