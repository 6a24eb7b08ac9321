# shellcheck shell=bash
# Only in the chroot is there a file of this name.
if [ -f /tmp/in_target.d/host-certificates.crt ]; then
    for variable in PIP_CERT CURL_CA_BUNDLE REQUESTS_CA_BUNDLE SSL_CERT_FILE; do
        export "$variable=/tmp/in_target.d/host-certificates.crt"
    done
    unset variable SSL_CERT_DIR
fi
