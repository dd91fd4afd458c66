"""What is to be run is checked before it reaches a sandbox; a refusal says what is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.engine import source as limits
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.errors import SourceError


def test_what_is_allowed_is_taken_as_it_is() -> None:
    source = Source("print('ü')", {"a/b.txt": b"\0\xff"}, ("", "a b"), {"WHO": ""})
    assert source.data == "print('ü')".encode()
    assert Source("").data == b""


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"code": "a\0b"}, "code: has a NUL byte at character 1; source is text"),
        ({"code": "\ud800"}, "code: is no Unicode text at character 0"),
        ({"code": "ü" * limits.MAX_CODE_BYTES}, "code: has 2097152 bytes, 1048576 are allowed"),
        ({"files": {"": b""}}, "files['']: is no path"),
        ({"files": {"a\0": b""}}, "files['a\\x00']: is no path"),
        ({"files": {"/etc/passwd": b""}}, "files['/etc/passwd']: is not allowed: a path is relative"),
        ({"files": {"../a": b""}}, "files['../a']: is not allowed"),
        ({"files": {"a/../../b": b""}}, "files['a/../../b']: is not allowed"),
        ({"files": {"a//b": b""}}, "files['a//b']: is not allowed"),
        ({"files": {"a/": b""}}, "files['a/']: is not allowed"),
        ({"files": {"./a": b""}}, "files['./a']: is not allowed"),
        ({"files": {"a\udcff": b""}}, "is no Unicode text"),
        ({"files": {"a" * 256: b""}}, "is longer than 255 bytes"),
        ({"files": {"a": b"", "a/b": b""}}, "files['a/b']: lies below 'a', which is a file"),
        ({"files": {str(n): b"" for n in range(65)}}, "files: are 65, 64 are allowed"),
        ({"files": {"a": bytes(limits.MAX_FILES_BYTES + 1)}}, "files: have 8388609 bytes together"),
        ({"arguments": ("a\0",)}, "args[0]: has a NUL byte"),
        ({"arguments": ("",) * 257}, "args: are 257, 256 are allowed"),
        ({"arguments": ("a" * 16385,)}, "args[0]: has 16385 bytes, 16384 are allowed"),
        ({"arguments": ("a" * 16384,) * 5}, "args: and env have 81946 bytes together, 65536 are allowed"),
        ({"env": {"A B": ""}}, "env['A B']: is no name of a variable"),
        ({"env": {"A\n": ""}}, "is no name of a variable"),
        ({"env": {"": ""}}, "env['']: is no name of a variable"),
        ({"env": {"LD_PRELOAD": "x"}}, "env['LD_PRELOAD']: may not be set: no name that begins with LD_"),
        ({"env": {"EMBEDENV_LANGUAGES": "x"}}, "env['EMBEDENV_LANGUAGES']: may not be set"),
        ({"env": {"A": "\0"}}, "env['A']: has a NUL byte"),
        ({"env": {f"A{n}": "" for n in range(65)}}, "env: has 65 variables, 64 are allowed"),
    ],
)
def test_what_is_not_is_refused_by_name(values: dict[str, Any], fault: str) -> None:
    with pytest.raises(SourceError) as caught:
        Source(**{"code": "", **values})
    assert fault in str(caught.value)


@given(
    st.text(), st.dictionaries(st.text(), st.binary(max_size=8)), st.lists(st.text(max_size=50), max_size=5)
)
def test_any_values_are_taken_or_refused(code: str, files: dict[str, bytes], arguments: list[str]) -> None:
    try:
        source = Source(code, files, tuple(arguments))
    except SourceError:
        return
    assert b"\0" not in source.data
    assert not any(path.startswith("/") or ".." in path.split("/") for path in source.files)
