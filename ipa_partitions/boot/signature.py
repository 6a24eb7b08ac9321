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

"""Whether shim, enforcing Secure Boot, would start a kernel.

The signature itself is shim's to check. Here it is only looked who signed,
which tells apart what is certain to be refused.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

EFIVARS = Path("/sys/firmware/efi/efivars")

_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
# Keys of the firmware, and those that the owner told shim.
_KEYS = (
    "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f",
    "MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23",
)
_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
# Attributes that efivarfs puts before the value.
_ATTRIBUTES_BYTES = 4
_CERTIFICATES_ENTRY = 4
_WIN_CERTIFICATE_BYTES = 8
# Of a sequence whose length takes two bytes, as that of signatures does.
_DER_HEAD_BYTES = 4


def is_enforced(efivars: Path = EFIVARS) -> bool:
    """Tell whether the firmware of this machine enforces Secure Boot."""
    try:
        value = (efivars / f"SecureBoot-{_GLOBAL}").read_bytes()
    except OSError:
        return False
    return value[_ATTRIBUTES_BYTES:] == b"\1"


def trusted(shim: bytes, efivars: Path = EFIVARS) -> tuple[Certificate, ...]:
    """Return whom shim trusts: its vendor, firmware, the machine's owner."""
    found = [*_vendor(_section(shim, b".vendor_cert"))]
    for name in _KEYS:
        try:
            value = (efivars / name).read_bytes()
        except OSError:
            continue
        found += _signature_lists(value[_ATTRIBUTES_BYTES:])
    return tuple(found)


def refusal(kernel: bytes, trust: tuple[Certificate, ...]) -> str | None:
    """Return why shim refuses ``kernel``, None if it may take it."""
    signers = _signers(kernel)
    if not signers:
        return "is not signed"
    if any(_is_by(signer, key) for signer in signers for key in trust):
        return None
    names = ", ".join(signer.subject.rfc4514_string() for signer in signers)
    return f"is signed by {names}, which shim does not know"


def _is_by(signer: Certificate, key: Certificate) -> bool:
    if signer == key:
        return True
    try:
        signer.verify_directly_issued_by(key)
    except Exception:  # of any kind of key: it was another one
        return False
    return True


def _signers(pe: bytes) -> tuple[Certificate, ...]:
    from cryptography.hazmat.primitives.serialization import pkcs7

    try:
        start, size = _data_directory(pe)
        signature = pe[start + _WIN_CERTIFICATE_BYTES : start + size]
        # Padding follows, which is no part of it.
        (length,) = struct.unpack_from(">H", signature, 2)
        signature = signature[: _DER_HEAD_BYTES + length]
        return tuple(pkcs7.load_der_pkcs7_certificates(signature))
    except (struct.error, ValueError):
        return ()


def _data_directory(pe: bytes) -> tuple[int, int]:
    """Return where the signatures of a program are, and their size."""
    header = _header(pe)
    (magic,) = struct.unpack_from("<H", pe, header + 24)
    # PE32+ has a wider base address, among other things.
    directories = header + 24 + (112 if magic == 0x20B else 96)
    entry = directories + 8 * _CERTIFICATES_ENTRY
    start, size = struct.unpack_from("<II", pe, entry)
    return start, size


def _header(pe: bytes) -> int:
    (header,) = struct.unpack_from("<I", pe, 0x3C)
    if pe[header : header + 4] != b"PE\0\0":
        raise ValueError("is no program of UEFI")
    return int(header)


def _section(pe: bytes, name: bytes) -> bytes:
    """Return the bytes of a section, none if there is no such one."""
    try:
        header = _header(pe)
        count, optional = struct.unpack_from("<2xH12xH", pe, header + 4)
        for n in range(count):
            at = header + 24 + optional + 40 * n
            own, size, start = struct.unpack_from("<8s4x4xII", pe, at)
            if _name(pe, header, own) == name:
                return pe[start : start + size]
    except (struct.error, ValueError):
        pass
    return b""


def _name(pe: bytes, header: int, own: bytes) -> bytes:
    """Return the name of a section: COFF keeps long ones in a table."""
    if own[:1] != b"/":
        return own.rstrip(b"\0")
    table, symbols = struct.unpack_from("<II", pe, header + 12)
    at = table + symbols * 18 + int(own[1:].rstrip(b"\0"))
    return pe[at : pe.index(b"\0", at)]


def _vendor(section: bytes) -> Iterator[Certificate]:
    try:
        size, _, start, _ = struct.unpack_from("<IIII", section)
    except struct.error:
        return
    data = section[start : start + size]
    # One certificate, or a list of them as firmware has it.
    yield from _certificates([data]) or _signature_lists(data)


def _signature_lists(data: bytes) -> list[Certificate]:
    """Return the certificates of an EFI_SIGNATURE_LIST after another."""
    found = []
    while len(data) >= 28:
        kind = uuid.UUID(bytes_le=data[:16])
        size, header, each = struct.unpack_from("<III", data, 16)
        if not 28 <= size <= len(data) or each <= 16:
            break
        if kind == _X509:
            found += [
                data[at + 16 : at + each]
                for at in range(28 + header, size - each + 1, each)
            ]
        data = data[size:]
    return _certificates(found)


def _certificates(ders: list[bytes]) -> list[Certificate]:
    from cryptography import x509

    found = []
    for der in ders:
        try:
            found.append(x509.load_der_x509_certificate(der))
        except ValueError:
            continue
    return found
