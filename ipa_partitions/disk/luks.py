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

"""LUKS2 encryption, opened by a key file or by the machine's TPM 2."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_serialization import jsonutils

from ipa_partitions.disk.probe import BUSY_TIMEOUT_S, wait_for_device
from ipa_partitions.disk.size import MIB
from ipa_partitions.disk.table import wipe
from ipa_partitions.errors import CommandError
from ipa_partitions.run import run

HEADER_BYTES = 16 * MIB

# Twice, the binary header and the JSON; the rest is for the keys.
_METADATA_BYTES = 16 * 1024

# OWASP's count for PBKDF2-HMAC-SHA512, should a key file hold a passphrase.
# Argon2 would have a ramdisk find memory, and a system in FIPS mode fail.
_ITERATIONS = 210_000

# cryptsetup(8) reads no more.
_MAX_KEY_BYTES = 8 * MIB

# Of a token in the header that says where the key file was.
_OUR_TOKEN = "ipa-partitions"  # noqa: S105
_TPM2_TOKEN = "systemd-tpm2"  # noqa: S105

_MAGIC = b"LUKS\xba\xbe"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BINARY_BYTES = 4096
_MAX_HEADER_BYTES = 4 * MIB


@dataclass(frozen=True)
class Luks:
    """An encrypted device and the ``name`` of what it opens to.

    Its key is in ``key_file``, or else the TPM 2 has it.
    """

    device: str
    name: str
    uuid: str
    key_file: str | None
    tpm2: bool

    @property
    def mapping(self) -> str:
        """The device that it opens to."""
        return f"/dev/mapper/{self.name}"


@dataclass(frozen=True)
class Header:
    """What an encrypted device says of itself.

    ``key_file`` is None for one that we did not make, or whose key the TPM
    has.
    """

    device: str
    version: int
    uuid: str
    key_file: str | None
    tpm2: bool


def tools(luks: Luks) -> tuple[str, ...]:
    """Return the programs that making and opening ``luks`` takes."""
    needed = ("cryptsetup", "wipefs", "blockdev")
    return (*needed, "systemd-cryptenroll") if luks.tpm2 else needed


def validate(luks: Luks) -> None:
    """Raise CommandError if the key file, or the TPM 2, cannot be used."""
    if luks.key_file is None:
        if "/dev/" not in run("systemd-cryptenroll", "--tpm2-device=list"):
            raise CommandError("this machine has no TPM 2")
        return
    path = Path(luks.key_file)
    # A device has no end, or another key each time.
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise CommandError(f"{path}: is not a file that can be read")
    size_bytes = path.stat().st_size
    if not 0 < size_bytes <= _MAX_KEY_BYTES:
        raise CommandError(
            f"{path}: has {size_bytes} bytes,"
            f" a key has from 1 to {_MAX_KEY_BYTES}"
        )


def create(luks: Luks) -> None:
    """Encrypt ``luks.device``, whatever is on it, and leave it closed."""
    wipe(luks.device)
    # Not the 4096 that cryptsetup likes: the mapping would have them, too,
    # and an image of a filesystem with smaller ones could not be mounted.
    sector_bytes = int(run("blockdev", "--getss", luks.device))
    if luks.key_file is None:
        with _passing_key() as key:
            run(*format_argv(luks, sector_bytes, key))
            run(*enroll_argv(luks, key))
    else:
        run(*format_argv(luks, sector_bytes, luks.key_file))
        run(
            "cryptsetup", "token", "import", "--json-file=-", luks.device,
            stdin=_token(luks.key_file),
        )  # fmt: skip


@contextmanager
def _passing_key() -> Iterator[str]:
    """Yield the path of a random key, which is in memory alone."""
    node = os.memfd_create("key")
    try:
        os.fchmod(node, 0o400)
        os.write(node, secrets.token_bytes())
        # systemd-cryptenroll seeks in it, which a pipe would refuse.
        yield f"/proc/{os.getpid()}/fd/{node}"
    finally:
        os.close(node)


def format_argv(luks: Luks, sector_bytes: int, key: str) -> tuple[str, ...]:
    """Return the command that writes the header, for the key file ``key``."""
    return (
        "cryptsetup", "luksFormat",
        "--batch-mode",
        "--type=luks2",
        f"--uuid={luks.uuid}",
        "--cipher=aes-xts-plain64",
        "--key-size=512",
        "--hash=sha512",
        "--pbkdf=pbkdf2",
        f"--pbkdf-force-iterations={_ITERATIONS}",
        f"--sector-size={sector_bytes}",
        f"--luks2-metadata-size={_METADATA_BYTES}",
        f"--luks2-keyslots-size={HEADER_BYTES - 2 * _METADATA_BYTES}",
        f"--offset={HEADER_BYTES // 512}",
        f"--key-file={key}",
        luks.device,
    )  # fmt: skip


def enroll_argv(luks: Luks, key: str) -> tuple[str, ...]:
    """Return the command by which the TPM 2 replaces the key file ``key``."""
    return (
        "systemd-cryptenroll",
        f"--unlock-key-file={key}",
        "--tpm2-device=auto",
        # Bound to the TPM, to nothing that it measured: the boot of this
        # ramdisk is not the one that shall open it. A system can bind it to
        # its own.
        "--tpm2-pcrs=",
        "--wipe-slot=password",
        luks.device,
    )


def _token(key_file: str) -> str:
    token = {"type": _OUR_TOKEN, "keyslots": [], "key_file": key_file}
    return str(jsonutils.dumps(token))


def open_(luks: Luks, read_only: bool = False) -> None:
    """Make ``luks.mapping`` appear, if it is not there already.

    With ``read_only`` nothing is written to the device. Raises
    CommandError, also if the mapping is of another device.
    """
    if not _is_open(luks):
        run(*open_argv(luks, read_only))
    wait_for_device(luks.mapping, None)


def open_argv(luks: Luks, read_only: bool) -> tuple[str, ...]:
    """Return the command that opens ``luks``."""
    return (
        "cryptsetup", "open",
        "--type=luks2",
        "--allow-discards",
        *(("--readonly",) if read_only else ()),
        *(
            ("--token-only", f"--token-type={_TPM2_TOKEN}")
            if luks.key_file is None
            else (f"--key-file={luks.key_file}",)
        ),
        luks.device,
        luks.name,
    )  # fmt: skip


def _is_open(luks: Luks) -> bool:
    try:
        number = Path(luks.mapping).stat().st_rdev
    except FileNotFoundError:
        return False
    node = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    # libcryptsetup: lib/libdevmapper.c, dm_prepare_uuid.
    identity = f"CRYPT-LUKS2-{luks.uuid.replace('-', '')}-{luks.name}"
    return (node / "dm/uuid").read_text().strip() == identity


def close(name: str) -> None:
    """Close the mapping ``name``, if it is open.

    Raises CommandError if it is in use and remains so.
    """
    end = time.monotonic() + BUSY_TIMEOUT_S
    while Path("/dev/mapper", name).exists():
        try:
            run("cryptsetup", "close", name)
        except CommandError:
            # udev looks at it for a moment after any change.
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def examine(device: str) -> Header:
    """Return the header of ``device``. Nothing is written.

    cryptsetup would mend a damaged one. Raises CommandError for a device
    that is not encrypted.
    """
    with Path(device).open("rb") as node:
        return parse_header(device, node.read(_MAX_HEADER_BYTES))


def parse_header(device: str, start: bytes) -> Header:
    """Return the header that is at the ``start`` of a device.

    What is not as it should be in it counts as missing.
    """
    # Both versions begin in the same way, and have the UUID there: LUKS2
    # On-Disk Format Specification, 2.1.
    if not start.startswith(_MAGIC):
        raise CommandError(f"{device}: is not encrypted")
    version = int.from_bytes(start[6:8], "big")
    identity = start[168:208].rstrip(b"\0").decode("ascii", "replace")
    tokens = _tokens(start) if version == 2 else {}
    path = tokens.get(_OUR_TOKEN, {}).get("key_file")
    return Header(
        device=device,
        version=version,
        uuid=identity if _UUID.fullmatch(identity) else "",
        key_file=path if isinstance(path, str) else None,
        tpm2=_TPM2_TOKEN in tokens,
    )


def _tokens(start: bytes) -> dict[str, dict[str, Any]]:
    """Return the tokens by their type."""
    end = int.from_bytes(start[8:16], "big")
    text = start[_BINARY_BYTES:end].partition(b"\0")[0]
    try:
        tokens = dict(jsonutils.loads(text)["tokens"]).values()
        return {token["type"]: token for token in tokens}
    # No JSON, too deep, or another than it should be.
    except (ValueError, RecursionError, LookupError, TypeError):
        return {}


def crypttab_line(luks: Luks, key: str) -> str:
    """Return the line by which a system opens it with its file ``key``.

    With the TPM there is no file. Discards pass, as installers have it, so
    that disks and thin pools get unused space back; who sees the disk sees
    which parts are unused.
    """
    options = "luks,discard"
    if luks.key_file is None:
        key, options = "none", f"{options},tpm2-device=auto"
    return f"{luks.name} UUID={luks.uuid} {key} {options}"
