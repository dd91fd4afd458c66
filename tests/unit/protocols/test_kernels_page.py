"""The protocol's page says what the code does: its transcript, tables and limits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.handlers.kernel_channels import MAX_SESSION_CHARS
from embedenv_jupyter.handlers.routes import own_routes
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.kernel import MAX_DEATHS
from embedenv_jupyter.protocols import kernels as protocol

PAGES = Path(__file__).parents[3] / "docs" / "protocols"
PAGE = (PAGES / "kernels.md").read_text(encoding="utf-8")
LINES = re.findall(r"^    ([<>]) (.*)$", PAGE, re.MULTILINE)


def framed(text: str) -> bytes:
    """Make the frame that a line of the transcript stands for."""
    number, channel, kind, content = text.split(" ", 3)
    message = messages.make(channel, kind, json.loads(content))
    return protocol.encode_numbered(int(number), message)


def test_the_transcript_is_what_both_sides_would_say() -> None:
    client, receiver = protocol.ClientSession(), protocol.ServerReceiver()
    kept: list[str] = []
    heard: list[str] = []
    for side, text in LINES:
        if side == ">":
            number, message = protocol.decode_numbered(framed(text), protocol.CLIENT_CHANNELS)
            if text in kept:  # again, after the cut
                assert receiver.receive(number)
                continue
            kept.append(text)
            assert protocol.decode_numbered(client.send(message))[0] == number
            if len(kept) == 1:
                assert receiver.receive(number)
        elif text.startswith("{"):
            notice = protocol.decode_notice(text)
            assert protocol.encode_notice(notice) == text
            match notice:
                case protocol.Hello(received=received):
                    again = [protocol.decode_numbered(frame)[0] for frame in client.reconnected(notice)]
                    assert again == list(range(received + 1, len(kept) + 1))
                case protocol.Ack(received=received):
                    assert received == receiver.received
                    client.acknowledged(received)
        else:
            assert client.receive(framed(text)) is not None
            heard.append(text)
    assert len(kept) == 2 and len(heard) == 6
    assert list(client.reconnected(protocol.Hello(11, 2))) == []


@pytest.mark.parametrize("name", ["hello", "ack", "gap"])
def test_every_notice_is_in_the_table_with_its_fields(name: str) -> None:
    (kind,) = (kind for kind in protocol.Notice.__args__ if kind.__struct_config__.tag == name)
    row = re.search(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
    assert row is not None and all(f"`{field}`" in row[0] for field in kind.__struct_fields__)


def test_every_close_code_that_may_come_is_in_the_table() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d{4}) \|", PAGE, re.MULTILINE)}
    assert listed == {int(code) for code in CloseCode} - {CloseCode.NORMAL, CloseCode.HELLO_TIMEOUT}


def test_every_route_is_in_a_table() -> None:
    gateway: object = None
    pages = sorted(PAGES.parent.rglob("*.md"))
    tables = re.sub(r"\{\w+\}", "{}", "".join(page.read_text(encoding="utf-8") for page in pages))
    missing = []
    for pattern, *_ in own_routes(gateway, "1"):  # type: ignore[arg-type]
        path = re.sub(r"\(\?P<action>(\w+).*?\)", r"\1", pattern)
        path = re.sub(r"\(\?P<path>(?:[^()]|\([^()]*\))*\)", "/{}", path)
        path = re.sub(r"\(\?P<\w+>.*?\)", "{}", path)
        path = path.replace("(?:/.*)?", "/{}")
        inside = path.removeprefix("/rooms/{}/")
        if f"…/{inside}" not in tables and f"embedenv{path}" not in tables:
            missing.append(path)
    assert not missing, "\n".join(missing)


def test_limits_are_those_of_the_code() -> None:
    assert f"at most {protocol.MAX_BUFFERS + 6}" in PAGE
    assert f"more than {protocol.MAX_MESSAGE_BYTES >> 20} MiB" in PAGE
    assert f"at most {MAX_SESSION_CHARS} characters" in PAGE
    assert MAX_DEATHS == 5 and "After five deaths" in PAGE
