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

"""A node, through Ironic's API."""

import json
import time
from urllib.parse import quote

from tempest.lib import exceptions
from tempest.lib.common import rest_client

API_VERSION = "1.87"


class BaremetalClient(rest_client.RestClient):
    """As much of Ironic's API as the scenarios take."""

    api_microversion_header_name = "X-OpenStack-Ironic-API-Version"

    def get_headers(self, accept_type=None, send_type=None):
        """Return the headers of every request, with the API's version."""
        headers = super().get_headers(accept_type, send_type)
        headers[self.api_microversion_header_name] = API_VERSION
        return headers

    def nodes(self, state):
        """Return the UUIDs of the nodes in a provision state."""
        _, body = self.get(f"/v1/nodes?provision_state={quote(state)}")
        return [node["uuid"] for node in json.loads(body)["nodes"]]

    def show(self, uuid):
        """Return a node."""
        _, body = self.get(f"/v1/nodes/{uuid}")
        return json.loads(body)

    def update(self, uuid, **values):
        """Replace fields of a node as a whole."""
        patch = [
            {"op": "add", "path": f"/{key}", "value": value}
            for key, value in values.items()
        ]
        self.patch(f"/v1/nodes/{uuid}", json.dumps(patch))

    def provision(self, uuid, target, **body):
        """Ask for a provision state."""
        self.put(
            f"/v1/nodes/{uuid}/states/provision",
            json.dumps({"target": target, **body}),
        )


def wait_for_state(client, uuid, state, timeout_s, interval_s, sleep=None):
    """Return the node when it is in ``state``.

    Raises TimeoutException, or Conflict with the node's last error if it
    ends in another state.
    """
    sleep = sleep or time.sleep
    for _ in range(max(1, timeout_s // max(1, interval_s))):
        node = client.show(uuid)
        if (
            node["provision_state"] == state
            and not node["target_provision_state"]
        ):
            return node
        if node["provision_state"].endswith("failed"):
            raise exceptions.UnexpectedResponseCode(
                f"{node['provision_state']}: {node['last_error']}"
            )
        sleep(interval_s)
    raise exceptions.TimeoutException(
        f"{uuid} is {node['provision_state']}, not {state}"
    )
