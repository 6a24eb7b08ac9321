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

"""URLs: which source they mean, and what may be told of them."""

from __future__ import annotations

import pytest

from ipa_partitions.urls import public_text, public_url, url_scheme


@pytest.mark.parametrize(("url", "scheme"), [
    ("http://h/x",              "http"),
    ("HTTPS://h:8443/x?y=z#f",  "https"),
    ("file:///x/y.raw",         "file"),
    ("file://localhost/x",      "file"),
    ("rsync://h/m/p",           "rsync"),
    ("rsync://u@h/m",           "rsync"),
    ("h::m/p",                  "rsync"),
    ("u@h::m/p",                "rsync"),
    ("u@h:/srv/x",              "ssh"),
    ("u@h:x",                   "ssh"),
    ("oci://h/x:latest",        "oci"),
    ("catalog:debian/12",       "catalog"),
    ("catalog:debian/12/daily", "catalog"),
    ("other://h/x",             "other"),
])  # fmt: skip
def test_the_source_of_a_url(url, scheme):
    assert url_scheme(url) == scheme


@pytest.mark.parametrize("url", [
    "", "x", "/x", "http:/x", "http://", "http://h:port/x", "file://h/x",
    "file:x", "-oProxyCommand=x@h:y", "http://-h/x", "h::-x", "h:: x",
    "http://h/a b", "http://h/a\nb", "u@-h:x", "catalog:debian", "http://[::1",
    "catalog://a/b", "catalog://a", "ssh://h/p", "rsync://h", "rsync://h/",
    "rsync://u:p@h/m",
])  # fmt: skip
def test_what_is_no_url_of_an_image(url):
    with pytest.raises(ValueError):
        url_scheme(url)


@pytest.mark.parametrize("url", [
    "http://u:secret/1@h/x", "http://u:secret#1@h/x", "http://u:secret℀@h/x",
    "u:secret@h/x", "u:secret@h::m/x",
])  # fmt: skip
def test_no_piece_of_a_password_is_told(url):
    with pytest.raises(ValueError) as caught:
        url_scheme(url)
    assert "secret" not in f"{caught.value}{public_url(url)}"


@pytest.mark.parametrize(("url", "public"), [
    ("http://u:p@h:80/x?token=t#f",  "http://h:80/x"),
    ("https://h/x",                  "https://h/x"),
    ("u@h::m/p",                     "h::m/p"),
    ("u@h:/p?t=s",                   "h:/p"),
    ("file:///x",                    "file:///x"),
    ("http://u:p@[::1",              "http://..."),
])  # fmt: skip
def test_what_is_told_has_no_secrets(url, public):
    assert public_url(url) == public


@pytest.mark.parametrize(("text", "public"), [
    ("'https://u:S@h/i?t=S' is none", "'https://h/i' is none"),
    ("(see https://h:8080/x).",       "(see https://h:8080/x)."),
    ("'u:S@h::m/x': no",              "'h::m/x': no"),
    ("'https://u:S...' is none",      "'https://...' is none"),
    ("oci://host/repository[:tag][@digest]",
     "oci://host/repository[:tag][@digest]"),
    ("oci://h/repo:24.04@sha256:0a",  "oci://h/repo:24.04@sha256:0a"),
    ("'0:0:0:0' and u@h:/x, @home",   "'0:0:0:0' and u@h:/x, @home"),
])  # fmt: skip
def test_a_text_keeps_what_is_public_of_its_urls(text, public):
    assert public_text(text) == public


@pytest.mark.parametrize("text", ["a", "a:", "a.", "a://", "://", "@a:"])
def test_no_text_takes_long(text):
    """Quadratic time would be hours."""
    assert public_text(text * 1_000_000)
