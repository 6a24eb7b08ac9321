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

"""Where things are, and addresses: fixed, as the network is ours alone."""

from __future__ import annotations

import os
from pathlib import Path

from tests.kept import CACHE

# Everything of one run; `make gate-clean` removes it.
STATE = Path(os.environ.get("IPA_PARTITIONS_GATE", CACHE / "gate")).resolve()
LOGS = STATE / "log"
HTTP = STATE / "http"
DISK = STATE / "disk.raw"
SERIAL = LOGS / "serial.log"

# What slirp calls the host; inside the namespace it is an address of lo, as
# the conductor asks for its own images, too.
HOST = "10.0.2.2"
API_PORT = 6385
HTTP_PORT = 8089
IMAGES_PORT = 8090
REDFISH_PORT = 8000
AGENT_PORT = 19999

API = f"http://127.0.0.1:{API_PORT}"
REDFISH = f"http://127.0.0.1:{REDFISH_PORT}"
IMAGES = f"http://{HOST}:{IMAGES_PORT}"

SYSTEM = "11111111-2222-3333-4444-555555555555"
MAC = "52:54:00:aa:bb:01"
NODE = "gate"
