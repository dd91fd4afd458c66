"""The page about rooms says what the code does: its tables, its limits and its transcript."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.handlers import room_actions, rooms
from embedenv_jupyter.protocols import rooms as protocol
from embedenv_jupyter.protocols.rooms import RoomSession
from embedenv_jupyter.rooms import events
from embedenv_jupyter.rooms.audience import LOOK_EVERY_S
from embedenv_jupyter.rooms.endings import MAX_KEPT
from embedenv_jupyter.rooms.room_events import TELL_EVERY_S
from embedenv_jupyter.rooms.room_frames import described
from embedenv_jupyter.rooms.room_list import PAUSE_S
from embedenv_jupyter.sandbox.spec import MIB

TESTS = Path(__file__).parents[2]
PAGE = (TESTS.parent / "docs" / "protocols" / "rooms.md").read_text(encoding="utf-8")
GOLDEN: dict[str, Any] = json.loads((TESTS / "golden" / "rooms.json").read_text(encoding="utf-8"))


def row_of(name: str, after: str) -> str:
    found = re.search(rf"^\| [^|]*`{name}`[^|]*\|.*$", PAGE.split(after)[1], re.MULTILINE)
    assert found is not None, name
    return found[0]


@pytest.mark.parametrize("kind", [*get_args(protocol.ClientFrame)], ids=lambda kind: kind.__name__)
def test_every_client_frame_is_in_the_table_with_its_fields(kind: Any) -> None:
    row = row_of(kind.__struct_config__.tag, "### Client to server")
    assert all(f"`{field}`" in row for field in kind.__struct_encode_fields__)


@pytest.mark.parametrize("kind", [*get_args(protocol.ServerFrame)], ids=lambda kind: kind.__name__)
def test_every_server_frame_is_in_a_table_with_its_fields(kind: Any) -> None:
    of_list = kind in (protocol.Rooms, protocol.Ended)
    row = row_of(kind.__struct_config__.tag, "## The list of rooms" if of_list else "### Server to client")
    assert all(f"`{field}`" in row for field in kind.__struct_encode_fields__)


@pytest.mark.parametrize("entry", GOLDEN["events"], ids=lambda entry: entry["name"])
def test_every_event_is_in_the_table_with_its_fields(entry: dict[str, Any]) -> None:
    row = row_of(entry["name"], "Everything else has `event`")
    assert all(f"`{field}`" in row for field in set(entry["frame"]) - {"n", "event", "at"})


def test_every_close_code_that_may_come_is_in_the_table() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d{4}) \|", PAGE, re.MULTILINE)}
    assert listed == {int(code) for code in CloseCode} - {CloseCode.GOING_AWAY, CloseCode.ROOM_ENDED}


def test_limits_are_those_of_the_code() -> None:
    assert f"at most {protocol.MAX_FRAME_BYTES >> 10} KiB" in PAGE
    assert f"a message over {protocol.MAX_MESSAGE_BYTES // MIB} MiB" in PAGE
    assert f"at most {protocol.MAX_USER_CHARS} characters" in PAGE
    assert f"name`, at most {rooms.MAX_NAME_CHARS} characters" in PAGE
    assert f"at most {room_actions.MAX_KEEP_S / 86_400:.0f} days" in PAGE
    assert f"every {LOOK_EVERY_S:g} s" in PAGE
    assert f"at most {MAX_KEPT}," in PAGE
    assert TELL_EVERY_S == 0.1 and "at most ten times a second" in PAGE
    assert f"`1` to `{protocol.MAX_PORT}`" in PAGE and f"at most {protocol.MAX_PATH_CHARS} characters" in PAGE
    assert PAUSE_S == 0.25 and "at most four times a second" in PAGE
    assert f"{rooms.MIN_MEMORY_BYTES // MIB} MiB, 0.05, {rooms.MIN_PIDS} and 1 MiB" in PAGE


def test_the_transcript_is_what_both_sides_would_say() -> None:
    session = RoomSession()
    expected: list[str] = []
    for side, text in re.findall(r"^    ([<>]) (.*)$", PAGE, re.MULTILINE):
        if side == ">":
            frame = session.receive_frame(text)
            if isinstance(frame, protocol.Hello):
                member = protocol.Self("5f0c", frame.user or "", frame.color or "", "edit")
                session.greeted(member, "T", 7, {})
        elif "bye" in text:
            session.ended("your join key was revoked", CloseCode.REVOKED)
        elif '"event"' in text:
            told = json.loads(text)
            kind = {"run-started": events.RunStarted, "output": events.Output}[told["event"]]
            wire = {"colour": "color"}
            event = kind(**{name: told[wire.get(name, name)] for name in kind.__struct_fields__})
            name, details = described(event)
            assert protocol.render_event(told["n"], name, event.at, details).decode() == text
            continue
        expected += [frame.decode() for frame in session.frames_to_send()]
        if side == "<":
            assert expected.pop(0) == text
    assert expected == []
