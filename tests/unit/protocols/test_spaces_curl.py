"""What a curl command may ask for; above all, that one request stays one request."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from embedenv_jupyter.protocols.spaces import FrameError
from embedenv_jupyter.protocols.spaces.curl import check_headers, check_method, parse_url, read_headers


@pytest.mark.parametrize(
    ("url", "port", "target"),
    [
        ("http://localhost:3000", 3000, "/"),
        ("http://localhost:3000/", 3000, "/"),
        ("HTTP://LOCALHOST", 80, "/"),
        ("http://localhost:", 80, "/"),
        ("http://127.0.0.1:1/a/../b//c;d", 1, "/a/../b//c;d"),
        ("http://[::1]:65535?x=%2F&y=[1]", 65535, "/?x=%2F&y=[1]"),
        ("http://localhost/a#b?c", 80, "/a"),
        ("http://localhost?a=http://x@y:1/#z", 80, "/?a=http://x@y:1/"),
        ("http://localhost:0080/é?ü%C3", 80, "/%C3%A9?%C3%BC%C3"),
    ],
)
def test_the_target_is_kept_as_it_was_written(url: str, port: int, target: str) -> None:
    assert parse_url(url) == (port, target)


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost", "//localhost/", "http:localhost", "http:/localhost/", "ws://localhost/", "https://localhost/",
        "javascript:alert(1)", "http://", "http://:80/", "http://0.0.0.0/", "http://[::]/", "http://[::1/", "http://::1/",
        "http://127.1/", "http://2130706433/", "http://localhost./", "http://localhost%00/", "http://xlocalhost/",
        "http://localhost:80:80/", "http://localhost:-1/", "http://localhost:٣/", "http://localhost:1e3/",
        "http://a@localhost/", "http://localhost:80@evil/", "http://localhost\\evil/", " http://localhost/",
        "http://localhost/\n", "http://localhost/\x7f", "http://localhost\n/", "http://localhost/\ud800",
    ],
)  # fmt: skip
def test_all_else_is_refused(url: str) -> None:
    with pytest.raises(FrameError) as caught:
        parse_url(url)
    assert not caught.value.is_fatal


@given(st.text(st.characters(), max_size=30), st.sampled_from(["/", "?", "/a?b=", ""]))
def test_a_target_never_ends_the_request_line(text: str, head: str) -> None:
    try:
        _, target = parse_url(f"http://localhost:1{head}{text}")
    except FrameError as exc:
        str(exc).encode()
        return
    assert target.startswith("/") and target.isascii() and not re.search(r"[\x00-\x20\x7f]", target)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(FrameError) as caught:
        parse_url("http://ada:hunter2@localhost/")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("method", ["GET", "get", "DELETE", "X-!#$%&'*+-.^_`|~9", "M" * 32])
def test_any_token_is_a_method(method: str) -> None:
    assert check_method(method) == method


@pytest.mark.parametrize("method", ["", "GET ", "G\tT", "GET\n", "É", "M" * 33, "G:T"])
def test_what_is_no_token_is_no_method(method: str) -> None:
    with pytest.raises(FrameError):
        check_method(method)


def test_headers_are_kept_but_for_outer_spaces() -> None:
    headers = {"X-A": " a\tb ", "x-a": "", "Accept": "tëxt"}
    assert check_headers(headers) == {"X-A": "a\tb", "x-a": "", "Accept": "tëxt"}
    assert read_headers(Raw(b"null")) == {}


@given(
    st.dictionaries(st.text(st.characters(), max_size=5), st.text(st.characters(), max_size=5), max_size=3)
)
def test_headers_never_make_another_line(headers: dict[str, str]) -> None:
    try:
        checked = read_headers(Raw(json.dumps(headers).encode()))
    except FrameError as exc:
        str(exc).encode()
        return
    lines = "".join(f"{name}: {value}\r\n" for name, value in checked.items())
    assert lines.encode().count(b"\r\n") == len(headers) and "\0" not in lines
    assert lines.count("\n") == lines.count("\r") == len(headers)


def test_large_headers_are_refused_before_they_are_read() -> None:
    many = "{" + ",".join(f'"a{number}":""' for number in range(100_000)) + "}"
    with pytest.raises(FrameError, match="bytes are too many"):
        read_headers(Raw(many.encode()))
