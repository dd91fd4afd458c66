"""What one connection to ``rooms/{id}/events`` does with a room: it is a member, and watches.

It owns two tasks: one carries the room's log to the peer, at the peer's pace; one
sends what has no number, of which only the newest is kept. A peer that takes nothing
is cut off, and may come back and resume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import CloseCode, EmbedEnvError, RoomClosedError
from embedenv_jupyter.protocols import rooms as protocol
from embedenv_jupyter.rooms import peer
from embedenv_jupyter.rooms.audience import usage_fields
from embedenv_jupyter.rooms.log import Watcher
from embedenv_jupyter.rooms.members import Member, Visitor
from embedenv_jupyter.rooms.peer import SEND_TIMEOUT_S, guarded
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.rooms.room_frames import render
from embedenv_jupyter.sandbox.spec import Limits, Usage

ROOM_ENDED: Final = CloseCode.NORMAL
TELL_EVERY_S: Final = 0.1
"""Between two rounds of what has no number at least, however often members look at something else."""


class Socket(peer.Socket, Protocol):
    """The side of the WebSocket that a conversation needs, which says goodbye."""

    def part_with(self, frame: bytes, code: CloseCode, reason: str) -> None:
        """Write a last frame without waiting for the peer, and begin to close."""


class RoomConversation:
    """One peer. ``receive`` is called with each frame in turn, ``aclose`` at the end.

    ``describe`` returns the room's model for a member with this role.
    """

    def __init__(
        self,
        room: Room,
        visitor: Visitor,
        socket: Socket,
        describe: Callable[[Room, str], Mapping[str, Any]],
        *,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self._room = room
        self._visitor = visitor
        self._socket = socket
        self._describe = describe
        self._send_timeout_s = send_timeout_s
        self._session = protocol.RoomSession()
        self._member: Member | None = None
        self._watcher: Watcher | None = None
        self._usage: Usage | None = None
        self._looking: dict[str, None] = {}
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def receive(self, frame: str | bytes) -> None:
        """Do what one frame asks.

        Raises:
            WebSocketClosedError: the peer is gone.
            TimeoutError: the peer takes nothing.
        """
        match self._session.receive_frame(frame):
            case protocol.Hello() as hello:
                self._enter(hello)
            case protocol.Presence(where=where):
                self._look_at(where)
        await self._flush()
        if self._watcher is not None and not self._tasks and self._session.state is protocol.State.OPEN:
            # Only now, so that the answer to the hello goes before what the log holds.
            self._begin(partial(self._carry, self._watcher), "carrier")
            self._begin(self._tell, "notices")
            self._room.audience.add(self)

    def _begin(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        about = f"the events of room {self._room.id}"
        self._tasks.append(
            asyncio.create_task(guarded(work, self._part, self._send_timeout_s, about), name=name)
        )

    async def _flush(self) -> None:
        session = self._session
        if frames := session.frames_to_send():
            await self._within(self._socket.send_frames(frames))
        if session.close_code is not None:
            self._socket.close_with(session.close_code, session.close_reason)

    async def _within(self, sending: Awaitable[None]) -> None:
        async with deadline(self._send_timeout_s):
            await sending

    def _part(self, code: CloseCode, reason: str) -> None:
        """Say goodbye and close, without waiting for the peer; idempotent."""
        self._session.ended(reason, code)
        for frame in self._session.frames_to_send():
            self._socket.part_with(frame, code, reason)

    # Being a member.

    def _enter(self, hello: protocol.Hello) -> None:
        room = self._room
        try:
            if hello.resume is not None:
                self._watcher = room.log.watch(hello.resume)
            member = room.people.enter(
                self._visitor, user=hello.user, colour=hello.color, token=hello.token, put_out=self._put_out
            )
        except RoomClosedError as exc:
            self._session.ended(f"the room has ended: {exc.reason}", ROOM_ENDED)
            return
        except EmbedEnvError as exc:
            self._session.refused(str(exc), type(exc).__name__)
            return
        self._member = member
        number = room.log.last
        if self._watcher is None:
            self._watcher = room.log.watch(number)
        self._session.greeted(
            protocol.Self(member.id, member.user, member.colour, member.role.word),
            member.token, number, self._describe(room, member.role.word),
        )  # fmt: skip

    def _put_out(self, reason: str) -> None:
        for task in self._tasks:
            task.cancel()
        self._part(CloseCode.REVOKED, reason)

    def _look_at(self, where: protocol.Where | None) -> None:
        assert self._member is not None, "the session is open"
        self._member.where = where
        self._room.audience.tell_where(self._member.id, but=self)

    # Watching.

    def used(self, usage: Usage) -> None:
        """Learn what the room uses."""
        self._usage = usage
        self._news.set()

    def looks_at(self, member: str) -> None:
        """Learn that a member looks at something else."""
        self._looking[member] = None
        self._news.set()

    async def _tell(self) -> None:
        """Send what is new of what has no number."""
        limits = limits_fields(self._room.sandbox.spec.limits)
        while True:
            await self._news.wait()
            self._news.clear()
            frames: list[protocol.ServerFrame] = [
                protocol.Looking(member.id, member.where)
                for member in self._room.members.present if member.id in self._looking
            ]  # fmt: skip
            self._looking.clear()
            usage, self._usage = self._usage, None
            if usage is not None:
                frames.append(protocol.Usage(usage_fields(usage), limits))
            await self._within(self._socket.send_frames(list(map(protocol.encode, frames))))
            await asyncio.sleep(TELL_EVERY_S)

    async def _carry(self, watcher: Watcher) -> None:
        """Send what the log has after the peer's position until the room's end."""
        async with watcher:
            async for records in watcher:
                for piece in render(records):
                    await self._within(self._socket.send_framed(piece))
                    await asyncio.sleep(0)  # a quick peer is never waited for, and others want their turn
        self._part(ROOM_ENDED, f"the room has ended: {self._room.end_reason}")

    async def aclose(self) -> None:
        """Leave the room and end the tasks; idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._room.audience.remove(self)
        member, self._member = self._member, None
        if member is not None:
            self._room.people.leave(member, self._put_out)


def limits_fields(limits: Limits) -> dict[str, float | int | None]:
    """Return what a room may use, as frames and REST show it; null is no limit."""
    return {
        "memory_bytes": limits.memory_bytes,
        "pids": limits.pids,
        "cpu_cores": limits.cpu_cores,
        "workspace_bytes": limits.workspace_bytes,
    }
