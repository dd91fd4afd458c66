"""The Engine protocol: golden frames, properties of reading and writing, and what answers a request."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from embedenv_jupyter.errors import LocalProtocolError, RemoteProtocolError
from embedenv_jupyter.protocols.engine import client as engine
from embedenv_jupyter.protocols.engine.client import (
    MAX_CODE_BYTES,
    MAX_MESSAGE_CHARS,
    MAX_STRAYS,
    Answer,
    CodeTooLargeError,
    EngineSession,
    Execute,
    Refusal,
    Stray,
)

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "engine.json").read_text(encoding="utf-8")
)
PAGE_FIELDS = {"action", "language", "code", "api_key", "stdout", "stderr", "exit_code", "execution_time"}


def by_name(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", GOLDEN[section], ids=lambda entry: entry["name"])


@by_name("client")
def test_a_request_is_written_as_the_golden_file_says(entry: dict[str, Any]) -> None:
    fields = {name: value for name, value in entry["frame"].items() if name != "action"}
    session = EngineSession(fields["api_key"])
    written = session.execute(fields["language"], fields["code"])
    assert json.loads(written) == entry["frame"]
    assert engine.decode_client_frame(written) == Execute(**fields)


@by_name("server")
def test_an_answer_means_what_the_golden_file_says(entry: dict[str, Any]) -> None:
    frame = engine.decode_server_frame(json.dumps(entry["frame"]))
    assert type(frame).__name__ == entry["kind"]
    assert msgspec.structs.asdict(frame) == entry["fields"]
    if isinstance(frame, Answer):
        assert frame.execution_time_ms == entry["execution_time_ms"]


def test_published_frames_have_the_fields_of_the_page_only() -> None:
    published = [
        entry["frame"] for part in ("client", "server") for entry in GOLDEN[part] if entry["published"]
    ]
    assert len(published) == 4
    assert {name for frame in published for name in frame} == PAGE_FIELDS


@by_name("strays")
def test_what_answers_nothing_is_passed_over(entry: dict[str, Any]) -> None:
    session = waiting()
    assert session.receive_frame(entry["text"]) is None and session.is_waiting
    assert session.receive_frame(entry["text"].encode()) is None and session.strays == 2


@by_name("rejects")
def test_an_answer_that_is_none_names_the_field(entry: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="the answer is not as published") as caught:
        waiting().receive_frame(entry["text"])
    assert entry["names"] in str(caught.value)


def waiting() -> EngineSession:
    session = EngineSession("key")
    session.execute("python", "1")
    return session


# Properties.

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ANY_TEXT = st.text(st.characters(), max_size=20)
TIMES = st.none() | st.integers(0, 2**53) | st.floats(0, 1e12) | TEXT
ANSWERS = st.builds(Answer, TEXT, st.none() | TEXT, st.none() | st.integers(-(2**31), 2**31 - 1), TIMES)
REFUSALS = st.builds(Refusal, TEXT.filter(bool), TEXT, TEXT)
NAMES = st.sampled_from(["stdout", "stderr", "exit_code", "execution_time", "error", "type", "message", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXT, inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.dictionaries(NAMES, VALUES, max_size=5).map(json.dumps)


@given(st.binary(max_size=60) | ANY_TEXT | NEARLY | NEARLY.map(str.encode))
def test_any_bytes_are_a_frame_or_the_peers_fault(data: bytes | str) -> None:
    try:
        frame = engine.decode_server_frame(data)
    except RemoteProtocolError:
        return
    assert isinstance(frame, Answer | Refusal | Stray)
    # What was read can be shown: no half characters, and no number that JSON cannot say.
    msgspec.json.encode(frame).decode()
    if isinstance(frame, Answer):
        msgspec.json.encode(frame.execution_time_ms)


@given(st.binary(max_size=60) | ANY_TEXT)
def test_any_bytes_are_a_request_or_the_peers_fault(data: bytes | str) -> None:
    with contextlib.suppress(RemoteProtocolError):
        assert isinstance(engine.decode_client_frame(data), Execute)


@given(ANSWERS | REFUSALS)
def test_an_answer_is_read_as_it_was_written(frame: Answer | Refusal) -> None:
    assert engine.decode_server_frame(engine.encode_server_frame(frame)) == frame


@given(st.text(min_size=1, max_size=40), ANY_TEXT, ANY_TEXT)
def test_a_request_is_read_as_it_was_written(language: str, code: str, key: str) -> None:
    frame = Execute(language, code, key)
    read = engine.decode_client_frame(engine.encode(frame))
    assert engine.encode(read) == engine.encode(frame)
    if not any("\ud800" <= character <= "\udfff" for character in language + code + key):
        assert read == frame


class Exchange(RuleBasedStateMachine):
    """Requests, answers and junk in any order: each request gets at most one answer, the next that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.session = EngineSession("key")
        self.is_waiting = False
        self.strays = 0

    @precondition(lambda self: not self.is_waiting)
    @rule(code=ANY_TEXT)
    def ask(self, code: str) -> None:
        assert self.session.execute("python", code)
        self.is_waiting, self.strays = True, 0

    @precondition(lambda self: self.is_waiting)
    @rule()
    def ask_twice(self) -> None:
        with pytest.raises(LocalProtocolError):
            self.session.execute("python", "1")

    @rule(frame=ANSWERS | REFUSALS)
    def answer(self, frame: Answer | Refusal) -> None:
        got = self.session.receive_frame(engine.encode_server_frame(frame))
        assert got == (frame if self.is_waiting else None)
        self.is_waiting = False

    @rule(entry=st.sampled_from(GOLDEN["strays"]))
    def stray(self, entry: dict[str, Any]) -> None:
        assert self.session.receive_frame(entry["text"]) is None
        self.strays += self.is_waiting

    @invariant()
    def knows_whether_it_waits(self) -> None:
        assert self.session.is_waiting == self.is_waiting
        if self.is_waiting:
            assert self.session.strays == self.strays


TestExchange = Exchange.TestCase
TestExchange.settings = settings(max_examples=50, stateful_step_count=20)


# Limits.


def test_too_many_strays_are_the_peers_fault() -> None:
    session = waiting()
    for _ in range(MAX_STRAYS):
        assert session.receive_frame("junk") is None
    with pytest.raises(RemoteProtocolError, match=r"more than 1000 frames answer nothing, at last 'junk'"):
        session.receive_frame("junk")


def test_code_has_a_limit_in_bytes() -> None:
    session = EngineSession("key")
    assert session.execute("python", "é" * (MAX_CODE_BYTES // 2))
    session = EngineSession("key")
    with pytest.raises(CodeTooLargeError) as caught:
        session.execute("python", "é" * (MAX_CODE_BYTES // 2) + "x")
    assert caught.value.size_bytes == MAX_CODE_BYTES + 1 and not session.is_waiting


def test_what_is_shown_of_a_frame_is_short() -> None:
    frame = engine.decode_server_frame("y" * 10_000)
    assert isinstance(frame, Stray) and len(frame.shown) < 100
    refusal = engine.decode_server_frame(json.dumps({"error": "z" * 10_000}))
    assert isinstance(refusal, Refusal) and len(refusal.message) == MAX_MESSAGE_CHARS + 1


def test_half_characters_are_mended_in_both_directions() -> None:
    answer = engine.decode_server_frame('{"stdout": "a\\ud800b\\ud83d\\ude00"}')
    assert answer == Answer("a\ufffdb😀")
    assert json.loads(engine.encode(Execute("python", "\udc80", "k")))["code"] == "\ufffd"


def test_nesting_without_end_answers_nothing() -> None:
    for text in ("[" * 200_000, '{"stdout":' * 200_000, '{"stdout":"\\ud800","x":' + "[" * 200_000):
        assert isinstance(engine.decode_server_frame(text), Stray)


def test_the_repr_of_a_request_holds_no_secret() -> None:
    shown = repr(Execute("python", "print('private')", "sk-secret"))
    assert shown == "Execute(language='python', code of 16 characters)"
