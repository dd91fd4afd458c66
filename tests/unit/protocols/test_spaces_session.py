"""One connection: its states, its limits, its answers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from embedenv_jupyter.errors import CloseCode, LocalProtocolError, RemoteProtocolError
from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.protocols.spaces import SpacesSession, State
from embedenv_jupyter.protocols.spaces import session as session_module
from embedenv_jupyter.protocols.spaces.frames import MAX_CHUNK_CHARS, MAX_FRAME_BYTES, MAX_HELLO_BYTES

INIT = '{"type":"init","public_key":"p","secret_key":"s"}'
JOIN = '{"type":"join","join":"k","user":"ada","color":"#fff"}'
WELCOME: dict[str, Any] = {"room": "r", "role": "edit", "member": "m", "n": 3}


def opened(*, asks: bool = False) -> SpacesSession:
    session = SpacesSession()
    session.receive_frame(JOIN[:-1] + (',"resume":0}' if asks else "}"))
    session.joined("k", "ada", "#fff", **WELCOME)
    session.frames_to_send()
    return session


def sent(session: SpacesSession) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in session.frames_to_send()]


def shell(command: str, **beside: Any) -> str:
    return json.dumps({"type": "cmd", "command": {"type": "shell", "command": command}, **beside})


# States.


def test_from_the_first_frame_to_the_end() -> None:
    session = SpacesSession()
    states = [session.state]
    assert session.receive_frame(INIT) == [spaces.Init("p", "s")]
    states.append(session.state)
    session.initialised("k", 999, **WELCOME)
    states.append(session.state)
    assert session.receive_frame(shell("ls")) == [spaces.Shell("ls")]
    session.closed()
    assert [*states, session.state] == [State.CONNECTING, State.GREETED, State.OPEN, State.CLOSED]
    assert not session.asks and session.close_code is None


@pytest.mark.parametrize("second", [INIT, JOIN])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_second_hello_is_fatal(second: str, is_open: bool) -> None:
    session = SpacesSession()
    session.receive_frame(INIT)
    if is_open:
        session.initialised("k", 1, **WELCOME)
    session.frames_to_send()
    with pytest.raises(RemoteProtocolError) as caught:
        session.receive_frame(second)
    assert caught.value.code is session.close_code is CloseCode.PROTOCOL_ERROR
    assert session.close_reason == str(caught.value)
    assert [frame["type"] for frame in sent(session)] == ["error"]


def test_a_binary_message_is_fatal() -> None:
    for session in (SpacesSession(), opened()):
        with pytest.raises(RemoteProtocolError, match="binary"):
            session.receive_frame(shell("ls").encode())
        assert session.close_code is CloseCode.UNSUPPORTED_DATA


def test_a_frame_that_crosses_the_end_is_dropped() -> None:
    session = opened()
    session.closed()
    session.closed()
    for frame in (shell("ls"), INIT, "not JSON", b"binary"):
        assert session.receive_frame(frame) == []
    session.message("late")
    session.rendered([b"late"])
    session.refused("late")
    session.joined("k", "ada", "#fff", **WELCOME)
    assert session.frames_to_send() == [] and session.state is State.CLOSED


def test_a_command_that_was_fed_too_early_does_not_end_the_connection() -> None:
    session = SpacesSession()
    session.receive_frame(INIT)
    assert session.receive_frame(shell("ls")) == []
    assert session.receive_frame("no JSON") == []
    assert [frame["type"] for frame in sent(session)] == ["error", "error"]
    session.initialised("k", 1, **WELCOME)
    assert session.state is State.OPEN


def test_a_hello_is_answered_by_its_own_kind_and_once() -> None:
    session = SpacesSession()
    with pytest.raises(LocalProtocolError):
        session.initialised("k", 1, **WELCOME)
    with pytest.raises(LocalProtocolError):
        session.refused("no")
    session.receive_frame(INIT)
    with pytest.raises(LocalProtocolError):
        session.joined("k", "ada", "#fff", **WELCOME)
    session.initialised("k", 1, **WELCOME)
    with pytest.raises(LocalProtocolError):
        session.initialised("k", 1, **WELCOME)


def test_a_refused_hello_closes_the_socket() -> None:
    session = SpacesSession()
    session.receive_frame(INIT)
    session.refused("These keys are not valid.")
    assert session.state is State.CLOSED
    assert (session.close_code, session.close_reason) == (1008, "These keys are not valid.")
    assert sent(session) == [{"type": "error", "message": "These keys are not valid."}]


def test_a_refused_hello_may_be_followed_by_another() -> None:
    session = SpacesSession()
    session.receive_frame(JOIN[:-1] + ',"resume":4}')
    session.refused(ValueError("later"), fatal=False)
    assert session.state is State.CONNECTING and session.close_code is None
    assert sent(session) == [{"type": "error", "message": "later"}]
    assert session.receive_frame(JOIN)
    assert not session.asks


# Who asks.


@pytest.mark.parametrize("resume", [0, 7, (1 << 53) - 1])
def test_a_client_asks_by_resume(resume: int) -> None:
    session = SpacesSession()
    (request,) = session.receive_frame(f'{{"type":"join","join":"k","resume":{resume}}}')
    assert session.asks and isinstance(request, spaces.Join) and request.resume == resume


def test_null_is_no_resume() -> None:
    session = SpacesSession()
    (request,) = session.receive_frame('{"type":"join","join":"k","resume":null,"user":null,"color":null}')
    assert request == spaces.Join("k", "guest", "#6366f1") and not session.asks


@pytest.mark.parametrize("user", ["ada", "Zoë 🦊", "می\u200cخواهم", "👩\u200d💻", "x" * 64, " padded "])
def test_a_user_of_any_script(user: str) -> None:
    (request,) = SpacesSession().receive_frame(json.dumps({"type": "join", "join": "k", "user": user}))
    assert isinstance(request, spaces.Join) and request.user == user.strip()


@pytest.mark.parametrize("user", ["", "  ", "\u200d\u200c"])
def test_a_user_without_a_name_is_a_guest(user: str) -> None:
    (request,) = SpacesSession().receive_frame(json.dumps({"type": "join", "join": "k", "user": user}))
    assert isinstance(request, spaces.Join) and request.user == "guest"


@pytest.mark.parametrize("colour", ["#abc", "#abcd", "#aabbcc", "#AABBCCDD", "teal", "rebeccapurple"])
def test_a_colour(colour: str) -> None:
    (request,) = SpacesSession().receive_frame(json.dumps({"type": "join", "join": "k", "color": colour}))
    assert isinstance(request, spaces.Join) and request.colour == colour


@pytest.mark.parametrize(
    "colour", ["#ab", "#abcde", "#gggggg", "red;", "rgb(1,2,3)", "red\n", "x" * 33, "#abc\n"]
)
def test_no_colour(colour: str) -> None:
    with pytest.raises(RemoteProtocolError, match="color"):
        SpacesSession().receive_frame(json.dumps({"type": "join", "join": "k", "color": colour}))


# Limits.


def test_a_hello_is_bounded_in_bytes() -> None:
    filler = "é" * (MAX_HELLO_BYTES // 2)
    with pytest.raises(RemoteProtocolError, match="at most 8192") as caught:
        SpacesSession().receive_frame(json.dumps({"type": "join", "x": filler}, ensure_ascii=False))
    assert caught.value.code is CloseCode.TOO_BIG


def test_a_frame_beyond_the_limit_is_refused_and_the_socket_lives() -> None:
    session = opened()
    assert session.receive_frame(shell("x" * MAX_FRAME_BYTES)) == []
    (answer,) = sent(session)
    assert answer["type"] == "error" and f"at most {MAX_FRAME_BYTES}" in answer["message"]
    assert session.receive_frame(shell("ls"))


def test_a_message_beyond_all_bounds_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_FRAME_BYTES", 1000)
    monkeypatch.setattr(session_module, "MAX_MESSAGE_BYTES", 2000)
    session = opened()
    assert session.receive_frame(shell("é" * 300)) == []
    with pytest.raises(RemoteProtocolError) as caught:
        session.receive_frame(shell("x" * 2000))
    assert caught.value.code is CloseCode.TOO_BIG


@pytest.mark.parametrize("character", ["x", "\n", '"', "é", "漢", "😀"])
def test_ten_megabytes_fit_into_a_write_however_they_are_escaped(character: str) -> None:
    content = character * (10_000_000 // len(character.encode()))
    frame = json.dumps({"type": "cmd", "command": {"type": "write"}, "path": "project/a", "content": content})
    (request,) = opened().receive_frame(frame)
    assert isinstance(request, spaces.Write) and request.content == content.encode()


def test_answers_that_nobody_drains_are_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_QUEUED_BYTES", 1000)
    session = opened()
    session.message("x" * 900)
    with pytest.raises(LocalProtocolError, match="drained"):
        session.message("x" * 90)
    assert session.queued_bytes > 1000
    session.frames_to_send()
    assert session.queued_bytes == 0


# Answers.


def test_a_long_chunk_goes_in_pieces_of_bounded_size() -> None:
    session = opened()
    text = "ab" * MAX_CHUNK_CHARS + "c"
    session.chunk(text)
    session.chunk("")
    session.end()
    *chunks, end = sent(session)
    assert end == {"type": "end"} and "".join(chunk["content"] for chunk in chunks) == text
    assert max(len(chunk["content"]) for chunk in chunks) == MAX_CHUNK_CHARS


def test_frames_of_the_log_go_in_turn_with_answers() -> None:
    session = opened()
    session.message("before")
    session.rendered(spaces.render_output(1, "a\n", run="r1"))
    session.message("after")
    assert [frame["type"] for frame in sent(session)] == ["msg", "terminal-data", "terminal-newline", "msg"]


def test_a_listing_of_names_that_are_not_utf8() -> None:
    session = opened(asks=True)
    entry = SimpleNamespace(name="a\udcff", type="file", size_bytes=1, modified_s=2.0)
    session.listing(".", [entry], "c-1")
    assert sent(session)[0]["entries"] == [{"name": "a\ufffd", "type": "file", "size": 1, "modified": 2.0}]


def test_a_failed_request_ends_for_those_who_asked_and_those_who_did_not() -> None:
    for id in (None, "c-1"):
        session = opened(asks=id is not None)
        session.curl_failed("refused", id)
        assert [frame["type"] for frame in sent(session)] == ["error", "end"]
