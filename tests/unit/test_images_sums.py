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

"""Files of checksums."""

from __future__ import annotations

import pytest

from ipa_partitions.images import sums

A, B, LONG = "a" * 64, "b" * 64, "c" * 128


@pytest.mark.parametrize(("text", "algorithm", "found"), [
    (f"{A}  x.raw\n{B}  y.raw\n", None, ("sha256", A)),
    (f"{A} *x.raw\n", None, ("sha256", A)),
    (f"{A}  ./images/x.raw\n", None, ("sha256", A)),
    (f"SHA256 (x.raw) = {A}\n", None, ("sha256", A)),
    (f"# x.raw\nSHA512 (x.raw) = {LONG}\n", None, ("sha512", LONG)),
    (f"{A.upper()}  x.raw", None, ("sha256", A)),
    (f"{A}\n", None, ("sha256", A)),                 # nothing but the sum
    (f"{A}  x.raw\n{LONG}  x.raw\n", None, ("sha512", LONG)),
    (f"{A}  x.raw\n{LONG}  x.raw\n", "sha256", ("sha256", A)),
    (f"{A}  x.raw\n{A}  old/x.raw\n", None, ("sha256", A)),
    (f"{A}  x.raw\n{B}  old/x.raw\n", None, None),   # which of the two?
    (f"{A}  x.raw\n", "sha512", None),
    (f"{A}\n{B}\n", None, None),
    (f"{A}  x.raw.asc\n", None, None),
    ("d41d8cd98f00b204e9800998ecf8427e  x.raw\n", None, None),   # md5
    ("<html>not found</html>", None, None),
    ("", None, None),
])  # fmt: skip
def test_a_sum_is_found_by_the_name_of_the_file(
    text: str, algorithm: str | None, found: tuple[str, str] | None
) -> None:
    if found is None:
        with pytest.raises(ValueError, match=r"x\.raw"):
            sums.find(text, "x.raw", algorithm)
    else:
        assert sums.find(text, "x.raw", algorithm) == found
