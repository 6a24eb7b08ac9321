#!/bin/bash
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

# A plug-in for devstack, to be enabled after Ironic's own:
# https://docs.openstack.org/devstack/latest/plugins.html

# Save trace setting
_XTRACE_IPA_PARTITIONS=$(set +o | grep xtrace)
set +o xtrace

# install_ipa_partitions - into the environment of the conductor
function install_ipa_partitions {
    setup_package "$IPA_PARTITIONS_DIR"
}

# build_ipa_partitions_ramdisk - with our element, unless there is one
function build_ipa_partitions_ramdisk {
    if [[ "$IPA_PARTITIONS_BUILD_RAMDISK" != "True" ]]; then
        return 0
    fi
    if [[ -e "$IRONIC_DEPLOY_KERNEL" && -e "$IRONIC_DEPLOY_RAMDISK" ]]; then
        echo_summary "Keeping $IRONIC_DEPLOY_RAMDISK"
        return 0
    fi
    install_package debootstrap cpio rsync qemu-utils
    "$IPA_PARTITIONS_DIR/tools/make-ramdisk" \
        "$IPA_PARTITIONS_RAMDISK_DIR" \
        "$IPA_PARTITIONS_RAMDISK_DISTRO" "$IPA_PARTITIONS_RAMDISK_RELEASE"
}

# configure_ipa_partitions - what Ironic's plugin does not know of
function configure_ipa_partitions {
    iniset "$IRONIC_CONF_FILE" DEFAULT enabled_hardware_types \
        "$IRONIC_ENABLED_HARDWARE_TYPES"
    iniset "$IRONIC_CONF_FILE" DEFAULT enabled_deploy_interfaces \
        "$IRONIC_ENABLED_DEPLOY_INTERFACES"
    # Boot-info is among the logs that the agent leaves.
    iniset "$IRONIC_CONF_FILE" agent deploy_logs_collect always
}

# ipa_partitions_trait FILE - prints the trait that asks for a layout
function ipa_partitions_trait {
    local name
    name=$(basename "$1" .json)
    name=${name//[^A-Za-z0-9]/_}
    echo "CUSTOM_LAYOUT_${name^^}"
}

# ipa_partitions_steps FILE - prints the steps of a template
function ipa_partitions_steps {
    python3 - "$1" <<'PYTHON'
import json
import sys

with open(sys.argv[1]) as file:
    image_info = json.load(file)
print(json.dumps([{
    "interface": "deploy", "step": "deploy_partitions", "priority": 80,
    "args": {"image_info": image_info},
}]))
PYTHON
}

# register_ipa_partitions_templates - one for each layout
function register_ipa_partitions_templates {
    local layout trait steps
    for layout in "$IPA_PARTITIONS_LAYOUTS_DIR"/*.json; do
        if [[ ! -e "$layout" ]]; then
            continue
        fi
        trait=$(ipa_partitions_trait "$layout")
        steps=$(ipa_partitions_steps "$layout")
        if $IRONIC_CMD deploy template show "$trait" > /dev/null 2>&1; then
            $IRONIC_CMD deploy template set "$trait" --steps "$steps"
        else
            $IRONIC_CMD deploy template create "$trait" --steps "$steps"
        fi
    done
}

# use_ipa_partitions - has the nodes deployed by us
#
# Ironic's plugin knows what its virtual machines need by the name of its own
# driver: they are enrolled with that, and get ours here.
function use_ipa_partitions {
    local driver=$IRONIC_DEPLOY_DRIVER
    local uuid
    if [[ "$driver" != "redfish" && "$driver" != "ipmi" ]]; then
        return 0
    fi
    for uuid in $($IRONIC_CMD node list --driver "$driver" -f value -c UUID); do
        $IRONIC_CMD node set "$uuid" --driver "partitions-$driver" \
            --deploy-interface partitions
    done
}

# configure_ipa_partitions_tempest - tell our tests what there is
function configure_ipa_partitions_tempest {
    iniset "$TEMPEST_CONFIG" service_available ipa_partitions True
    if [[ -n "${IPA_PARTITIONS_IMAGE_URL:-}" ]]; then
        iniset "$TEMPEST_CONFIG" ipa_partitions image_url \
            "$IPA_PARTITIONS_IMAGE_URL"
        iniset "$TEMPEST_CONFIG" ipa_partitions image_sha256 \
            "$IPA_PARTITIONS_IMAGE_SHA256"
    fi
}

# cleanup_ipa_partitions - removes what was built
function cleanup_ipa_partitions {
    sudo rm -rf "$IPA_PARTITIONS_RAMDISK_DIR"
}

if is_service_enabled ir-api ir-cond; then
    if [[ "$1" == "stack" && "$2" == "install" ]]; then
        echo_summary "Installing ipa-partitions"
        install_ipa_partitions
        build_ipa_partitions_ramdisk
    elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        echo_summary "Configuring ipa-partitions"
        configure_ipa_partitions
    elif [[ "$1" == "stack" && "$2" == "extra" ]]; then
        echo_summary "Registering the layouts of ipa-partitions"
        register_ipa_partitions_templates
        use_ipa_partitions
    elif [[ "$1" == "stack" && "$2" == "test-config" ]]; then
        if is_service_enabled tempest; then
            configure_ipa_partitions_tempest
        fi
    fi

    if [[ "$1" == "clean" ]]; then
        cleanup_ipa_partitions
    fi
fi

# Restore xtrace
$_XTRACE_IPA_PARTITIONS
