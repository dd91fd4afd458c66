"""Properties of reading and writing frames, and that no secret shows."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.protocols.faults import MAX_REASON_CHARS, tags_of
from embedenv_jupyter.protocols.spaces import frames
from embedenv_jupyter.protocols.spaces.codec import (
    decode_client_frame,
    decode_server_frame,
    encode,
    id_of,
)
from embedenv_jupyter.protocols.text import whole

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ANY_TEXT = st.text(st.characters(), max_size=20)
NUMBER = st.integers(0, frames.MAX_NUMBER)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
RAW = JSON.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def field_values(kind: type[msgspec.Struct], text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Any frame of one kind: required fields always, the others sometimes."""
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        values = OF_FIELD.get(f"{kind.__name__}.{field.name}", OF_FIELD.get(field.name, text))
        (required if field.required else optional)[field.name] = values
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind(**fields))


OF_FIELD: dict[str, st.SearchStrategy[Any]] = {
    "Join.join": KEYS, "Join.member": KEYS, "public_key": KEYS, "secret_key": KEYS, "resume": NUMBER,
    "root": RAW, "targetElementData": RAW, "headers": RAW, "Cmd.id": RAW, "seconds": st.floats(0, 1e6),
    "n": NUMBER, "remaining_credits": NUMBER | st.none(), "first": NUMBER, "last": NUMBER, "events": NUMBER,
    "bytes": NUMBER, "code": st.integers(0, 255) | st.none(), "Exit.signal": TEXT | st.none(),
    "details": st.dictionaries(TEXT.filter(lambda key: key not in ("type", "event", "n")), JSON, max_size=3),
    "entries": st.lists(
        st.builds(frames.Entry, TEXT, TEXT, NUMBER, st.floats(0, 1e10)), max_size=3
    ).map(tuple),
}  # fmt: skip
COMMANDS = st.one_of([field_values(kind, TEXT) for kind in get_args(frames.Command)])
OF_FIELD["command"] = COMMANDS
CLIENT_FRAMES = st.one_of([field_values(kind, TEXT) for kind in get_args(frames.ClientFrame)])
SERVER_FRAMES = st.one_of([field_values(kind, TEXT) for kind in get_args(frames.ServerFrame)])


@given(CLIENT_FRAMES)
def test_a_client_frame_is_read_as_it_was_written(frame: frames.ClientFrame) -> None:
    assert comparable(decode_client_frame(encode(frame))) == comparable(frame)


@given(SERVER_FRAMES)
def test_a_server_frame_is_read_as_it_was_written(frame: frames.ServerFrame) -> None:
    assert decode_server_frame(encode(frame)) == frame


def comparable(value: Any) -> Any:
    """Raw JSON compares by identity; take its bytes."""
    if isinstance(value, msgspec.Raw):
        return bytes(value)
    if isinstance(value, msgspec.Struct):
        return type(value), {name: comparable(getattr(value, name)) for name in value.__struct_fields__}
    return value


@given(st.one_of([field_values(kind, ANY_TEXT) for kind in get_args(frames.ServerFrame)]))
def test_any_text_can_be_written(frame: frames.ServerFrame) -> None:
    json.loads(encode(frame).decode("utf-8", "strict"))


def test_halves_of_characters_are_mended() -> None:
    assert whole("a\ud83d\ude00b\ud83dc\ude00") == "a\U0001f600b\ufffdc\ufffd"
    assert encode(frames.Event("run", 1, {"\ud83d": ["\ude00", 1]})) == (
        '{"type":"event","event":"run","\ufffd":["\ufffd",1],"n":1}'.encode()
    )


@given(st.binary() | st.text(st.characters()))
def test_anything_is_a_frame_or_a_protocol_error(data: bytes | str) -> None:
    for decode in (decode_client_frame, decode_server_frame):
        with_error(decode, data)
    id_of(data)


def with_error(decode: Any, data: bytes | str) -> None:
    reason = "a frame"
    try:
        decode(data)
    except RemoteProtocolError as exc:
        reason = str(exc)
    assert 0 < len(reason.encode()) <= 4 * MAX_REASON_CHARS


WORDS = st.sampled_from([*tags_of(frames.Command), *tags_of(frames.ClientFrame)])
FIELDS = st.sampled_from(
    sorted({*frames.Cmd.__struct_fields__, *frames.Join.__struct_fields__, *frames.Init.__struct_fields__})
)
SOME_FIELDS = st.dictionaries(FIELDS, JSON, max_size=4)
NEARLY_FRAMES = st.builds(
    lambda head, command, rest: head | {"command": command} | rest,
    st.fixed_dictionaries({"type": st.sampled_from(["cmd", "cmd", "cmd", "init", "join"])}),
    JSON | st.builds(lambda word, rest: rest | {"type": word}, WORDS, SOME_FIELDS),
    SOME_FIELDS,
)


@given(NEARLY_FRAMES, st.booleans())
def test_nearly_a_frame_is_a_request_or_an_error_frame(frame: dict[str, Any], asks: bool) -> None:
    session = spaces.SpacesSession()
    session.receive_frame(json.dumps({"type": "join", "join": "k"} | ({"resume": 0} if asks else {})))
    session.joined("k", "u", "#fff", room="r", role="edit", member="m", n=0)
    session.frames_to_send()
    try:
        asked = session.receive_frame(json.dumps(frame))
    except RemoteProtocolError:
        assert frame["type"] in ("init", "join") and session.close_code == 1002
        return
    answered = [json.loads(data) for data in session.frames_to_send()]
    assert len(asked) + len(answered) == 1
    assert all(answer["type"] == "error" for answer in answered)


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "init", "public_key": "pub", "secret_key": "hunter2"},
        {"type": "join", "join": "hunter2", "user": "ada", "member": "hunter2"},
    ],
)
def test_no_secret_is_in_the_text_of_a_hello(frame: dict[str, str]) -> None:
    text = json.dumps(frame)
    (request,) = spaces.SpacesSession().receive_frame(text)
    for shown in (repr(request), str(request), f"{request}", repr(decode_client_frame(text))):
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    "request_",
    [
        spaces.Shell("hunter2"), spaces.Stdin("hunter2"), spaces.Write("a", b"hunter2"),
        spaces.DeployProject((("a", b"hunter2"),)),
        spaces.Curl("GET", 80, "/?k=hunter2", {"Authorization": "hunter2"}, b"hunter2"),
    ],
    ids=lambda request: type(request).__name__,
)  # fmt: skip
def test_what_may_be_a_password_is_not_in_the_text_of_a_request(request_: spaces.Request) -> None:
    assert "hunter2" not in repr(request_)


def test_no_secret_is_in_the_text_of_an_error() -> None:
    session = spaces.SpacesSession()
    with pytest.raises(RemoteProtocolError) as caught:
        session.receive_frame('{"type":"init","secret_key":"hunter2","public_key":5}')
    assert "hunter2" not in str(caught.value) + repr(caught.value) + repr(session.frames_to_send())
