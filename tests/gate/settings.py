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

"""The configuration of Ironic, sushy-tools, libvirt and the machine."""

from __future__ import annotations

from tests.gate import places
from tests.gate.artefacts import Artefacts
from tests.vm.qemu import CLOCK, PATIENCE

OVMF = "/usr/share/OVMF"

# A machine with less than this does not unpack the ramdisk.
MEMORY_MIB = 3584

AGENT_PARAMS = (
    f"console=ttyS0 {CLOCK} {PATIENCE} nofb nomodeset ipa-insecure=1"
    " ipa-advertise-host=127.0.0.1"
    f" ipa-advertise-port={places.AGENT_PORT}"
    " systemd.journald.forward_to_console=1"
)

_NONE = ("bios", "console", "firmware", "inspect", "raid", "rescue", "vendor")

GRUB = """\
set default=0
set timeout=0
menuentry "boot_partition" {
linux {{ linux }} {{ kernel_params }} --
initrd {{ initrd }}
}
"""


def ironic(artefacts: Artefacts) -> str:
    """Return ironic.conf: API and conductor in one process, on sqlite."""
    state = places.STATE
    none = "\n".join(
        f"enabled_{kind}_interfaces = no-{kind}" for kind in _NONE
    )
    folders = sorted(
        {str(file.parent) for file in artefacts.files} | {str(state)}
    )
    return f"""\
[DEFAULT]
debug = True
auth_strategy = noauth
rpc_transport = none
host = gate
my_ip = 127.0.0.1
state_path = {state}/state
tempdir = {state}/tmp
log_file = {places.LOGS}/ironic.log
use_stderr = False
enabled_hardware_types = partitions-redfish,redfish
enabled_boot_interfaces = redfish-virtual-media
enabled_deploy_interfaces = custom-agent,partitions,direct
enabled_management_interfaces = redfish
enabled_network_interfaces = noop
enabled_power_interfaces = redfish
enabled_storage_interfaces = noop
{none}
esp_image = {artefacts.esp}
grub_config_path = EFI/BOOT/grub.cfg
grub_config_template = {state}/grub.template
[api]
host_ip = 0.0.0.0
api_workers = 1
[database]
connection = sqlite:///{state}/state/ironic.sqlite
[conductor]
automated_clean = False
bootloader = file://{artefacts.esp}
deploy_kernel = file://{artefacts.kernel}
deploy_ramdisk = file://{artefacts.initramfs}
file_url_allowed_paths = {",".join(folders)}
# Ironic unpacks what begins like zstd, and our initrds end unlike it.
disable_zstandard_decompression = True
node_history = True
[deploy]
default_boot_mode = uefi
http_root = {places.HTTP}
http_url = http://{places.HOST}:{places.HTTP_PORT}
external_callback_url = http://{places.HOST}:{places.API_PORT}
[agent]
deploy_logs_collect = always
deploy_logs_local_path = {places.LOGS}/deploy
certificates_path = {state}/certs
[pxe]
images_path = {state}/images
instance_master_path = {state}/master/instance
tftp_master_path = {state}/master/tftp
[redfish]
read_timeout = 600
kernel_append_params = {AGENT_PARAMS}
[dhcp]
dhcp_provider = none
[service_catalog]
auth_type = none
endpoint_override = http://{places.HOST}:{places.API_PORT}
[oslo_messaging_notifications]
driver = noop
"""


def sushy() -> str:
    """Return the configuration of the Redfish service."""
    return f"""\
SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'
SUSHY_EMULATOR_LISTEN_PORT = {places.REDFISH_PORT}
SUSHY_EMULATOR_LIBVIRT_URI = 'qemu:///system'
SUSHY_EMULATOR_STATE_DIR = '{places.STATE}/state/sushy'
SUSHY_EMULATOR_BOOT_LOADER_MAP = {{
    'UEFI': {{'x86_64': '{OVMF}/OVMF_CODE_4M.fd'}},
    'Legacy': {{'x86_64': None}},
}}
SUSHY_EMULATOR_SECURE_BOOT_DISABLED_NVRAM = '{OVMF}/OVMF_VARS_4M.fd'
SUSHY_EMULATOR_SECURE_BOOT_ENABLED_NVRAM = '{OVMF}/OVMF_VARS_4M.ms.fd'
"""


def libvirtd() -> str:
    """Return libvirtd.conf."""
    return (
        'auth_unix_rw = "none"\n'
        f'log_outputs = "3:file:{places.LOGS}/libvirtd.log"\n'
    )


def domain() -> str:
    """Return the machine: UEFI, one disk, slirp, a serial port to a file."""
    slirp = (
        "user,id=net0,net=10.0.2.0/24"
        f",hostfwd=tcp:127.0.0.1:{places.AGENT_PORT}-:9999"
    )
    card = (
        f"virtio-net-pci,netdev=net0,mac={places.MAC},romfile="
        ",bus=pcie.0,addr=0x10"
    )
    # What the processor has not: see tests.vm.qemu. Of two, emulated, one
    # may run what the other is just patching in the kernel, and all is over.
    return f"""\
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{places.NODE}</name><uuid>{places.SYSTEM}</uuid>
  <memory unit='MiB'>{MEMORY_MIB}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' secure='no' type='pflash'>
      {OVMF}/OVMF_CODE_4M.fd</loader>
    <nvram template='{OVMF}/OVMF_VARS_4M.fd'>
      {places.STATE}/state/vars.fd</nvram>
    <boot dev='hd'/></os>
  <features><acpi/><apic/>
    <tcg><tb-cache unit='MiB'>512</tb-cache></tcg></features>
  <cpu mode='maximum' check='none'>
    <feature policy='disable' name='cx16'/>
    <feature policy='disable' name='erms'/>
    <feature policy='disable' name='fsrm'/></cpu>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='unsafe' discard='unmap'/>
      <source file='{places.DISK}'/><target dev='vda' bus='virtio'/>
      <serial>GATE0001</serial></disk>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='{places.SERIAL}' append='on'/>
      <target port='0'/></serial>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='none'/></devices>
  <qemu:commandline>
    <qemu:arg value='-netdev'/>
    <qemu:arg value='{slirp}'/>
    <qemu:arg value='-device'/>
    <qemu:arg value='{card}'/>
  </qemu:commandline>
</domain>
""".replace("\n      /usr", "/usr").replace(
        f"\n      {places.STATE}", str(places.STATE)
    )
