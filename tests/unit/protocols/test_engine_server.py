"""A gateway's side of the Engine protocol: golden frames, what is refused, and what is answered to whom."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from embedenv_jupyter.engine import source
from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols.engine import codec, frames
from embedenv_jupyter.protocols.engine.server import MAX_WAITING, EngineConnection
from embedenv_jupyter.protocols.faults import FrameError

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "engine_stream.json").read_text(encoding="utf-8")
)


def by_name(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", GOLDEN[section], ids=lambda entry: entry["name"])


def execute(**fields: Any) -> str:
    return json.dumps({"action": "execute", "language": "python", "code": "1", **fields})


def answer(id: str | None = None) -> frames.Answer:
    return frames.Answer(stdout="", stderr="", exit_code=0, execution_time=1, id=UNSET if id is None else id)


def sent(connection: EngineConnection) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in connection.frames_to_send()]


@by_name("client")
def test_golden_requests_are_read(entry: dict[str, Any]) -> None:
    frame = codec.decode_client_frame(json.dumps(entry["frame"]))
    assert type(frame).__name__ == entry["kind"]
    written = json.loads(codec.encode(frame))
    assert entry["frame"].items() <= {**written, "colour": "red"}.items()


@by_name("refused")
def test_golden_faults_are_named_and_the_socket_lives(entry: dict[str, Any]) -> None:
    connection = EngineConnection()
    assert connection.receive_frame(entry["text"]) is None
    (error,) = sent(connection)
    assert (error["type"], error["error"]) == ("error", "bad_frame")
    assert entry["says"] in error["message"]
    assert connection.close_code is None
    assert connection.receive_frame('{"action":"ping"}') is None
    assert sent(connection) == [{"type": "pong"}]


@by_name("server")
def test_golden_frames_are_written_as_they_stand(entry: dict[str, Any]) -> None:
    frame = entry["frame"]
    kind = codec.decode_stream_frame if "type" in frame else msgspec.json.Decoder(frames.Answer).decode
    assert json.loads(codec.encode(kind(json.dumps(frame)))) == frame


@by_name("connection")
def test_golden_frames_of_a_connection_are_written_as_they_stand(entry: dict[str, Any]) -> None:
    frame = codec.decode_streams_frame(json.dumps(entry["frame"]))
    assert not isinstance(frame, codec.Stranger)
    assert json.loads(codec.encode(frame)) == entry["frame"]


def test_an_answer_has_the_published_fields_only_when_nothing_else_is_to_say() -> None:
    assert list(json.loads(codec.encode(answer()))) == ["stdout", "stderr", "exit_code", "execution_time"]


def test_a_refusal_can_be_read_as_an_answer_by_a_client_of_the_page() -> None:
    connection = EngineConnection()
    connection.receive_frame("{}")
    (error,) = sent(connection)
    assert {"stdout", "stderr", "exit_code", "execution_time"} <= error.keys()


def test_an_id_is_taken_until_it_is_answered() -> None:
    connection = EngineConnection()
    assert isinstance(connection.receive_frame(execute(id="a")), frames.Execute)
    assert connection.receive_frame(execute(id="a")) is None
    (error,) = sent(connection)
    assert (error["id"], "not answered yet" in error["message"]) == ("a", True)
    connection.answer(answer("a"))
    assert isinstance(connection.receive_frame(execute(id="a", stream=True)), frames.Execute)
    connection.ended("a")
    assert isinstance(connection.receive_frame(execute(id="a")), frames.Execute)


def test_no_more_than_a_bounded_number_of_runs_waits() -> None:
    connection = EngineConnection()
    for number in range(MAX_WAITING):
        fields = {"id": str(number)} if number % 2 else {}
        assert connection.receive_frame(execute(**fields)) is not None
    assert connection.receive_frame(execute(id="one more")) is None
    (error,) = sent(connection)
    assert (error["id"], str(MAX_WAITING) in error["message"]) == ("one more", True)
    connection.answer(answer())
    assert connection.receive_frame(execute(id="one more")) is not None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{}", CloseCode.UNSUPPORTED_DATA),
        ('"' + "x" * frames.MAX_MESSAGE_BYTES + '"', CloseCode.TOO_BIG),
    ],
    ids=["binary", "beyond all bounds"],
)
def test_what_is_fatal_is_answered_before_the_close(data: str | bytes, code: CloseCode) -> None:
    connection = EngineConnection()
    with pytest.raises(FrameError):
        connection.receive_frame(data)
    assert connection.close_code is code
    assert sent(connection)[0]["type"] == "error"


def test_no_secret_and_no_code_is_shown() -> None:
    shown = repr(codec.decode_client_frame(execute(api_key="hush", code="secret()")))
    assert "hush" not in shown and "secret" not in shown
    assert "hush" not in repr(frames.Auth("hush")) + repr(frames.Resume("s", api_key="hush"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=12,
)
FIELDS = ("action", "language", "code", "api_key", "id", "stream", "session", "stdin", "files", "args", "env",
          "timeout", "limits", "pty", "data", "signal", "rows", "cols", "after", "fresh", "cell")  # fmt: skip
ACTIONS = codec.ALLOWED["action"]
NEAR_MISSES = st.fixed_dictionaries(
    {"action": st.sampled_from(ACTIONS)}, optional=dict.fromkeys(FIELDS[1:], JSON)
)


@settings(max_examples=400)
@given(st.text() | JSON.map(json.dumps) | NEAR_MISSES.map(json.dumps))
def test_whatever_comes_is_read_or_answered(text: str) -> None:
    connection = EngineConnection()
    frame = connection.receive_frame(text)
    told = sent(connection)
    assert connection.close_code is None
    assert (frame is None) == (len(told) == 1)
    assert all(one["type"] in ("error", "pong") for one in told)


@given(st.text(st.characters(), max_size=50))
def test_any_text_makes_valid_frames(text: str) -> None:
    frame = frames.Stdout(id="r", data=text)
    read = json.loads(codec.encode(frame))
    assert read["data"].encode("utf-8").decode() == read["data"]
    assert len(read["data"]) <= len(text)


@given(JSON.map(json.dumps) | st.text())
def test_any_body_of_rest_is_read_or_named(text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    read = codec.decode_batch if codec.is_batch(body) else codec.decode_work
    with suppress(FrameError):
        read(body)


def test_what_is_typed_is_not_shown() -> None:
    assert "hush" not in repr(codec.decode_client_frame('{"action":"stdin","id":"a","data":"hush"}'))


def test_the_bounds_of_frames_are_those_of_sources() -> None:
    of_frames = (frames.MAX_CODE_CHARS, frames.MAX_FILES, frames.MAX_ARGUMENTS, frames.MAX_VARIABLES)
    of_sources = (source.MAX_CODE_BYTES, source.MAX_FILES, source.MAX_ARGUMENTS, source.MAX_ENV)
    assert (of_frames, frames.MAX_TEXT_CHARS) == (of_sources, source.MAX_TEXT_BYTES)
