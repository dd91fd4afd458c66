"""The golden frames of the Spaces protocol: what each means, how it is written, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.protocols.spaces import rendering, requests
from embedenv_jupyter.protocols.spaces.codec import decode_client_frame, decode_server_frame, encode
from embedenv_jupyter.protocols.spaces.frames import EVENTS, Event

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "spaces.json").read_text(encoding="utf-8")
)
ADDITIONS = {"n", "run", "id", "room", "role", "member"}


def by_name(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", GOLDEN[section], ids=lambda entry: entry["name"])


def compact(frame: object) -> bytes:
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()


def greeted(hello: str = "join", *, asks: bool = False) -> spaces.SpacesSession:
    session = spaces.SpacesSession()
    frame: dict[str, Any] = {"type": "join", "join": "k"}
    if hello == "init":
        frame = {"type": "init", "public_key": "p", "secret_key": "s"}
    assert session.receive_frame(json.dumps({**frame, "resume": 0} if asks else frame))
    return session


def opened(*, asks: bool = False) -> spaces.SpacesSession:
    session = greeted(asks=asks)
    session.joined("k", "u", "#fff", room="ROOM", role="edit", member="TOKEN", n=0)
    session.frames_to_send()
    return session


def plain(value: object) -> object:
    """Show a request's field as the golden file does."""
    match value:
        case bytes():
            return value.decode()
        case tuple():
            return [[path, None if content is None else content.decode()] for path, content in value]
    return value


def act(session: spaces.SpacesSession | None, action: dict[str, Any], *, asks: bool) -> list[bytes]:
    """Report what the golden file says, to a session or to the renderer."""
    arguments = dict(action["with"])
    if "render" in action:
        frames: list[bytes] = getattr(rendering, action["render"])(**arguments, asking=asks)
        return frames
    hello = "init" if action["call"] == "initialised" else "join"
    if session is None:
        begun = action["call"] in ("initialised", "joined", "refused")
        session = greeted(arguments.pop("hello", hello), asks=asks) if begun else opened(asks=asks)
    if "entries" in arguments:
        arguments["entries"] = [SimpleNamespace(**entry) for entry in arguments["entries"]]
    getattr(session, action["call"])(**arguments)
    return session.frames_to_send()


@by_name("client")
def test_a_client_frame_means_what_the_golden_file_says(entry: dict[str, Any]) -> None:
    text = json.dumps(entry["frame"])
    session = opened(asks=entry["asks"]) if entry["frame"]["type"] == "cmd" else spaces.SpacesSession()
    (request,) = session.receive_frame(text)
    fields = {f.name: plain(getattr(request, f.name)) for f in dataclasses.fields(request)}
    assert {"kind": type(request).__name__, **fields} == entry["request"]
    assert session.frames_to_send() == []


@by_name("client")
def test_a_client_frame_is_written_as_it_was_read(entry: dict[str, Any]) -> None:
    frame = decode_client_frame(json.dumps(entry["frame"]))
    written = json.loads(encode(frame))
    known = {key: value for key, value in entry["frame"].items() if key not in ("later", "command")}
    assert {key: value for key, value in written.items() if key != "command"} == known


@by_name("server")
def test_a_server_frame_is_written_to_the_byte(entry: dict[str, Any]) -> None:
    written = act(None, entry, asks=entry["asks"])
    assert written == [compact(frame) for frame in entry["frames"]]
    assert [encode(decode_server_frame(frame)) for frame in written] == written


def test_who_does_not_ask_sees_no_field_of_ours() -> None:
    frames = [frame for entry in GOLDEN["server"] if not entry["asks"] for frame in entry["frames"]]
    frames += [frame for step in GOLDEN["steps"] for frame in step["frames"]]
    assert len(frames) > 40 and not [frame for frame in frames if ADDITIONS & frame.keys()]


def test_every_request_and_event_has_a_golden_frame() -> None:
    kinds = {entry["request"]["kind"] for entry in GOLDEN["client"]}
    assert kinds == {kind.__name__ for kind in requests.Request.__args__}
    events = {frame["event"]: frame for e in GOLDEN["server"] for frame in e["frames"] if "event" in frame}
    shapes = {name: (*fields, "n") for name, fields in EVENTS.items()}
    assert {name: tuple(frame)[2:] for name, frame in events.items()} == shapes


def test_an_event_is_read_back_with_its_details() -> None:
    event = Event("run", 3, {"run": "r1", "type": "x", "n": 9})
    assert json.loads(encode(event)) == {"type": "event", "event": "run", "run": "r1", "n": 3}


def test_the_published_steps_frame_by_frame() -> None:
    session = spaces.SpacesSession()
    assert [step["step"] for step in GOLDEN["steps"]] == list(range(1, 15))
    for step in GOLDEN["steps"]:
        requested = session.receive_frame(json.dumps(step["client"]))
        assert len(requested) == 1 and requested[0].id is None
        sent = [frame for action in step["server"] for frame in act(session, action, asks=False)]
        assert sent == [compact(frame) for frame in step["frames"]], step["title"]


@by_name("rejects")
def test_a_reject_is_refused_with_its_reason(entry: dict[str, Any]) -> None:
    text: str = entry["text"]
    if "pad" in entry:
        text = text.replace("§", entry["pad"][0] * entry["pad"][1])
    session = spaces.SpacesSession() if entry["first"] else opened(asks=entry["asks"])
    code = None
    try:
        assert session.receive_frame(text) == []
    except spaces.FrameError as exc:
        code = exc.code if exc.is_fatal else -1
    answer = {"type": "error", "message": entry["reason"]}
    if entry["id"] is not None:
        answer["id"] = entry["id"]
    assert session.frames_to_send() == [compact(answer)]
    assert code == session.close_code == entry["close_code"]
    if code is None:
        assert session.receive_frame('{"type":"cmd","command":{"type":"shell","command":"ls"}}')


def test_there_are_enough_rejects_and_each_has_its_own_name() -> None:
    names = [entry["name"] + str(entry["first"]) for entry in GOLDEN["rejects"]]
    assert len(names) >= 60 and len(set(names)) == len(names)
