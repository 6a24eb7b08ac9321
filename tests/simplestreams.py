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

"""Trees of images as MAAS has them, and the catalog that points to them."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INDEX = "streams/v1/index.json"
PRODUCTS = "streams/v1/products.json"


@dataclass(frozen=True)
class Key:
    """A key that signs; ``home`` is GnuPG's."""

    home: Path

    @classmethod
    def make(cls, home: Path) -> Key:
        home.mkdir(mode=0o700)
        key = cls(home)
        key._gpg(
            "--passphrase", "", "--quick-generate-key",
            "images@example.com", "ed25519", "sign", "never",
        )  # fmt: skip
        return key

    @property
    def armored(self) -> str:
        return self._gpg("--armor", "--export").decode()

    @property
    def in_base64(self) -> str:
        return base64.b64encode(self._gpg("--export")).decode()

    def sign(self, text: str) -> bytes:
        return self._gpg("--clearsign", stdin=text.encode())

    def _gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        argv = ["gpg", "--batch", "--quiet", "--homedir", str(self.home)]
        done = subprocess.run(
            [*argv, *words], input=stdin, capture_output=True, check=True
        )
        return done.stdout

    def stop(self) -> None:
        """End the agent that gpg has started."""
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "all"],
            check=True,
        )


class Tree:
    """A tree in ``folder``, whose files are written by ``write``."""

    def __init__(self, folder: Path, key: Key | None = None) -> None:
        self.folder = folder
        self.key = key
        self.products: dict[str, Any] = {}

    def add(
        self,
        version: str,
        files: dict[str, bytes],
        product: str = "ubuntu:noble",
        **keys: str,
    ) -> None:
        """Add a version; ``files`` are contents by their ftype."""
        os, release = product.split(":")[:2]
        entry = self.products.setdefault(
            f"com.example:{product}",
            {
                "os": os,
                "release": release,
                "arch": "amd64",
                "label": "stable",
                "subarch": "ga-24.04",
                "versions": {},
                **keys,
            },
        )
        entry["versions"][version] = {
            "items": {
                ftype: self._item(f"{os}/{release}/{version}", ftype, content)
                for ftype, content in files.items()
            }
        }

    def _item(self, folder: str, ftype: str, content: bytes) -> dict[str, Any]:
        path = f"{folder}/{ftype}"
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return {
            "ftype": ftype,
            "path": path,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }

    def write(self) -> None:
        """Write the index and the products, signed if there is a key."""
        index = {
            "com.example:stable": {
                "format": "products:1.0",
                "datatype": "image-ids",
                "path": PRODUCTS,
                "products": [*self.products],
            },
            "com.example:other": {"format": "ids:1.0", "path": "x.json"},
        }
        products = {"format": "products:1.0", "products": self.products}
        self._write(INDEX, {"format": "index:1.0", "index": index})
        self._write(PRODUCTS, products)

    def _write(self, path: str, content: object) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1)
        file.write_text(text)
        if self.key:
            signed = self.key.sign(text)
            file.with_suffix(".sjson").write_bytes(signed)


def boot_source(
    url: str, keyring_data: str | None = None, **selection: object
) -> dict[str, Any]:
    """Return a boot source with one selection."""
    chosen = {
        "os": "ubuntu",
        "release": "noble",
        "arches": ["amd64"],
        "labels": ["*"],
        **selection,
    }
    return {"url": url, "keyring_data": keyring_data, "selections": [chosen]}
