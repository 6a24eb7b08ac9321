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

"""Values of the document that have a syntax of their own.

Each function returns the parsed value, or raises ValueError with what was
found and what is allowed.
"""

from __future__ import annotations

import posixpath
import re
import shlex
import unicodedata

from ipa_partitions.images.configdrive import is_configdrive
from ipa_partitions.urls import is_web_url

# type GUID aliases of SPEC 2.3: UAPI Discoverable Partitions Specification,
# and Ceph's documentation of its partition types.
TYPE_GUIDS = {
    "linux": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
    "lvm": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
    "raid": "A19D880F-05FC-4D3B-A006-743F0F84911E",
    "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "bios_boot": "21686148-6449-6E6F-744E-656564454649",
    "home": "933AC7E1-2EB4-4F13-B844-0E14E2AEF915",
    "srv": "3B8F8425-20E0-4F3B-907F-1A25A76F98E8",
    "var": "4D21B016-B534-45C2-A9FB-5C16E091FD2D",
    "tmp": "7EC6F557-3BC5-4ACA-B293-16EF5DF639D1",
    "luks": "CA7D7CCB-63ED-4C53-861C-1742536059CC",
    "root": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "xbootldr": "BC13C2FF-59E6-4262-A352-B275FD6F7172",
    "ceph-osd": "4FBD7E29-9D25-41B8-AFD0-062C0CEFF05D",
    "ceph-db": "30CD0809-C2B2-499C-8879-2D6B78529876",
    "ceph-wal": "5CE17FCE-4087-4169-B7FF-056CC58473F9",
    "ceph-journal": "45B0969E-9B03-4F30-B4C6-B4B80CEFF106",
    "ceph-block": "CAFECAFE-9B03-4F30-B4C6-B4B80CEFF106",
}
ALIASES = {guid: alias for alias, guid in TYPE_GUIDS.items()}

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,126}")
_SUBVOLUME = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.+@-]{0,126}")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SERIAL = re.compile(r"ttyS([0-9])(?:,([0-9]{3,7}))?(?:n8)?")
_SCSI = re.compile(r"[0-9]+(:[0-9]+){3}")
_HEX = re.compile(r"[0-9a-fA-F]+")

# The options of rsync that a document may give: none runs a program, reads
# or writes a file outside of the transfer, or needs a following word.
_RSYNC_LETTERS = frozenset("aAXHSUNOJPvzrlptgoDuxcnWIkLqhiymdR0EC")
_RSYNC_WORDS = """
    acls append archive atimes bwlimit checksum checksum-choice compress
    compress-choice compress-level contimeout cvs-exclude delay-updates
    delete delete-after delete-before delete-delay delete-during
    delete-excluded devices dirs dry-run exclude executability existing
    fake-super fsync fuzzy group hard-links human-readable ignore-errors
    ignore-existing ignore-times include inplace ipv4 ipv6 itemize-changes
    links max-delete max-size min-size modify-window munge-links no-group
    no-motd no-owner no-perms no-times no-whole-file numeric-ids
    omit-dir-times one-file-system open-noatime owner partial perms
    preallocate progress quiet recursive relative safe-links size-only sparse
    specials stats timeout times update verbose whole-file xattrs
"""
# Their value is the next word where no "=" gives it.
_RSYNC_VALUED = """
    bwlimit checksum-choice compress-choice compress-level contimeout exclude
    include max-delete max-size min-size modify-window timeout
"""


def parse_name(value: str) -> str:
    """Return a name of letters, digits and ``_ . + -``, at most 127."""
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a name of letters, digits and any of '_.+-'"
        )
    return value


def parse_text(value: str) -> str:
    """Return one line of printable text, as a label or a title."""
    if not value or any(unicodedata.category(c)[0] == "C" for c in value):
        raise ValueError(f"{value!r} is empty or has a control character")
    return value


def parse_mount(value: str) -> str:
    """Return a normal absolute path, ``swap``, ``none`` or ``multiboot``."""
    if value in ("swap", "none", "multiboot"):
        return value
    if not value.startswith("/"):
        raise ValueError(
            f"{value!r} is not an absolute path, 'swap', 'none' or 'multiboot'"
        )
    return parse_path(value)


def parse_path(value: str) -> str:
    """Return the absolute path, without ``.`` or a trailing slash."""
    if not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path")
    if ".." in value.split("/"):
        raise ValueError(f"{value!r} leads upwards with '..'")
    return "/" + posixpath.normpath(parse_text(value)).lstrip("/")


def parse_subvolume(value: str) -> str:
    """Return the path of a btrfs subvolume, below the filesystem's top."""
    parts = value.split("/")
    if not all(_SUBVOLUME.fullmatch(part) for part in parts):
        raise ValueError(
            f"{value!r} is not a path of letters, digits and any of '_.+@-'"
        )
    return value


def parse_type_guid(value: str) -> str:
    """Return the GUID, in capitals, that ``value`` is or is an alias of."""
    if value in TYPE_GUIDS:
        return TYPE_GUIDS[value]
    # All zeroes mark an entry of the table that is not in use.
    if _GUID.fullmatch(value) and value.strip("0-"):
        return value.upper()
    raise ValueError(
        f"{value!r} is neither a GUID nor one of {', '.join(TYPE_GUIDS)}"
    )


def parse_device_name(value: str) -> str:
    """Return ``/dev/NAME`` for a kernel name, with or without ``/dev/``."""
    name = value.removeprefix("/dev/")
    if not re.fullmatch(r"[A-Za-z0-9_.!-]+(/[A-Za-z0-9_.-]+)?", name):
        raise ValueError(f"{value!r} is not a device name such as 'vda'")
    return parse_path(f"/dev/{name}")


def parse_device_path(value: str) -> str:
    """Return the path of a udev link below ``/dev``."""
    link = value.removeprefix("/dev/")
    if not link or link.startswith("/"):
        raise ValueError(
            f"{value!r} is not a path such as 'disk/by-id/ata-...'"
        )
    return parse_path(f"/dev/{link}")


def parse_scsi(value: str) -> str:
    """Return a SCSI address, host, channel, target and unit."""
    if not _SCSI.fullmatch(value):
        raise ValueError(f"{value!r} is not a SCSI address as '0:0:0:0'")
    return value


def parse_serial(value: str) -> str:
    """Return a serial console such as ``ttyS0,115200``, rate included."""
    match = _SERIAL.fullmatch(value)
    if not match:
        raise ValueError(
            f"{value!r} is not a serial console such as 'ttyS0,115200'"
        )
    return f"ttyS{match[1]},{match[2] or '115200'}"


def parse_kernel_params(value: str) -> str:
    """Return kernel parameters, one line of printable text."""
    if value and not value.isprintable():
        raise ValueError(f"{value!r} has a control character")
    return value.strip()


def parse_words(value: str) -> tuple[str, ...]:
    """Return the words of ``value``, split as a shell splits them."""
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ValueError(f"{value!r}: {error}") from error


def check_rsync_flags(value: str) -> str:
    """Return rsync's flags, each known to only steer the transfer."""
    words = iter(parse_words(value))
    for word in words:
        if not _is_safe_rsync_flag(word):
            raise ValueError(f"{word!r} is not an rsync flag allowed here")
        if word[2:] in _RSYNC_VALUED.split() and not next(words, ""):
            raise ValueError(f"{word!r} lacks its value")
    return value


def _is_safe_rsync_flag(word: str) -> bool:
    if word.startswith("--"):
        return word[2:].partition("=")[0] in _RSYNC_WORDS.split()
    return len(word) > 1 and word[0] == "-" and set(word[1:]) <= _RSYNC_LETTERS


def parse_whole(value: object) -> int:
    """Return an integer; to Python ``True`` and ``1.0`` equal it."""
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def parse_hint(value: object) -> str | int | bool:
    """Return the value of a root device hint, an operator included."""
    if isinstance(value, str | int) and value != "":
        return value
    raise ValueError(f"{value!r} is not a string, integer or boolean")


def parse_secure_boot(value: object) -> str | bool:
    """Return True, False or ``auto``."""
    if value == "auto" or isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not true, false or 'auto'")


def parse_configdrive(value: str) -> str:
    """Return a config drive as Ironic sends it; never part of a message."""
    if not is_configdrive(value):
        raise ValueError(
            "is no http(s) URL, no absolute path and no base64 of a gzipped"
            " ISO"
        )
    return value


def parse_user_data(value: object) -> object:
    """Return user data, text or JSON of any kind but a lone scalar."""
    if not isinstance(value, str | dict | list | None):
        raise ValueError("is neither a string nor an object or list")
    return value


def parse_mkfs_options(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words for mkfs, which must name no device.

    mkfs.btrfs would format every one, journals and logs can be on others.
    """
    for word in value:
        if "dev/" in parse_text(word):
            raise ValueError(f"{word!r} names a device")
    return value


def parse_web_url(value: str) -> str:
    """Return an http or https URL; it is never part of a message."""
    if not is_web_url(value):
        raise ValueError("is not an http(s) URL")
    return value


def parse_fstab_options(value: str) -> str:
    """Return mount options as fstab takes them: no white space."""
    if not value or not value.isprintable() or " " in value:
        raise ValueError(f"{value!r} is not a list of mount options")
    return value


DIGEST_LENGTHS = {"sha256": 64, "sha512": 128, "md5": 32, "sha1": 40}


def parse_hash(algorithm: str, value: str) -> str:
    """Return the hexadecimal digest, in small letters.

    Raises ValueError if it is not of the length that ``algorithm`` makes.
    """
    if not _HEX.fullmatch(value) or len(value) != DIGEST_LENGTHS[algorithm]:
        raise ValueError(
            f"{value!r} is not {DIGEST_LENGTHS[algorithm]} hexadecimal"
            f" digits, as {algorithm} makes"
        )
    return value.lower()
