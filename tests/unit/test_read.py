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

import io
import json

import pytest

from ipa_partitions.errors import LayoutErrors
from ipa_partitions.layout.read import read_document


def read(tmp_path, data: bytes) -> object:
    path = tmp_path / "document.json"
    path.write_bytes(data)
    return read_document(str(path))


@pytest.mark.parametrize("value", [
    {"partitions": [{"a": 1}, {"a": 1}]}, [], None, "text", 1.5, "\N{SNOWMAN}",
])  # fmt: skip
def test_json_is_read_as_it_is(tmp_path, value):
    text = json.dumps(value, ensure_ascii=False)
    assert read(tmp_path, text.encode()) == value


@pytest.mark.parametrize(("data", "problem"), [
    (b"",                       "is not JSON: Expecting value"),
    (b"{'a': 1}",               "is not JSON: Expecting property name"),
    (b'{"a": 1} x',             "is not JSON: Extra data"),
    (b'{"a": NaN}',             "is not JSON: NaN is no JSON value"),
    (b'{"a": -Infinity}',       "is not JSON: -Infinity is no JSON value"),
    (b'\xef\xbb\xbf{}',         "is not JSON: Unexpected UTF-8 BOM"),
    (b'{"a": "\xff"}',          "is not UTF-8: invalid start byte"),
    ('{"a": 1}'.encode("utf-16"), "is not UTF-8: invalid start byte"),
    (b"[" * 200_000,            "is not JSON: "),
    (b"9" * 5000,               "is not JSON: a number of 5000 digits is too"),
])  # fmt: skip
def test_what_is_not_json_is_refused(tmp_path, data, problem):
    with pytest.raises(LayoutErrors) as error:
        read(tmp_path, data)
    line = str(error.value)
    assert line.startswith(f"$: {tmp_path}/document.json {problem}")


@pytest.mark.parametrize(("text", "lines"), [
    ('{"a": 1, "a": 2}', ["$: has the key 'a' more than once"]),
    ('{"a b": {"c": 1, "c": 1}}',
     ["$[\"a b\"]: has the key 'c' more than once"]),
    ('[{"b": {"c": 0, "d": 0, "c": 0, "d": 1}}]', [
        "$[0].b: has the key 'c' more than once",
        "$[0].b: has the key 'd' more than once",
    ]),
])  # fmt: skip
def test_a_key_given_twice_is_refused_where_it_is(tmp_path, text, lines):
    with pytest.raises(LayoutErrors) as error:
        read(tmp_path, text.encode())
    assert str(error.value).splitlines() == lines


@pytest.mark.parametrize(("name", "problem"), [
    ("nowhere.json", "No such file or directory"),
    (".",            "Is a directory"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, problem):
    with pytest.raises(LayoutErrors) as error:
        read_document(str(tmp_path / name))
    assert str(error.value) == f"$: cannot read {tmp_path / name}: {problem}"


def test_a_file_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("ipa_partitions.layout.read.MAX_BYTES", 1000)
    with pytest.raises(LayoutErrors, match="longer than 1000 bytes"):
        read_document("/dev/zero")


def test_a_dash_is_standard_input(monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b'{"a": 1}'))
    monkeypatch.setattr("sys.stdin", stdin)
    assert read_document("-") == {"a": 1}
