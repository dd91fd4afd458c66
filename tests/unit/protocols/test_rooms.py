"""One connection to a room's events: what each frame means, what is refused, and where it leads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols import rooms as protocol
from embedenv_jupyter.protocols.faults import FrameError
from embedenv_jupyter.protocols.rooms import RoomSession, State

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "rooms.json").read_text(encoding="utf-8")
)
MEMBER = protocol.Self("m1", "Ann", "#e11d48", "edit")


def by_name(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", GOLDEN[section], ids=lambda entry: entry["name"])


def opened() -> RoomSession:
    session = RoomSession()
    assert session.receive_frame('{"type":"hello"}') == protocol.Hello()
    session.greeted(MEMBER, "T", 0, {})
    session.frames_to_send()
    return session


def said(session: RoomSession) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in session.frames_to_send()]


@by_name("client")
def test_a_client_frame_has_its_meaning(entry: dict[str, Any]) -> None:
    frame = protocol.decode(entry["text"])
    means = {"frame": type(frame).__name__, **msgspec.to_builtins(frame)}
    assert {name: means[name] for name in entry["means"]} == entry["means"]


@by_name("pings")
def test_a_ping_comes_back_as_it_is(entry: dict[str, Any]) -> None:
    session = opened()
    assert session.receive_frame(entry["text"]) is None
    assert session.frames_to_send() == [entry["answer"].encode()]
    assert protocol.encode(protocol.Pong(protocol.decode_ping(entry["text"]).id)) == entry["answer"].encode()


@by_name("rejects")
def test_a_faulty_frame_is_answered_and_the_connection_lives(entry: dict[str, Any]) -> None:
    session = opened()
    assert session.receive_frame(entry["text"]) is None
    assert said(session) == [{"type": "error", "message": entry["reason"], "reason": "FrameError"}]
    assert session.state is State.OPEN and session.close_code is None


@by_name("rejects")
def test_a_faulty_first_frame_ends_the_connection(entry: dict[str, Any]) -> None:
    session = RoomSession()
    assert session.receive_frame(entry["text"]) is None
    assert [frame["type"] for frame in said(session)] == ["error", "bye"]
    assert (session.close_code, session.close_reason) == (CloseCode.PROTOCOL_ERROR, entry["reason"])


@by_name("server")
def test_a_server_frame_is_written_to_the_byte(entry: dict[str, Any]) -> None:
    kind = getattr(protocol, entry["frame"])
    given_ = {**entry["with"], "type": kind.__struct_config__.tag}
    frame = msgspec.convert(given_, kind) if entry["frame"] != "Pong" else kind(msgspec.Raw(b"1"))
    assert protocol.encode(frame) == entry["text"].encode()


def test_every_server_frame_has_a_golden_one() -> None:
    kinds = {kind.__name__ for kind in get_args(protocol.ServerFrame)}
    assert {entry["frame"] for entry in GOLDEN["server"]} == kinds


@pytest.mark.parametrize("first", ['{"type":"ping"}', '{"type":"presence","where":null}'])
def test_whoever_does_not_say_hello_first_is_sent_away(first: str) -> None:
    session = RoomSession()
    assert session.receive_frame(first) is None
    assert said(session)[0]["message"] == "say hello first"
    assert session.state is State.CLOSED and session.close_code is CloseCode.PROTOCOL_ERROR


def test_a_second_hello_is_refused_and_the_connection_lives() -> None:
    session = opened()
    assert session.receive_frame('{"type":"hello"}') is None
    (error,) = said(session)
    assert error["message"] == "you have said hello already; a connection is one member"
    assert session.state is State.OPEN


def test_a_refused_hello_says_why_and_closes() -> None:
    session = RoomSession()
    session.receive_frame('{"type":"hello","resume":9}')
    session.refused("too far", "UnknownNumberError")
    assert said(session) == [
        {"type": "error", "message": "too far", "reason": "UnknownNumberError"},
        {"type": "bye", "reason": "too far"},
    ]
    assert session.close_code is CloseCode.POLICY_VIOLATION


def test_the_first_goodbye_stays_and_nothing_follows_it() -> None:
    session = opened()
    session.ended("put out", CloseCode.REVOKED)
    session.ended("the room has ended", CloseCode.NORMAL)
    session.failed("late", "Late")
    session.greeted(MEMBER, "T", 0, {})
    assert session.receive_frame('{"type":"ping"}') is None
    assert said(session) == [{"type": "bye", "reason": "put out"}]
    assert (session.close_code, session.close_reason) == (CloseCode.REVOKED, "put out")


def test_a_binary_frame_is_refused() -> None:
    session = opened()
    session.receive_frame(b'{"type":"ping"}')
    assert said(session)[0]["message"] == "frames are text, this one is binary"
    first = RoomSession()
    first.receive_frame(b"")
    assert first.close_code is CloseCode.UNSUPPORTED_DATA


@pytest.mark.parametrize("letter", ["a", "ä", "\ud800"])
def test_the_size_of_a_frame_is_bounded_in_bytes(letter: str) -> None:
    text = '{"type":"hello","new":"%s"}'
    room = protocol.MAX_FRAME_BYTES - len(text) + 2
    size = 2 if letter == "ä" else 1
    with pytest.raises(FrameError, match=f"at most {protocol.MAX_FRAME_BYTES} are allowed"):
        protocol.decode(text % (letter * (room // size + 1)))
    if letter != "\ud800":
        assert protocol.decode(text % (letter * (room // size))) == protocol.Hello()


def test_a_token_is_in_no_log() -> None:
    assert "secret" not in repr(protocol.Hello(token="secret"))


def test_text_that_is_no_utf_8_is_mended() -> None:
    assert protocol.encode(protocol.Bye("\ud800")) == '{"type":"bye","reason":"\ufffd"}'.encode()
    assert b"\xef\xbf\xbd" in protocol.render_event(1, "output", 0.0, {"text": "\udfff"})


@given(st.one_of(st.text(), st.binary(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8)
    | st.sampled_from(["hello", "ping", "presence", "where", "kind", "file"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "where", "kind", "path", "id", "user", "resume"]), inner),
).map(json.dumps)))  # fmt: skip
def test_anything_is_a_frame_or_the_peers_fault(frame: str | bytes) -> None:
    try:
        decoded = protocol.decode(frame)
    except FrameError:
        return
    assert isinstance(decoded, get_args(protocol.ClientFrame))


@given(st.lists(st.one_of(
    st.sampled_from(['{"type":"hello"}', '{"type":"ping"}', '{"type":"presence","where":null}', "x"]),
    st.sampled_from(["greeted", "failed", "refused", "ended"]),
)))  # fmt: skip
def test_whatever_happens_the_hello_is_answered_first_and_the_goodbye_is_last(steps: list[str]) -> None:
    session, sent, asked = RoomSession(), [], []
    for step in steps:
        match step:
            case "greeted":
                session.greeted(MEMBER, "T", 0, {})
            case "failed":
                session.failed("no", "No")
            case "refused":
                session.refused("no", "No")
            case "ended":
                session.ended("over", CloseCode.NORMAL)
            case _:
                asked.append(session.receive_frame(step))
        sent += [frame["type"] for frame in said(session)]
        assert (session.state is State.CLOSED) == (session.close_code is not None) == ("bye" in sent)
    assert sent.count("hello") <= 1 and sent.count("bye") <= 1
    if "bye" in sent:
        assert sent[-1] == "bye"
    if "pong" in sent:
        assert "hello" in sent[: sent.index("pong")]
    assert sum(isinstance(frame, protocol.Hello) for frame in asked) <= 1
