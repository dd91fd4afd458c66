"""The frames of a terminal's socket, held to terminado's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.protocols import terminals as protocol


@pytest.mark.parametrize(
    ("frame", "meaning"),
    [
        (["stdin", "ls\r"], protocol.Stdin("ls\r")),
        (["set_size", 24, 80, 480, 640], protocol.SetSize(24, 80, 480, 640)),
        (["set_size", 24, 80], protocol.SetSize(24, 80)),
        (["set_size", 0, 0, 0.5, 0], protocol.SetSize(0, 0, 0.5, 0)),
        (["stdin", "x", "something new"], protocol.Stdin("x")),
    ],
)
def test_client_frames(frame: list[Any], meaning: protocol.ClientFrame) -> None:
    assert protocol.decode(json.dumps(frame)) == meaning


@pytest.mark.parametrize(
    ("frame", "names"),
    [
        (["stdin"], "length"), (["stdin", None], "$[1]"), (["set_size", "1", 2], "$[1]"),
        (["set_size", 1], "length"), (["set_size", 1, 10_001], "$[2]"), (["set_size", 1, 2.5], "$[2]"),
        (["setup", {}], "'setup'"), ({}, "object"),
    ],
)  # fmt: skip
def test_what_is_no_frame_is_named(frame: Any, names: str) -> None:
    with pytest.raises(RemoteProtocolError, match="not a frame of a terminal") as refused:
        protocol.decode(json.dumps(frame))
    assert names in str(refused.value)


@given(st.text() | st.binary())
def test_any_message_is_a_frame_or_the_peer_s_fault(message: str | bytes) -> None:
    try:
        protocol.decode(message)
    except RemoteProtocolError:
        return


@given(st.text())
def test_server_frames_are_terminado_s(text: str) -> None:
    assert json.loads(protocol.encode(protocol.Stdout(text))) == ["stdout", text]
    assert json.loads(protocol.encode(protocol.Setup())) == ["setup", {}]
    assert json.loads(protocol.encode(protocol.Disconnect())) == ["disconnect", 1]
