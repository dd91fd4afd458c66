"""The protocol's page says what the code does: its transcripts, tables and limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.protocols.faults import tags_of
from embedenv_jupyter.protocols.spaces import frames
from embedenv_jupyter.protocols.spaces.codec import decode_server_frame, encode

PAGE = (Path(__file__).parents[3] / "docs" / "protocols" / "spaces.md").read_text(encoding="utf-8")
TRANSCRIPTS = re.findall(r"(?:^    [<>] .*\n)+", PAGE, re.MULTILINE)


def test_the_transcripts_are_a_first_and_a_second_connection_and_a_plain_one() -> None:
    assert len(TRANSCRIPTS) == 3


def connected(hello: spaces.Request, session: spaces.SpacesSession) -> None:
    if isinstance(hello, spaces.Init):
        session.initialised("KEY", 999, room="5f0c", role="own", member="TOKEN", n=0)
    elif isinstance(hello, spaces.Join):
        session.joined("KEY", hello.user, hello.colour, room="5f0c", role="own", member="TOKEN", n=10)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=["first", "second", "plain"])
def test_every_frame_of_a_transcript_is_one(transcript: str) -> None:
    session = spaces.SpacesSession()
    expected: list[str] = []
    for line in transcript.splitlines():
        side, text = line[4], line[6:]
        if side == "<":
            assert encode(decode_server_frame(text)).decode() == text
            if expected:
                assert text == expected.pop(0)
            continue
        for request in session.receive_frame(text):
            connected(request, session)
        expected = [frame.decode() for frame in session.frames_to_send()]
    assert expected == []


@pytest.mark.parametrize(
    "name",
    [
        *tags_of(frames.ClientFrame),
        *tags_of(frames.Command),
        *tags_of(frames.TaggedFrame),
        *frames.EVENTS,
    ],
)
def test_every_type_is_in_a_table(name: str) -> None:
    assert re.search(rf"^\| (?:.*[ *])?\*?`{name}`", PAGE, re.MULTILINE)


@pytest.mark.parametrize("kind", [*get_args(frames.TaggedFrame)], ids=lambda kind: kind.__name__)
def test_every_field_of_a_server_frame_is_in_its_row(kind: type[frames.Msg]) -> None:
    table = PAGE.split("## Server to client")[1]
    row = re.search(rf"^\| \*?`{kind.__struct_config__.tag}`\*? \|.*$", table, re.MULTILINE)
    assert row is not None
    assert all(f"`{field}`" in row[0] for field in kind.__struct_encode_fields__)


def test_every_close_code_that_may_come_is_in_the_table() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d{4}) \|", PAGE, re.MULTILINE)}
    assert listed == {int(code) for code in CloseCode} - {CloseCode.NORMAL, CloseCode.GOING_AWAY}
