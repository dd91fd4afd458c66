"""What one connection of the Spaces protocol does with a room.

The session (:mod:`embedenv_jupyter.protocols.spaces`) says what the peer asked;
this conversation does it and answers. It owns one task that carries the room's
log to the peer and one that carries out what takes long (curl, reading files),
so that a Ctrl+C is never behind a download.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from tornado.websocket import WebSocketClosedError

from embedenv_jupyter.accounts import AccountManager
from embedenv_jupyter.errors import (
    BusyError,
    CloseCode,
    EmbedEnvError,
    InsufficientCreditsError,
)
from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.rooms.curl import Response, TextPieces
from embedenv_jupyter.rooms.log import Watcher
from embedenv_jupyter.rooms.manager import RoomManager
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.rooms.runs import Run
from embedenv_jupyter.rooms.spaces_frames import Renderer

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 60.0
"""A peer that takes nothing for this long is cut off; it may come back and resume."""
QUEUED_TRANSFERS = 16
CHUNK_CHARS = 16 << 10
READ_RECORDS = 64


class Socket(Protocol):
    """The side of the WebSocket that a conversation needs."""

    async def send_frames(self, frames: list[bytes]) -> None:
        """Write frames in order; returns when the socket has taken them."""

    def close_with(self, code: CloseCode, reason: str) -> None:
        """Begin to close."""


@dataclass(frozen=True)
class Managers:
    """What a conversation works with."""

    accounts: AccountManager
    rooms: RoomManager


class SpacesConversation:
    """One peer. ``receive`` is called with each frame in turn, ``aclose`` at the end."""

    def __init__(
        self, managers: Managers, socket: Socket, space: str, *, line_end_frames: bool = True
    ) -> None:
        self._managers = managers
        self._socket = socket
        self._space = space
        self._line_end_frames = line_end_frames
        self._session = spaces.SpacesSession()
        self._room: Room | None = None
        self._member: Member | None = None
        self._watcher: Watcher | None = None
        self._renderer = Renderer(asking=False, line_end_frames=line_end_frames)
        self._carrier: asyncio.Task[None] | None = None
        self._transfers: asyncio.Queue[spaces.Curl | spaces.Read] = asyncio.Queue(QUEUED_TRANSFERS)
        self._transferring: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """True once the peer is in a room."""
        return self._member is not None

    async def receive(self, frame: str | bytes) -> None:
        """Do what one frame asks.

        Raises:
            RemoteProtocolError: the peer broke the protocol beyond repair.
            WebSocketClosedError: the peer is gone.
        """
        for request in self._session.receive_frame(frame):
            try:
                await self._perform(request)
            except EmbedEnvError as exc:
                self._refuse(request, exc)
            except ConnectionRefusedError as exc:
                self._session.failed(exc.strerror or str(exc), request.id)
        await self._flush()
        if self._watcher is not None and self._carrier is None:
            # Only now, so that the answer to init or join goes before what the log holds.
            self._carrier = asyncio.create_task(self._carry(self._watcher), name="carrier")
            self._transferring = asyncio.create_task(self._transfer(), name="transfers")

    def _refuse(self, request: spaces.Request, exc: EmbedEnvError) -> None:
        """Answer with an error frame; what is not the peer's fault goes to the log as well."""
        log.info("room %s refused %s: %s", self._room and self._room.id, type(request).__name__, exc)
        if isinstance(request, spaces.Init | spaces.Join):
            self._session.refused(str(exc))
            return
        self._session.failed(str(exc), request.id)
        if isinstance(exc, InsufficientCreditsError):
            self._session.shell_refused()

    async def _flush(self) -> None:
        frames = self._session.frames_to_send()
        if frames:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send_frames(frames)
        code = self._session.close_code
        if code is not None:
            self._socket.close_with(code, self._session.close_reason)

    # Requests.

    async def _perform(self, request: spaces.Request) -> None:
        match request:
            case spaces.Init():
                await self._init(request)
            case spaces.Join():
                self._join(request)
            case _:
                await self._command(request)

    async def _init(self, request: spaces.Init) -> None:
        account = await self._managers.accounts.authenticate(request.public_key, request.secret_key)
        opened = await self._managers.rooms.open(account, space=self._space)
        member = opened.room.admit("host", "#6366f1", Role.OWN)
        resume = self._enter(opened.room, member, request.resume)
        self._session.initialised(
            join_key=opened.join_key, remaining_credits=opened.remaining_credits, room=opened.room.id,
            role=member.role.word, member=member.token, n=resume,
        )  # fmt: skip

    def _join(self, request: spaces.Join) -> None:
        room, key = self._managers.rooms.redeem(request.key)
        member = room.admit(request.user, request.colour, key.role, request.member)
        resume = self._enter(room, member, request.resume)
        self._session.joined(
            join_key=request.key, user=member.user, colour=member.colour, room=room.id,
            role=member.role.word, member=member.token, n=resume,
        )  # fmt: skip

    def _enter(self, room: Room, member: Member, resume: int | None) -> int:
        """Begin to carry the log to the peer; return the newest number."""
        self._room, self._member = room, member
        newest = room.log.last
        self._watcher = room.log.watch(newest if resume is None else min(resume, newest))
        self._renderer = Renderer(asking=resume is not None, line_end_frames=self._line_end_frames)
        return newest

    async def _command(self, request: spaces.Request) -> None:
        room, member = self._room, self._member
        assert room is not None and member is not None
        room.touch()
        match request:
            case spaces.DeployProject(files=files):
                await room.files.deploy(member, files)
                self._session.message("project created", request.id)
                return
            case spaces.Create(path=path, folder=folder):
                await room.files.create(member, path, folder=folder)
            case spaces.Write(path=path, content=content):
                await room.files.write(member, path, content)
            case spaces.Rename(path=path, to=to):
                await room.files.rename(member, path, to)
            case spaces.Delete(path=path):
                await room.files.delete(member, path)
            case spaces.Shell(command=command):
                await room.shell(member, command)
            case spaces.Interrupt():
                if not await room.interrupt(member):
                    self._session.shell_refused()
            case spaces.Stdin(data=data):
                await self._running(Role.RUN, "type").send(data.encode())
            case spaces.Eof():
                await self._running(Role.RUN, "end the input").send_eof()
            case spaces.Signal(name=name):
                await self._running(Role.RUN, "signal programs").signal(signal.Signals[f"SIG{name}"])
            case spaces.Curl() | spaces.Read():
                self._queue(request)
                return
            case spaces.List(path=path):
                self._session.listing(path, await room.files.list(member, path), request.id)
                return
            case spaces.Keep(seconds=seconds):
                member.require(Role.RUN, "keep the room")
                room.keep(seconds)
            case spaces.Stop():
                member.require(Role.OWN, "stop the room")
                room.begin_close("stopped")
        self._session.done(request.id)

    def _running(self, role: Role, action: str) -> Run:
        """Return the run that gets input now.

        Raises:
            RoleError: the member may not do this.
            BusyError: nothing runs.
        """
        assert self._room is not None and self._member is not None
        self._member.require(role, action)
        run = self._room.foreground
        if run is None:
            raise BusyError("Nothing runs in this room now; start something with a shell command.")
        return run

    # What takes long.

    def _queue(self, request: spaces.Curl | spaces.Read) -> None:
        try:
            self._transfers.put_nowait(request)
        except asyncio.QueueFull:
            raise BusyError(
                f"{QUEUED_TRANSFERS} requests of this connection wait already; wait for an answer first."
            ) from None

    async def _transfer(self) -> None:
        """Answer curl and read requests one after another: their frames do not interleave."""
        while True:
            request = await self._transfers.get()
            try:
                await self._answer_transfer(request)
            except EmbedEnvError as exc:
                self._session.failed(str(exc), request.id)
                self._session.end(request.id)
            except ConnectionRefusedError as exc:
                self._session.failed(exc.strerror or str(exc), request.id)
                self._session.end(request.id)
            except (WebSocketClosedError, TimeoutError):
                return
            await self._flush()

    async def _answer_transfer(self, request: spaces.Curl | spaces.Read) -> None:
        room, member = self._room, self._member
        assert room is not None and member is not None
        if isinstance(request, spaces.Read):
            content = await room.files.read(member, request.path)
            await self._send_pieces(_pieces(content, request.encoding), request.id)
            return
        pieces = room.curl(
            member, method=request.method, port=request.port, target=request.target,
            headers=dict(request.headers), body=request.body,
        )  # fmt: skip
        async with aclosing(pieces):
            await self._send_pieces(_texts(pieces), request.id)

    async def _send_pieces(self, pieces: AsyncIterator[str], request_id: str | None) -> None:
        async for piece in pieces:
            self._session.chunk(piece, request_id)
            await self._flush()
        self._session.end(request_id)

    # The log.

    async def _carry(self, watcher: Watcher) -> None:
        """Send what the log has after the peer's position, at the peer's pace, until the room's end."""
        room = self._room
        assert room is not None
        try:
            while True:
                records = await watcher.read(READ_RECORDS)
                frames = self._renderer.render(records)
                if frames:
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await self._socket.send_frames(frames)
                if room.ended.is_set() and watcher.position >= room.log.last:
                    self._socket.close_with(CloseCode.ROOM_ENDED, f"the room has ended: {room.end_reason}")
                    return
        except TimeoutError:
            reason = f"took no data for {SEND_TIMEOUT_S:g} s; come back and resume"
            self._socket.close_with(CloseCode.TOO_SLOW, reason)
        except WebSocketClosedError:
            return
        finally:
            watcher.close()

    async def aclose(self) -> None:
        """Leave the room and end the tasks; idempotent."""
        tasks = [task for task in (self._carrier, self._transferring) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._watcher is not None:
            self._watcher.close()
        if self._room is not None and self._member is not None:
            room, self._room = self._room, None
            room.leave(self._member)


async def _texts(pieces: AsyncIterator[Response | bytes]) -> AsyncIterator[str]:
    """Decode a response's body; the head is not part of the published frames."""
    decoder = TextPieces()
    async for piece in pieces:
        if isinstance(piece, bytes) and (text := decoder.feed(piece)):
            yield text
    if rest := decoder.finish():
        yield rest


async def _pieces(content: bytes, encoding: str) -> AsyncIterator[str]:
    """Cut a file's content into frames; base64 pieces stand alone (their size is a multiple of 3)."""
    if encoding == "base64":
        step = CHUNK_CHARS // 4 * 3
        for start in range(0, len(content), step):
            yield base64.b64encode(content[start : start + step]).decode()
        return
    text = content.decode("utf-8", "replace")
    for start in range(0, len(text), CHUNK_CHARS):
        yield text[start : start + CHUNK_CHARS]
