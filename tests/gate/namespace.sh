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
# The first process of namespaces of its own: a network that has nothing but
# lo, where the host answers to the name that the machine knows it by, and
# libvirt's folders below FOLDER. It stays, to reap what libvirt leaves.
#
# usage: unshare --net --mount --pid --fork --kill-child --mount-proc \
#        namespace.sh FOLDER HOST COMMAND...
set -eu

folder=$1 host=$2
shift 2

ip link set lo up
ip address add "$host/32" dev lo

rm -rf "$folder"/{etc,run,var}-libvirt
mkdir -p "$folder"/{etc,run,var}-libvirt "$folder/bin" \
    /run/libvirt /var/lib/libvirt
cp --recursive /etc/libvirt/. "$folder/etc-libvirt/"
rm -rf "$folder"/etc-libvirt/{qemu,storage}
mkdir -p "$folder"/etc-libvirt/{qemu,storage}
cat > "$folder/etc-libvirt/qemu.conf" << X
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
stdio_handler = "file"
cgroup_controllers = [ ]
namespaces = [ ]
seccomp_sandbox = 0
X
mount --bind "$folder/etc-libvirt" /etc/libvirt
mount --bind "$folder/run-libvirt" /run/libvirt
mount --bind "$folder/var-libvirt" /var/lib/libvirt

# Ironic calls it by the name that Debian does not give it.
ln --symbolic --force "$(command -v xorrisofs)" "$folder/bin/mkisofs"
export PATH=$folder/bin:$PATH no_proxy=\*
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

status=0
"$@" || status=$?
exit "$status"
