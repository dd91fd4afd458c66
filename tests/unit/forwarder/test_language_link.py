"""Cells of a kernel in another language become the room's own magics, and nothing else is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from embedenv_jupyter.forwarder.language_link import in_language
from embedenv_jupyter.forwarder.link import Event
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.protocols.kernels import Message


class Recorder:
    """A link that keeps what is sent, and gives what it was given."""

    def __init__(self, *events: Event) -> None:
        self.sent: list[Message] = []
        self.events = list(events)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def receive(self) -> Event:
        return self.events.pop(0)

    async def aclose(self) -> None:
        self.events.clear()


async def sent(kind: str, **content: Any) -> tuple[Message, Message]:
    recorder, message = Recorder(), messages.make("shell", kind, content)
    await in_language(recorder, "go").send(message)
    return message, recorder.sent[0]


async def test_cell_gets_the_language_and_keeps_everything_else() -> None:
    before, after = await sent("execute_request", code="package main", silent=False, allow_stdin=True)
    assert json.loads(after.parts[3]) == {
        "code": "%%lang go\npackage main", "silent": False, "allow_stdin": True,
    }  # fmt: skip
    assert after.parts[:3] == before.parts[:3]


@pytest.mark.parametrize("code", ["%%lang bash\nls", "  %embedenv keys", "%%room lesson\n1", "", "  \n"])
async def test_magics_and_nothing_are_left_alone(code: str) -> None:
    before, after = await sent("execute_request", code=code)
    assert after is before


async def test_nothing_is_asked_of_python_about_this_code() -> None:
    _, after = await sent("complete_request", code="fmt.Pri", cursor_pos=7)
    assert json.loads(after.parts[3]) == {"code": "", "cursor_pos": 0}
    before, after = await sent("complete_request", code="%%lang ", cursor_pos=7)
    assert after is before


async def test_content_that_is_none_goes_to_who_can_refuse_it() -> None:
    recorder = Recorder()
    header, *_ = messages.make("shell", "execute_request", {}).parts
    message = Message("shell", (header, b"{}", b"{}", b"[1"))
    await in_language(recorder, "go").send(message)
    assert recorder.sent == [message]


async def test_front_end_learns_the_language() -> None:
    reply = messages.make("shell", "kernel_info_reply", {"banner": "x", "language_info": {"name": "python"}})
    event = await in_language(Recorder(reply), "go").receive()
    assert isinstance(event, Message)
    content = json.loads(event.parts[3])
    assert (content["banner"], content["language_info"]["name"]) == ("x", "go")


def test_python_needs_no_translation() -> None:
    recorder = Recorder()
    assert in_language(recorder, "python") is recorder
    assert in_language(recorder, "") is recorder
