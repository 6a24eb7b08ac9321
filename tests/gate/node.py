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

"""The node, as Ironic's API shows and drives it, and its serial port."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from tests import systems
from tests.gate import places
from tests.gate.stack import until
from tests.vm.qemu import Facts, _facts

# Before 1.108 no runbook is taken for service.
HEADERS = {"X-OpenStack-Ironic-API-Version": "1.108"}

# Minutes, unless the machine has much else to do.
DEPLOY_S = 2400
BOOT_S = 900


class Refused(AssertionError):  # noqa: N818
    """Ironic refused a request; ``text`` is its answer."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(f"{response.status_code}: {response.text}")
        self.status = response.status_code
        self.text = response.text


def api(method: str, path: str, body: Any = None) -> Any:
    """Return the answer of Ironic; raises Refused."""
    response = requests.request(
        method, f"{places.API}{path}", json=body, headers=HEADERS, timeout=60
    )
    if not response.ok:
        raise Refused(response)
    return response.json() if response.content else None


@dataclass
class Node:
    """One node; ``trail`` is what it went through since the last request."""

    uuid: str
    trail: list[tuple[float, str]] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return what ``baremetal node show`` shows."""
        return dict(api("GET", f"/v1/nodes/{self.uuid}"))

    def set(self, **values: Any) -> None:
        """Replace fields, such as ``instance_info``, as a whole."""
        patch = [
            {"op": "add", "path": f"/{key}", "value": value}
            for key, value in values.items()
        ]
        until("the node is not locked", lambda: self._patched(patch))

    def _patched(self, patch: list[dict[str, Any]]) -> bool:
        try:
            api("PATCH", f"/v1/nodes/{self.uuid}", patch)
        except Refused as error:
            # Some changes conflict with the state that the node is in.
            if "is locked by" not in error.text:
                raise
            return False
        return True

    @contextmanager
    def maintained(self) -> Iterator[None]:
        """Have it in maintenance: an active node changes interfaces then."""
        path = f"/v1/nodes/{self.uuid}/maintenance"
        api("PUT", path, {"reason": "the gate"})
        yield
        api("DELETE", path)

    def provision(
        self,
        target: str,
        until_state: str,
        timeout_s: float = DEPLOY_S,
        **body: Any,
    ) -> dict[str, Any]:
        """Ask for ``target``; return the node when it has come so far.

        Fails if it ends in another state, with the node's history.
        """
        self.trail = []
        started = time.monotonic()
        api(
            "PUT",
            f"/v1/nodes/{self.uuid}/states/provision",
            {"target": target, **body},
        )
        while (passed := time.monotonic() - started) < timeout_s:
            shown = self.shown()
            self._note(passed, shown)
            state = shown["provision_state"]
            if state == until_state and not shown["target_provision_state"]:
                return shown
            if state.endswith("failed") and state != until_state:
                raise AssertionError(f"{state}: {self.errors()}")
            if state == until_state and state.endswith("failed"):
                return shown
            time.sleep(1)
        raise AssertionError(f"after {timeout_s:.0f} s: {self.trail[-1]}")

    def available(self) -> None:
        """Undeploy what is there, and forget what was asked of the node."""
        if self.shown()["provision_state"] != "available":
            self.provision("deleted", "available", 600)
        self.set(instance_info={}, extra={}, deploy_interface="custom-agent")
        api("DELETE", f"/v1/nodes/{self.uuid}/traits")

    def deploy(self, **body: Any) -> dict[str, Any]:
        """Deploy, until the node is active."""
        return self.provision("active", "active", **body)

    def power(self, target: str) -> None:
        """Ask for a power state, and wait until it is there."""
        wanted = "power on" if target == "rebooting" else target
        api(
            "PUT",
            f"/v1/nodes/{self.uuid}/states/power",
            {"target": target},
        )
        until(f"the node is {wanted}", lambda: self._has_power(wanted))

    def _has_power(self, wanted: str) -> bool:
        shown = self.shown()
        return (shown["power_state"], shown["target_power_state"]) == (
            wanted, None,
        )  # fmt: skip

    def _note(self, passed: float, shown: dict[str, Any]) -> None:
        for kind in ("deploy", "service", "clean"):
            step = (shown.get(f"{kind}_step") or {}).get("step")
            if step:
                break
        info = shown["driver_internal_info"]
        told = info.get("agent_status_message") if step else None
        now = ", ".join(
            str(word)
            for word in (
                shown["provision_state"], shown["power_state"], step,
                told and f"({told})",
            )
            if word
        )  # fmt: skip
        if not self.trail or self.trail[-1][1] != now:
            self.trail.append((passed, now))
            print(f"   {passed:5.0f} s  {now}", flush=True)

    def history(self) -> list[dict[str, Any]]:
        """Return the events of the node, the newest first."""
        path = f"/v1/nodes/{self.uuid}/history?detail=true"
        return list(api("GET", path)["history"])

    def errors(self) -> list[str]:
        """Return what went wrong, the newest first."""
        return [
            event["event"]
            for event in self.history()
            # The other kind lists the steps that there were.
            if event["severity"] == "ERROR"
            and not event["event_type"].endswith("_end")
        ]


def enrolled(driver: str = "partitions-redfish") -> Node:
    """Enrol the machine and make it available."""
    made = api("POST", "/v1/nodes", {
        "name": places.NODE,
        "driver": driver,
        "boot_interface": "redfish-virtual-media",
        "deploy_interface": "custom-agent",
        "driver_info": {
            "redfish_address": places.REDFISH,
            "redfish_system_id": f"/redfish/v1/Systems/{places.SYSTEM}",
            "redfish_username": "admin",
            "redfish_password": "password",
            # Or the agent is asked to power off, which takes it half a minute.
            "deploy_forces_oob_reboot": True,
        },
        "properties": {"cpu_arch": "x86_64", "capabilities": "boot_mode:uefi"},
    })  # fmt: skip
    api("POST", "/v1/ports", {"node_uuid": made["uuid"],
                              "address": places.MAC})  # fmt: skip
    node = Node(made["uuid"])
    node.provision("manage", "manageable", 300)
    node.provision("provide", "available", 300)
    return node


def step(name: str, priority: int = 80, **args: Any) -> dict[str, Any]:
    """Return a deploy step of ours."""
    return {"interface": "deploy", "step": name, "priority": priority,
            "args": args}  # fmt: skip


def service_step(name: str, **args: Any) -> dict[str, Any]:
    """Return a service step of ours; those have no priority."""
    return {"interface": "deploy", "step": name, "args": args}


class Console:
    """The serial port, from where it was when this was made."""

    def __init__(self, start: int | None = None) -> None:
        """Begin behind everything that is there, or at ``start``."""
        now = places.SERIAL.stat().st_size if _is_there() else 0
        self._start = now if start is None else start

    def text(self) -> str:
        """Return what has come since."""
        if not _is_there():
            return ""
        with places.SERIAL.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")

    def system(self, timeout_s: float = BOOT_S) -> Facts:
        """Wait for a deployed system to be up; return what it says."""
        started = time.monotonic()
        told = until(
            "a deployed system says on its console that it is up",
            lambda: next(self._told(), None),
            timeout_s,
        )
        return _facts(told, self.text(), time.monotonic() - started)

    def last_system(self) -> Facts:
        """Return what the system that came up last has said."""
        *_, told = self._told()
        return _facts(told, self.text(), 0)

    def _told(self) -> Iterator[Any]:
        for line in self.text().split("\n")[:-1]:
            _, found, told = line.partition(f"{systems.UP} ")
            if found:
                yield json.loads(told)


def _is_there() -> bool:
    return places.SERIAL.exists()
