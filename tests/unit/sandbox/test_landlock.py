from __future__ import annotations

import struct

import pytest

from embedenv_jupyter.sandbox import landlock
from embedenv_jupyter.sandbox.landlock import Rules


@pytest.mark.parametrize(
    ("version", "length", "files"),
    [
        (1, 8, 0x1FFF),
        (2, 8, 0x3FFF),
        (3, 8, 0x7FFF),
        (4, 16, 0x7FFF),
        (5, 16, 0xFFFF),
        (6, 24, 0xFFFF),
        (7, 24, 0xFFFF),
    ],
)
def test_ruleset_asks_only_for_what_the_kernel_knows(version: int, length: int, files: int) -> None:
    packed = landlock._attributes(Rules(), version)
    assert len(packed) == length
    words = struct.unpack(f"{length // 8}Q", packed)
    assert words[0] == files
    assert words[1:] in ((), (0,), (0, 3))  # no word on TCP; from version 6 on both scopes


def test_tcp_is_handled_where_ports_are_given() -> None:
    assert struct.unpack("QQQ", landlock._attributes(Rules(bind_tcp=(), connect_tcp=()), 6))[1] == 3
    assert struct.unpack("QQQ", landlock._attributes(Rules(connect_tcp=(3000,)), 6))[1] == 2
