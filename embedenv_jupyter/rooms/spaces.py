"""What one connection of the Spaces protocol does with a room.

The session (:mod:`embedenv_jupyter.protocols.spaces`) says what the peer asked;
this conversation does it and answers. It owns one task that carries the room's
log to the peer and one that carries out what takes long (curl, reading files),
so that a Ctrl+C is never behind a download.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from tornado.websocket import WebSocketClosedError

from embedenv_jupyter.accounts import Account
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import (
    BusyError,
    CloseCode,
    EmbedEnvError,
    RemoteProtocolError,
    SandboxError,
)
from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.rooms.curl import TextPieces
from embedenv_jupyter.rooms.log import Watcher
from embedenv_jupyter.rooms.manager import Opened, RoomManager
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.peer import SEND_TIMEOUT_S, Socket, guarded
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.rooms.runs import Run, RunState
from embedenv_jupyter.rooms.spaces_frames import Renderer

log = logging.getLogger(__name__)

HOST_USER = "host"
QUEUED_TRANSFERS = 16
QUEUED_BYTES = 64 << 20
CHUNK_CHARS = 16 << 10
_NO_ROOM = "No room could be started on this gateway now; its log says why. Try again later."


@dataclass(frozen=True)
class Managers:
    """What a conversation works with."""

    authenticate: Callable[[str, str], Awaitable[Account]]
    """Whose a public key and its secret are; AuthenticationError says nobody's."""
    rooms: RoomManager


class SpacesConversation:
    """One peer. ``receive`` is called with each frame in turn, ``aclose`` at the end.

    ``managers`` waits until they are ready, or raises why they will not be.
    """

    def __init__(
        self,
        managers: Callable[[], Awaitable[Managers]],
        socket: Socket,
        space: str,
        *,
        line_end_frames: bool = True,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self._managers = managers
        self._socket = socket
        self._space = space
        self._line_end_frames = line_end_frames
        self._send_timeout_s = send_timeout_s
        self._session = spaces.SpacesSession(self._wake)
        self._unheard: Opened | None = None
        self._room: Room | None = None
        self._member: Member | None = None
        self._watcher: Watcher | None = None
        self._renderer = Renderer(asking=False, line_end_frames=line_end_frames)
        self._carrier: asyncio.Task[None] | None = None
        self._transfers: asyncio.Queue[spaces.Curl | spaces.Read | None] = asyncio.Queue(QUEUED_TRANSFERS)
        self._queued_bytes = 0
        self._transferring: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """True once the peer is in a room."""
        return self._member is not None

    async def receive(self, frame: str | bytes) -> None:
        """Do what one frame asks.

        Raises:
            WebSocketClosedError: the peer is gone.
            TimeoutError: the peer takes nothing.
        """
        try:
            requests = self._session.receive_frame(frame)
        except RemoteProtocolError:
            await self._flush()  # the error frame, then the close
            return
        for request in requests:
            try:
                await self._perform(request)
            except EmbedEnvError as exc:
                self._refuse(request, exc)
            except ConnectionRefusedError as exc:
                self._session.failed(exc.strerror or str(exc), request.id)
        try:
            if self._unheard is not None and self._socket.is_cut:
                raise WebSocketClosedError
            await self._flush()
        except BaseException:
            await self._call_off()
            raise
        self._unheard = None
        if self._watcher is not None and self._carrier is None:
            # Only now, so that the answer to init or join goes before what the log holds.
            self._carrier = asyncio.create_task(
                self._guarded(partial(self._carry, self._watcher)), name="carrier"
            )
            self._transferring = asyncio.create_task(self._guarded(self._transfer), name="transfers")

    def _refuse(self, request: spaces.Request, exc: EmbedEnvError) -> None:
        """Answer with an error frame; what is not the peer's fault goes to the log as well."""
        log.info("room %s refused %s: %s", self._room and self._room.id, type(request).__name__, exc)
        if isinstance(request, spaces.Init | spaces.Join):
            self._session.refused(_NO_ROOM if isinstance(exc, SandboxError) else exc)
            return
        self._session.failed(exc, request.id)
        if isinstance(request, spaces.Shell) and self._entered[0].foreground is None:
            self._session.shell_refused()

    async def _flush(self) -> None:
        frames = self._session.frames_to_send()
        if frames:
            async with deadline(self._send_timeout_s):
                await self._socket.send_frames(frames)
        code = self._session.close_code
        if code is not None:
            self._socket.close_with(code, self._session.close_reason)

    async def _call_off(self) -> None:
        """Undo an ``init`` whose answer was not written: nobody has the key, and nobody shall pay for it."""
        opened, self._unheard = self._unheard, None
        if opened is not None:
            managers = await self._managers()
            await asyncio.shield(managers.rooms.call_off(opened))

    def _guarded(self, work: Callable[[], Awaitable[None]]) -> Coroutine[None, None, None]:
        return guarded(work, self._socket.close_with, self._send_timeout_s, "the Spaces protocol")

    @property
    def _entered(self) -> tuple[Room, Member]:
        assert self._room is not None and self._member is not None, "the session is open"
        return self._room, self._member

    # Requests.

    async def _perform(self, request: spaces.Request) -> None:
        match request:
            case spaces.Init():
                await self._init(request, await self._managers())
            case spaces.Join():
                self._join(request, await self._managers())
            case _:
                await self._command(request)

    async def _init(self, request: spaces.Init, managers: Managers) -> None:
        account = await managers.authenticate(request.public_key, request.secret_key)
        opened = self._unheard = await managers.rooms.open(account, space=self._space)
        newest = self._watch(opened.room, None if request.resume is None else 0)
        member = opened.room.people.admit(HOST_USER, spaces.DEFAULT_COLOUR, Role.OWN)
        self._room, self._member = opened.room, member
        self._session.initialised(
            opened.join_key, opened.remaining_credits, room=opened.room.id, role=member.role.word,
            member=member.token, n=newest, answered=member.answered,
        )  # fmt: skip

    def _join(self, request: spaces.Join, managers: Managers) -> None:
        room, key = managers.rooms.redeem(request.key)
        newest = self._watch(room, request.resume)
        member = room.people.admit(
            request.user, request.colour, key.role, request.member, put_out=self._put_out
        )
        member.key = member.key or key.key
        self._room, self._member = room, member
        self._session.joined(
            request.key, member.user, member.colour, room=room.id, role=member.role.word,
            member=member.token, n=newest, answered=member.answered,
        )  # fmt: skip

    def _put_out(self, reason: str) -> None:
        self._socket.close_with(CloseCode.REVOKED, reason)

    def _watch(self, room: Room, resume: int | None) -> int:
        """Take the peer's place in the log; return the newest number.

        Raises:
            UnknownNumberError: ``resume`` is not a number of this room.
        """
        newest = room.log.last
        self._watcher = room.log.watch(newest if resume is None else resume)
        self._renderer = Renderer(asking=resume is not None, line_end_frames=self._line_end_frames)
        return newest

    async def _command(self, request: spaces.Command) -> None:
        room, member = self._entered
        room.touch()
        match request:
            case spaces.DeployProject(files=files):
                await room.files.deploy(member, files)
                self._session.message("project created", request.id)
            case spaces.Shell(command=command):
                run = await room.shell(member, command)
                self._session.done(request.id, run.id)
            case spaces.List(path=path):
                self._session.listing(path, await room.files.list(member, path), request.id)
            case spaces.Curl() | spaces.Read():
                self._queue(request)
            case _:
                await self._act(request)
                self._session.done(request.id)

    async def _act(self, request: spaces.Command) -> None:
        """Do what has no answer of its own."""
        room, member = self._entered
        match request:
            case spaces.Create(path=path, folder=folder):
                await room.files.create(member, path, folder=folder)
            case spaces.Write(path=path, content=content):
                await room.files.write(member, path, content)
            case spaces.Rename(path=path, to=to):
                await room.files.rename(member, path, to)
            case spaces.Delete(path=path):
                await room.files.delete(member, path)
            case spaces.Keep(seconds=seconds):
                member.require(Role.RUN, "keep the room")
                room.keep(seconds)
            case spaces.Stop():
                member.require(Role.OWN, "stop the room")
                room.begin_close("stopped")
            case _:
                await self._act_on_run(request)

    async def _act_on_run(self, request: spaces.Command) -> None:
        room, member = self._entered
        match request:
            case spaces.Interrupt():
                if not await room.interrupt(member):
                    self._session.shell_refused()
            case spaces.Stdin(data=data):
                self._in_front("type", request.run).send(data.encode())
            case spaces.Eof():
                self._in_front("end the input", request.run).send_eof()
            case spaces.Signal(name=name):
                run = self._running("signal programs", request.run)
                await run.signal(signal.Signals[f"SIG{name}"])
            case _:
                raise TypeError(f"no room does {type(request).__name__}")

    def _running(self, action: str, id: str | None) -> Run:
        """Return the run with this id, or without an id the one that gets input now.

        Raises:
            RoleError: the member may not do this.
            BusyError: it does not run, or nothing does.
        """
        room, member = self._entered
        member.require(Role.RUN, action)
        run = room.foreground if id is None else room.find_run(id)
        if run is not None:
            return run
        if id is not None:
            raise BusyError(f"The run {id!r} has ended, or there was none.")
        raise BusyError("Nothing runs in this room now; start something with a shell command.")

    def _in_front(self, action: str, id: str | None) -> Run:
        """Return the run that gets input now; with an id, only if it is this one (see :meth:`_running`)."""
        run = self._running(action, id)
        if run.state is not RunState.RUNNING:
            raise BusyError(f"The shell line of the run {run.id!r} has ended; it takes no input any more.")
        return run

    # What takes long.

    def _queue(self, request: spaces.Curl | spaces.Read) -> None:
        size = len(request.body) if isinstance(request, spaces.Curl) else 0
        if self._transfers.full() or (size and self._queued_bytes + size > QUEUED_BYTES):
            raise BusyError(
                f"{self._transfers.qsize()} requests of this connection wait already; "
                "wait for an answer first."
            )
        self._queued_bytes += size
        self._transfers.put_nowait(request)

    async def _transfer(self) -> None:
        """Answer curl and read requests one after another: their frames do not interleave."""
        while True:
            request = await self._transfers.get()
            if isinstance(request, spaces.Curl):
                self._queued_bytes -= len(request.body)
            if request is not None:
                await self._answer_transfer(request)
            await self._flush()

    def _wake(self) -> None:
        """Send what came up in the session by itself; a transfer that runs sends it too."""
        with contextlib.suppress(asyncio.QueueFull):
            self._transfers.put_nowait(None)

    async def _answer_transfer(self, request: spaces.Curl | spaces.Read) -> None:
        try:
            if isinstance(request, spaces.Read):
                await self._read(request)
            else:
                await self._curl(request)
        except EmbedEnvError as exc:
            self._session.curl_failed(exc, request.id)
        except ConnectionRefusedError as exc:
            self._session.curl_failed(exc.strerror or exc, request.id)

    async def _read(self, request: spaces.Read) -> None:
        room, member = self._entered
        content = await room.files.read(member, request.path)
        for piece in _pieces(content, request.encoding):
            self._session.chunk(piece, request.id, encoding=request.encoding)
            await self._flush()
            await asyncio.sleep(0)
        self._session.end(request.id)

    async def _curl(self, request: spaces.Curl) -> None:
        room, member = self._entered
        pieces = room.curl(
            member, method=request.method, port=request.port, target=request.target,
            headers=dict(request.headers), body=request.body,
        )  # fmt: skip
        text = TextPieces()
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, bytes):
                    self._session.chunk(text.feed(piece), request.id)
                    await self._flush()
                    await asyncio.sleep(0)
        self._session.chunk(text.finish(), request.id)
        self._session.end(request.id)

    # The log.

    async def _carry(self, watcher: Watcher) -> None:
        """Send what the log has after the peer's position, at the peer's pace, until the room's end."""
        room, _ = self._entered
        async with watcher:
            async for records in watcher:
                for piece in self._renderer.render(records):
                    async with deadline(self._send_timeout_s):
                        await self._socket.send_framed(piece)
                    await asyncio.sleep(0)  # nothing above has to wait for a quick peer, others have to
        self._socket.close_with(CloseCode.ROOM_ENDED, f"the room has ended: {room.end_reason}")

    async def aclose(self) -> None:
        """Leave the room and end the tasks; idempotent."""
        tasks = [task for task in (self._carrier, self._transferring) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._session.closed()
        if self._room is not None and self._member is not None:
            room, self._room = self._room, None
            room.people.leave(self._member, self._put_out)


def _pieces(content: bytes, encoding: str) -> Iterator[str]:
    """Cut a file's content into frames; base64 pieces stand alone (their size is a multiple of 3)."""
    if encoding == "base64":
        step = CHUNK_CHARS // 4 * 3
        for start in range(0, len(content), step):
            yield base64.b64encode(content[start : start + step]).decode()
        return
    text = content.decode("utf-8", "replace")
    for start in range(0, len(text), CHUNK_CHARS):
        yield text[start : start + CHUNK_CHARS]
