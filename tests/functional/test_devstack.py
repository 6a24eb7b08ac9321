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

"""The functions of the devstack plug-in, run in devstack's phases.

What devstack itself brings is written down here as far as the plug-in calls
it; every call is told.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ipa_partitions import layout

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "devstack"

DEVSTACK = r"""
set -eu
told() { printf '%s' "$1" >> "$CALLS"; shift
         printf '\x1f%s' "$@" >> "$CALLS"; printf '\n' >> "$CALLS"; }
echo_summary() { :; }
is_service_enabled() {
    local name
    for name in "$@"; do [[ ",$ENABLED," == *",$name,"* ]] && return 0; done
    return 1
}
trueorfalse() { local value=${!2:-$1}; echo "$value"; }
setup_package() { told setup_package "$@"; }
install_package() { told install_package "$@"; }
iniset() { told iniset "$@"; }
sudo() { told sudo "$@"; }
baremetal() {
    told baremetal "$@"
    [[ "$*" != "node list"* ]] || echo "$NODES"
    [[ "$*" != *" show "* || "$KNOWN" == yes ]]
}
"""


class Devstack:
    """Runs phases; ``calls`` are what the plug-in called, in words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dest = folder / "dest"
        self.dest.mkdir()
        self.variables = {
            "ENABLED": "ir-api,ir-cond,tempest", "KNOWN": "no",
            "NODES": "", "IRONIC_DEPLOY_DRIVER": "redfish",
        }  # fmt: skip
        source = self.dest / "ipa-partitions"
        (source / "tools").mkdir(parents=True)
        (source / "devstack").symlink_to(PLUGIN)
        builder = source / "tools" / "make-ramdisk"
        builder.write_text(
            '#!/bin/bash\nprintf "make-ramdisk" >> "$CALLS"\n'
            'printf "\\x1f%s" "$@" >> "$CALLS"; echo >> "$CALLS"\n'
            'mkdir -p "$1"; touch "$1"/ipa.{kernel,initramfs}\n'
        )
        builder.chmod(0o755)

    def phase(self, *words: str, after: str = "") -> list[list[str]]:
        calls = self.folder / "calls"
        calls.write_text("")
        variables = {
            "CALLS": calls,
            "DEST": self.dest,
            "DATA_DIR": self.folder / "data",
            "IRONIC_CONF_FILE": "/etc/ironic/ironic.conf",
            "TEMPEST_CONFIG": "/etc/tempest.conf",
            "IRONIC_CMD": "baremetal",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            **self.variables,
        }
        script = (
            f"{DEVSTACK}\nsource {PLUGIN}/settings\n"
            f"source {PLUGIN}/plugin.sh\n{after}\n"
        )
        ran = subprocess.run(
            ["bash", "-c", script, "plugin", *words],
            env={key: str(value) for key, value in variables.items()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        self.out = ran.stdout
        return [line.split("\x1f") for line in calls.read_text().splitlines()]


@pytest.fixture
def devstack(tmp_path):
    return Devstack(tmp_path)


def test_install_brings_the_package_and_builds_a_ramdisk_once(devstack):
    package = ["setup_package", str(devstack.dest / "ipa-partitions")]
    first = devstack.phase("stack", "install")
    assert first[0] == package
    assert first[1][0] == "install_package"
    data = str(devstack.folder / "data" / "ipa-partitions")
    assert first[2] == ["make-ramdisk", data, "debian-minimal", "trixie"]
    assert devstack.phase("stack", "install") == [package]


def test_a_ramdisk_of_ones_own_is_not_built(devstack):
    devstack.variables |= {"IPA_PARTITIONS_BUILD_RAMDISK": "False"}
    calls = devstack.phase("stack", "install")
    assert [call[0] for call in calls] == ["setup_package"]


def test_post_config_enables_ours_beside_what_is_enabled(devstack):
    devstack.variables |= {"IRONIC_ENABLED_HARDWARE_TYPES": "ilo"}
    set_ = {
        tuple(call[2:4]): call[4]
        for call in devstack.phase("stack", "post-config")
    }
    assert set_ == {
        ("DEFAULT", "enabled_hardware_types"):
            "ilo,partitions-redfish,partitions-ipmi",
        ("DEFAULT", "enabled_deploy_interfaces"):
            "direct,fake,custom-agent,partitions",
        ("agent", "deploy_logs_collect"): "always",
    }  # fmt: skip


@pytest.mark.parametrize(("known", "verb"), [("no", "create"),
                                             ("yes", "set")])  # fmt: skip
def test_extra_registers_a_template_for_each_layout(devstack, known, verb):
    devstack.variables |= {"KNOWN": known}
    calls = devstack.phase("stack", "extra")
    made = [call for call in calls if call[2:4] == ["template", verb]]
    assert [call[4] for call in made] == [
        "CUSTOM_LAYOUT_LVM_ROOT", "CUSTOM_LAYOUT_PLAIN",
    ]  # fmt: skip
    for call in made:
        (step,) = json.loads(call[6])
        assert step["step"] == "deploy_partitions"
        assert 60 < step["priority"] < 100
        image = {"name": "one", "image_pull_url": "file:///one.raw"}
        layout.parse(step["args"]["image_info"] | {"images": [image]})


@pytest.mark.parametrize("driver", ["redfish", "ipmi"])
def test_extra_has_the_nodes_deployed_by_us(devstack, driver):
    devstack.variables |= {
        "NODES": "one\ntwo", "IRONIC_DEPLOY_DRIVER": driver,
    }  # fmt: skip
    calls = devstack.phase("stack", "extra")
    nodes = [call[2:] for call in calls if call[1] == "node"]
    assert nodes == [
        ["list", "--driver", driver, "-f", "value", "-c", "UUID"],
        *(
            ["set", uuid, "--driver", f"partitions-{driver}",
             "--deploy-interface", "partitions"]
            for uuid in ("one", "two")
        ),
    ]  # fmt: skip
    devstack.variables["IRONIC_DEPLOY_DRIVER"] = "ilo"
    calls = devstack.phase("stack", "extra")
    assert "node" not in [call[1] for call in calls]


def test_test_config_tells_tempest(devstack):
    devstack.variables |= {
        "IPA_PARTITIONS_IMAGE_URL": "http://images/one.raw",
        "IPA_PARTITIONS_IMAGE_SHA256": "5c8b",
    }
    calls = devstack.phase("stack", "test-config")
    assert [call[2:] for call in calls] == [
        ["service_available", "ipa_partitions", "True"],
        ["ipa_partitions", "image_url", "http://images/one.raw"],
        ["ipa_partitions", "image_sha256", "5c8b"],
    ]
    devstack.variables["ENABLED"] = "ir-api"
    assert devstack.phase("stack", "test-config") == []


def test_clean_removes_what_was_built(devstack):
    (call,) = devstack.phase("clean")
    assert call[:3] == ["sudo", "rm", "-rf"]
    assert call[3] == str(devstack.folder / "data" / "ipa-partitions")


@pytest.mark.parametrize("words", [
    ("stack", "pre-install"), ("unstack",), ("stack", "test-config"),
])  # fmt: skip
def test_without_ironic_nothing_is_done(devstack, words):
    devstack.variables["ENABLED"] = "nova,tempest"
    assert devstack.phase(*words) == []


def test_tracing_is_left_as_it_was(devstack):
    devstack.phase("unstack", after='[[ "$-" == *x* ]] || echo "no trace"')
    assert devstack.out == "no trace\n"
