from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.client import frames
from embedenv_jupyter.client.frames import (
    Chunk,
    Done,
    End,
    Entry,
    Error,
    Exit,
    Happening,
    Init,
    Listing,
    LogGap,
    Message,
    TerminalData,
    TerminalEnd,
    TerminalNewline,
    Unknown,
    decode,
)
from embedenv_jupyter.errors import RemoteProtocolError

PUBLISHED: list[tuple[dict[str, Any], object]] = [
    ({"type": "init", "join": "K", "remaining_credits": 999}, Init(join="K", remaining_credits=999)),
    ({"type": "msg", "message": "project created"}, Message("project created")),
    ({"type": "terminal-data", "data": "total 8"}, TerminalData("total 8")),
    ({"type": "terminal-newline", "data": ""}, TerminalNewline()),
    ({"type": "terminal-data-end"}, TerminalEnd()),
    ({"type": "chunk", "content": "<!DOCTYPE html>"}, Chunk("<!DOCTYPE html>")),
    ({"type": "end"}, End()),
    # Two frames of the published page are malformed; they must do no harm.
    ({"type": 'head><meta charset="utf-8"/></head>'}, Unknown('head><meta charset="utf-8"/></head>')),
    ({"type": "body", "content": "Fixed HTML Trigger Engine!"}, Unknown("body")),
    ({}, Unknown("None")),
]

ADDITIONS: list[tuple[dict[str, Any], object]] = [
    (
        {
            "type": "init",
            "join": "K",
            "remaining_credits": 1,
            "room": "r",
            "role": "own",
            "member": "M",
            "n": 2,
        },
        Init("K", 1, "r", "own", "M", 2),
    ),
    (
        {"type": "exit", "run": "r1", "code": None, "signal": "SIGINT", "n": 9},
        Exit("r1", None, "SIGINT", n=9),
    ),
    ({"type": "exit", "run": 1, "code": 3, "signal": None, "n": 9}, Exit(1, 3, None, n=9)),
    ({"type": "gap", "from": 1, "to": 5, "events": 5, "bytes": 70, "n": 5}, LogGap(1, 5, 5, 70, 5)),
    ({"type": "done", "id": "a-1"}, Done("a-1")),
    ({"type": "error", "message": "no", "id": "a-1"}, Error("no", id="a-1")),
    (
        {
            "type": "listing",
            "path": "project",
            "id": "a",
            "entries": [{"name": "x", "type": "file", "size": 1, "modified": 2}],
        },
        Listing("project", (Entry("x", "file", 1, 2.0),), "a"),
    ),
    (
        {"type": "event", "event": "run", "run": "r1", "command": "ls", "user": "ada", "n": 4, "later": [1]},
        Happening("run", {"command": "ls", "user": "ada", "later": [1]}, "r1", None, 4),
    ),
]


@pytest.mark.parametrize(("wire", "meaning"), PUBLISHED + ADDITIONS)
def test_frames_are_understood(wire: dict[str, Any], meaning: object) -> None:
    assert decode(json.dumps(wire).encode()) == meaning
    assert decode(json.dumps(wire)) == meaning


def test_unknown_fields_are_ignored() -> None:
    assert decode(b'{"type":"end","colour":{"deep":[1]},"id":"x"}') == End("x")


@pytest.mark.parametrize(
    "wire",
    [
        b'{"type":"terminal-data","data":5,"n":7,"id":"x"}',
        b'{"type":"gap","from":"a","n":7,"id":"x"}',
        b'{"type":"event","event":3,"n":7,"id":"x"}',
        b'{"type":"someday","n":7,"id":"x"}',
    ],
)
def test_the_number_of_a_misshapen_frame_still_counts(wire: bytes) -> None:
    frame = decode(wire)
    assert isinstance(frame, Unknown)
    assert (frame.n, frame.id) == (7, "x")


@pytest.mark.parametrize("wire", [b"", b"hello", b"[1]", b'"x"', b"{", b"\xff\xfe", b"null", b"[" * 100_000])
def test_what_is_no_object_breaks_the_protocol(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="no JSON"):
        decode(wire)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_give_a_frame_or_a_protocol_error(data: bytes) -> None:
    try:
        frame = decode(data)
    except RemoteProtocolError:
        return
    assert isinstance(frame, frames.ServerFrame)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
types = st.sampled_from(
    [wire["type"] for wire, _ in PUBLISHED + ADDITIONS if "type" in wire] + ["event", "join"]
)
fields = st.sampled_from(
    ["n", "id", "run", "data", "event", "message", "code", "signal", "content", "entries", "from", "to"]
)


@given(types, st.dictionaries(fields, json_values))
def test_any_object_gives_a_frame(kind: str, rest: dict[str, Any]) -> None:
    assert isinstance(decode(json.dumps({"type": kind, **rest})), frames.ServerFrame)
