"""What a program asks of the engine, as a frame, and what is refused before anything is sent."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from embedenv_jupyter.client import AddressError, Engine
from embedenv_jupyter.client.engine_request import api_key_of, request_of, session_of
from embedenv_jupyter.errors import SourceError
from embedenv_jupyter.protocols.engine.codec import decode_client_frame, encode
from embedenv_jupyter.protocols.engine.frames import Base64, Limits, Size

NOWHERE: dict[str, str] = {}


def test_what_is_not_given_is_not_sent() -> None:
    frame = request_of("a", None, "python", "1", stdin=None)
    sent = encode(frame)
    assert decode_client_frame(sent.decode()) == frame
    for name in (b"session", b"stdin", b"files", b"args", b"env", b"timeout", b"cell", b"limits", b"pty"):
        assert name not in sent


def test_all_that_is_given_is_sent() -> None:
    frame = request_of(
        "a", "s", "python", "1", stdin="", pty=(30, 90), files={"t": "x", "b": b"\xff"}, args=["1"],
        env={"V": "v"}, timeout=2, fresh=True, cell=False, limits={"memory_mib": 64},
    )  # fmt: skip
    assert decode_client_frame(encode(frame).decode()) == frame
    assert (frame.stdin, frame.cell, frame.session) == ("", False, "s")
    assert frame.files == {"t": "x", "b": Base64("/w==")}
    assert (frame.pty, frame.limits) == (Size(30, 90), Limits(memory_mib=64))
    assert frame.timeout is not UNSET


@pytest.mark.parametrize("limits", [{"speed": 1.0}, {"memory_mib": -1.0}, {"pids": 1.5}])
def test_limits_that_are_none_are_named(limits: dict[str, float]) -> None:
    with pytest.raises(SourceError, match="limits"):
        request_of("a", None, "python", "1", stdin=None, limits=limits)


def test_a_session_is_given_made_or_left_out() -> None:
    assert session_of("lesson.1", resume=True) == "lesson.1"
    assert session_of(None, resume=False) is None
    first, second = session_of(None, resume=True), session_of(None, resume=True)
    assert first is not None and first != second and session_of(first, resume=True) == first
    for name in ("", "a b", "x" * 65, "ä/b"):
        with pytest.raises(AddressError, match="no session"):
            session_of(name, resume=True)
    with pytest.raises(AddressError, match="always resumed"):
        session_of("lesson", resume=False)


def test_a_key_is_needed_and_never_shown() -> None:
    assert api_key_of("a", {"EMBEDENV_API_KEY": "b"}) == "a"
    assert api_key_of(None, {"EMBEDENV_API_KEY": "b"}) == "b"
    with pytest.raises(AddressError, match="EMBEDENV_API_KEY"):
        api_key_of(None, NOWHERE)
    engine = Engine("wss://host/ws?token=secret-1", api_key="secret-2", session="s", environment=NOWHERE)
    assert repr(engine) == "<Engine wss://host/ws session 's' not connected>"
