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

from __future__ import annotations

import json

import pytest

from ipa_partitions.disk.luks import (
    HEADER_BYTES,
    Header,
    Luks,
    crypttab_line,
    format_argv,
    open_argv,
    parse_header,
    tools,
    validate,
)
from ipa_partitions.errors import CommandError

UUID = "6f1c2a52-9d30-4d4b-8f0a-0f5d6b1f7a11"
NAME = f"luks-{UUID}"
DEVICE = "/dev/sda1"
BY_FILE = Luks(DEVICE, NAME, UUID, "/etc/data.key", tpm2=False)
BY_TPM = Luks(DEVICE, NAME, UUID, None, tpm2=True)

OURS = {"type": "ipa-partitions", "keyslots": [], "key_file": "/etc/data.key"}
TPM2 = {"type": "systemd-tpm2", "keyslots": ["1"], "tpm2-pcrs": []}
FIDO2 = {"type": "systemd-fido2", "keyslots": ["2"]}


def header(text: object, version: int = 2, identity: str = UUID) -> bytes:
    """Return the start of a device; LUKS2 specification, 2.1 and 3."""
    text = text if isinstance(text, str) else json.dumps(text)
    start = b"LUKS\xba\xbe" + version.to_bytes(2, "big")
    start += (16384).to_bytes(8, "big")
    start = start.ljust(168, b"\0") + identity.encode()
    start = start.ljust(4096, b"\0") + text.encode()
    # What is behind it is the second header.
    return start.ljust(16384, b"\0") + b'SKUL{"tokens": {}}'


def tokens(*rows: object) -> object:
    return {"keyslots": {}, "tokens": {str(n): r for n, r in enumerate(rows)}}


def found(
    key_file: str | None = None,
    tpm2: bool = False,
    version: int = 2,
    uuid: str = UUID,
) -> Header:
    return Header(DEVICE, version, uuid, key_file, tpm2)


@pytest.mark.parametrize(("start", "expected"), [
    (header(tokens(OURS)), found("/etc/data.key")),
    (header(tokens(FIDO2, TPM2)), found(tpm2=True)),
    (header(tokens(FIDO2)), found()),
    (header(tokens()), found()),
    (header("", version=1), found(version=1)),
    # Of version 1 there are keys where version 2 has its tokens.
    (header(tokens(TPM2), version=1), found(version=1)),
    # Old disks hold anything.
    (header(tokens(TPM2), identity="../../x"), found(tpm2=True, uuid="")),
    (header(tokens(OURS | {"key_file": ["/etc"]})), found()),
    (header(tokens(7)), found()),
    (header(tokens({"keyslots": []})), found()),
    (header(tokens({"type": []})), found()),
    (header({"tokens": [OURS]}), found()),
    (header({}), found()),
    (header([]), found()),
    (header("[" * 12000), found()),
    (header('{"tokens": '), found()),
])  # fmt: skip
def test_a_header_is_read_whatever_it_holds(start, expected):
    assert parse_header(DEVICE, start) == expected


@pytest.mark.parametrize("start", [b"", bytes(32768), b"SKUL\xba\xbe" * 99])
def test_a_device_that_is_not_encrypted_is_named(start):
    with pytest.raises(CommandError, match="/dev/sda1: is not encrypted"):
        parse_header(DEVICE, start)


@pytest.mark.parametrize(("luks", "line"), [
    (BY_FILE, f"{NAME} UUID={UUID} /root.key luks,discard"),
    (BY_TPM, f"{NAME} UUID={UUID} none luks,discard,tpm2-device=auto"),
])  # fmt: skip
def test_a_line_of_crypttab(luks, line):
    assert crypttab_line(luks, "/root.key") == line


@pytest.mark.parametrize(("name", "size_bytes", "problem"), [
    ("key", 1, ""),
    ("key", 8 * 1024**2, ""),
    ("key", 8 * 1024**2 + 1, "has 8388609 bytes, a key has from 1 to"),
    ("key", 0, "has 0 bytes, a key has from 1 to"),
    ("missing", 1, "is not a file that can be read"),
    ("", 1, "is not a file that can be read"),
    ("/dev/zero", 1, "is not a file that can be read"),
])  # fmt: skip
def test_a_key_file_is_looked_at(tmp_path, name, size_bytes, problem):
    (tmp_path / "key").write_bytes(bytes(size_bytes))
    path = str(tmp_path / name)
    said = ""
    try:
        validate(Luks(DEVICE, NAME, UUID, path, tpm2=False))
    except CommandError as error:
        said = str(error)
    assert said.startswith(f"{path}: {problem}" if problem else "")
    assert bool(said) == bool(problem)


def test_the_header_is_as_large_as_the_size_says():
    words = format_argv(BY_FILE, 512, "-")
    options = dict(word.split("=") for word in words if "=" in word)
    keys = int(options["--luks2-keyslots-size"])
    metadata = int(options["--luks2-metadata-size"])
    assert keys + 2 * metadata == HEADER_BYTES
    assert int(options["--offset"]) * 512 == HEADER_BYTES


@pytest.mark.parametrize(("luks", "read_only", "words"), [
    (BY_FILE, False, ("--key-file=/etc/data.key",)),
    (BY_FILE, True, ("--readonly", "--key-file=/etc/data.key")),
    (BY_TPM, False, ("--token-only", "--token-type=systemd-tpm2")),
    (BY_TPM, True, ("--readonly", "--token-only",
                    "--token-type=systemd-tpm2")),
])  # fmt: skip
def test_it_is_opened_by_what_it_was_made_for(luks, read_only, words):
    assert open_argv(luks, read_only) == (
        "cryptsetup", "open", "--type=luks2", "--allow-discards",
        *words, DEVICE, NAME,
    )  # fmt: skip


def test_a_key_file_takes_nothing_of_systemd():
    assert "systemd-cryptenroll" in tools(BY_TPM)
    assert "systemd-cryptenroll" not in tools(BY_FILE)
