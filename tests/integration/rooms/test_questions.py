"""What a program asks is all that it has written, also in the moment in which somebody looks at it."""

from __future__ import annotations

import asyncio
import os
import pty

from embedenv_jupyter.rooms.events import Event, Output, Prompt
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.runs import Run
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.streams import ByteSink, ByteSource

DEADLINE_S = 20.0


class AsksWhenLookedAt(Process):
    """A program that writes its question, and waits, between the last look at its output and the next."""

    def __init__(self) -> None:
        terminal, self.program = pty.openpty()
        self.stdout, self.stdin, self.stderr = ByteSource(terminal), ByteSink(os.dup(terminal)), None
        self.terminal = terminal
        self.has_ended = asyncio.Event()
        self._has_asked = False

    async def awaiting_input(self) -> bool | None:
        if not self._has_asked:
            self._has_asked = True
            os.write(self.program, b"name? ")
        return True

    async def wait(self) -> ExitStatus:
        await self.has_ended.wait()
        return ExitStatus(code=0)


class Told:
    """A log that only remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.has_prompt = asyncio.Event()

    def append(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Prompt):
            self.has_prompt.set()

    async def writable(self) -> None:
        """Take all."""


async def test_question_that_is_written_during_a_look_is_the_prompt() -> None:
    program, told = AsksWhenLookedAt(), Told()
    member = Member("m1", "ann", "#123", Role.RUN)
    run = Run(1, "ask", member, program, told, asks_in_silence=True, on_change=lambda _: None)
    async with asyncio.timeout(DEADLINE_S):
        await told.has_prompt.wait()
        program.has_ended.set()
        os.close(program.program)
        await run.ended.wait()
    await run.aclose()
    assert [event.text for event in told.events if isinstance(event, Prompt)] == ["name? "]
    assert "".join(event.text for event in told.events if isinstance(event, Output)) == "name? "
