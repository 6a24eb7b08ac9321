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

"""The words of the command line, as values: SPEC 4.4."""

from __future__ import annotations

import argparse
import re
import uuid
from collections.abc import Sequence
from typing import Any, NoReturn

from ipa_partitions.disk.machine import Disk
from ipa_partitions.disk.size import MIB, parse_size

# What is wrong with the document, or with how we were called.
WRONG = 2

_SECTORS_BYTES = (512, 4096)
# Linux counts the bytes of a file in 63 bits.
_MOST_BYTES = 2**63 - 1


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; ``verb`` is the verb, as in ``boot list``.

    Exits with code 2 and one line if they are wrong.
    """
    return _parser().parse_args(argv)


def refuse(verb: str, problem: str) -> NoReturn:
    """Exit as for wrong arguments of ``verb``."""
    _Parser(prog=f"ipa-partitions {verb}").error(problem)


def one_line(text: str) -> str:
    """Return ``text`` as one line that cannot steer a terminal."""
    line = "; ".join(filter(None, map(str.strip, text.splitlines())))
    return "".join(c if c.isprintable() else ascii(c).strip("'") for c in line)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with one line, without the usage around it."""
        self.exit(WRONG, f"{self.prog}: {one_line(message)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ipa-partitions",
        description="Partition this machine and deploy operating systems.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_json(_add(verbs, "schema", "print the document's JSON Schema"))
    validate = _add(verbs, "validate", "check a document, not a machine")
    _add_file(validate)
    _add_json(validate)
    _add_plan(_add(verbs, "plan", "show what deploy would do"))
    deploy = _add(verbs, "deploy", "do it")
    _add_file(deploy)
    _add_json(deploy)
    deploy.add_argument(
        "--yes", action="store_true", help="do not ask before disks are wiped"
    )
    verify = _add(verbs, "verify", "compare the disks with a document")
    _add_file(verify)
    _add_json(verify)
    capture = _add(verbs, "capture", "print a document of disks as they are")
    capture.add_argument(
        "disks",
        metavar="DISK",
        nargs="*",
        help="a disk by its name, such as sda; without any, all disks",
    )
    _add_json(capture)
    boot = verbs.add_parser("boot", help="list the systems, or choose one")
    boot_verbs = boot.add_subparsers(required=True, metavar="VERB")
    for name, says, takes_image in (
        ("list", "list the systems", False),
        ("set", "choose the system that boots", True),
        ("once", "choose the system that boots next, and only then", True),
        ("confirm", "keep the running system, if it is on trial", False),
        ("refresh", "make the menu anew from the systems' kernels", False),
    ):
        verb = _add(boot_verbs, name, says, "boot ")
        _add_json(verb)
        verb.add_argument(
            "--partition",
            metavar="DEVICE",
            help="where the boot loader is; looked for by default",
        )
        if takes_image:
            verb.add_argument(
                "image", metavar="IMAGE", help="name, UUID or grub_id"
            )
    return parser


def _add(verbs: Any, name: str, says: str, above: str = "") -> Any:
    parser = verbs.add_parser(
        name, help=says, description=says, allow_abbrev=False
    )
    parser.set_defaults(verb=above + name)
    return parser


def _add_json(parser: Any) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print JSON, for a program"
    )


def _add_file(parser: Any) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="the document; - is standard input"
    )


def _add_plan(parser: Any) -> None:
    _add_file(parser)
    parser.add_argument(
        "--disk",
        dest="disks",
        metavar="NAME=SIZE[,SECTOR]",
        type=imagined_disk,
        action="append",
        default=[],
        help="imagine this blank disk, instead of looking at this machine's;"
        " NAME as in the document: vda, disk/by-id/..., 0:0:0:0",
    )
    parser.add_argument(
        "--firmware",
        choices=("auto", "bios", "uefi", "both"),
        default="auto",
        help="for a document that does not say; auto: as this machine",
    )
    parser.add_argument(
        "--seed", metavar="UUID", type=_uuid, help="makes the same plan again"
    )
    form = parser.add_mutually_exclusive_group()
    _add_json(form)
    form.add_argument("--svg", metavar="OUT", help="write a picture to OUT")


def imagined_disk(text: str) -> Disk:
    """Return the disk that ``NAME=SIZE[,SECTOR]`` describes.

    NAME is what a document may call it: a name, a path or a SCSI address.
    """
    name, _, rest = text.partition("=")
    size_text, _, sector = rest.partition(",")
    try:
        known_by = _known_by(name)
        size = parse_size(size_text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    if sector not in ("", *map(str, _SECTORS_BYTES)):
        raise argparse.ArgumentTypeError(
            f"{text!r}: the sector size {sector!r} is not 512 or 4096"
        )
    if size.kind != "exact" or size.amount < MIB:
        raise argparse.ArgumentTypeError(
            f"{text!r}: {size_text!r} is not an exact size such as '10 GiB'"
        )
    if size.amount > _MOST_BYTES:
        raise argparse.ArgumentTypeError(
            f"{text!r}: {size_text!r} is 8 EiB or more, which no disk has"
        )
    sector_bytes = int(sector or _SECTORS_BYTES[0])
    size_bytes = size.amount // sector_bytes * sector_bytes
    return Disk(size_bytes=size_bytes, sector_bytes=sector_bytes, **known_by)


def _known_by(name: str) -> dict[str, Any]:
    """Return what of a disk ``name`` says; raises ValueError.

    What is no name of the kernel's stands in the place of one.
    """
    from ipa_partitions.layout.values import (
        parse_device_name,
        parse_device_path,
        parse_scsi,
    )

    if re.fullmatch(r"\d+:\d+:\d+:\d+", name):
        return {"device": f"/dev/{name}", "hctl": parse_scsi(name)}
    if name.removeprefix("/dev/").startswith("disk/"):
        path = parse_device_path(name)
        return {"device": path, "links": (path,)}
    return {"device": parse_device_name(name)}


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a UUID") from error
