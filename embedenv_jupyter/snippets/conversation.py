"""What one connection of the Engine protocol does.

:class:`~embedenv_jupyter.protocols.engine.server.EngineConnection` says what the peer
asked. Each run is a task, so that input and signals are never behind it. What a
streamed run tells goes through the log of its session, from which one task for each
session carries it to the peer, at the peer's pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

from msgspec import UNSET
from tornado.websocket import WebSocketClosedError

from embedenv_jupyter.accounts import Account
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import BusyError, EmbedEnvError, SourceError, UnknownSessionError
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.frames import given
from embedenv_jupyter.protocols.engine.server import EngineConnection
from embedenv_jupyter.protocols.faults import FrameError
from embedenv_jupyter.rooms.log import Watcher
from embedenv_jupyter.rooms.peer import SEND_TIMEOUT_S, Socket, guarded
from embedenv_jupyter.snippets.desk import Desk
from embedenv_jupyter.snippets.faults import EXPECTED, frame_of
from embedenv_jupyter.snippets.inputs import give
from embedenv_jupyter.snippets.memory import Asked
from embedenv_jupyter.snippets.pieces import pieces
from embedenv_jupyter.snippets.session import Job, Session
from embedenv_jupyter.snippets.streamed import StreamedRun

log = logging.getLogger(__name__)

RECHECK_S: Final = 1.0
"""For so long a key that was good is taken to be good: it is looked up once for all cells of a moment."""

MAX_ASKED: Final = 64
"""How many frames wait for what was asked before them, until no more are read."""

MAX_SESSIONS: Final = 32
"""How many sessions one connection may be in."""


class Host(Protocol):
    """Who takes requests in, and knows whose a key is."""

    async def desk(self) -> Desk:
        """Wait until the gateway serves.

        Raises:
            SandboxUnavailableError: it does not.
        """

    async def account(self, key: str) -> Account:
        """Return whose key this is.

        Raises:
            AuthenticationError: nobody's.
        """


class EngineConversation:
    """One peer. ``receive`` is called with each frame in turn, ``aclose`` at the end.

    ``key`` came with the handshake, where the peer sent one there.
    """

    def __init__(
        self, host: Host, socket: Socket, *, key: str | None = None, send_timeout_s: float = SEND_TIMEOUT_S
    ) -> None:
        self._host = host
        self._socket = socket
        self._key = key
        self._send_timeout_s = send_timeout_s
        self._connection = EngineConnection()
        self._account: Account | None = None
        self._checked_at_s = 0.0
        self._own: Session | None = None
        self._sessions: dict[str, Session] = {}
        self._carriers: dict[str, asyncio.Task[None]] = {}
        self._asked: asyncio.Queue[frames.ClientFrame] = asyncio.Queue(MAX_ASKED)
        self._performing: asyncio.Task[None] | None = None
        self._works: set[asyncio.Task[None]] = set()
        self._unnamed = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._is_closed = False

    async def receive(self, data: str | bytes) -> None:
        """Answer a frame, or put what it asks in its place among what was asked before.

        Raises:
            WebSocketClosedError: the peer is gone.
            TimeoutError: the peer takes nothing.
        """
        with contextlib.suppress(FrameError):  # its error frame waits to be sent, and then the close
            frame = self._connection.receive_frame(data)
            if frame is not None:
                if self._performing is None:
                    self._performing = asyncio.create_task(
                        self._guarded(self._perform_all), name="engine requests"
                    )
                await self._ask(frame)
        await self._flush()

    async def _ask(self, frame: frames.ClientFrame) -> None:
        """Put a frame behind those that wait; nothing is read on while there are too many.

        Raises:
            WebSocketClosedError: nobody takes them any more.
        """
        assert self._performing is not None, "it was made for the first frame"
        if self._asked.full():
            put = asyncio.create_task(self._asked.put(frame), name="engine frame")
            try:
                await asyncio.wait({put, self._performing}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                put.cancel()
        else:
            self._asked.put_nowait(frame)
        if self._performing.done():
            raise WebSocketClosedError

    async def _perform_all(self) -> None:
        """Do what the peer asks, in its order; what takes long is only begun."""
        while True:
            frame = await self._asked.get()
            if isinstance(frame, frames.Execute):
                await self._admit(frame)
            else:
                await self._perform(frame)
            await self._flush()

    async def _perform(self, frame: frames.ClientFrame) -> None:
        try:
            await self._act(frame)
        except EXPECTED as exc:
            log.info("the engine refused %r: %s", frame, exc)
            self._connection.send(frame_of(exc))

    async def _act(self, frame: frames.ClientFrame) -> None:
        match frame:
            case frames.Auth(api_key=key):
                await self._authenticated(key)
                self._connection.send(frames.Authenticated())
            case frames.Resume():
                await self._resume(frame)
            case frames.Close(session=name):
                await self._close(given(name))
            case frames.Stdin() | frames.Eof() | frames.Signal() | frames.Resize():
                if (answer := await give(self._run(frame.id), frame)) is not None:
                    self._connection.send(answer)
            case _:
                raise TypeError(f"{type(frame).__name__} is handled elsewhere")

    def _run(self, id: str) -> StreamedRun | None:
        """Find a run of the sessions that this peer is in."""
        runs = (session.streams.get(id) for session in self._sessions.values())
        return next((run for run in runs if run is not None), None)

    # Who.

    async def _authenticated(self, key: str | None) -> Account:
        """Find out who pays. A connection stays with one account.

        Raises:
            AuthenticationError: the key is nobody's.
            SourceError: there is none, or another account's.
        """
        key = key if key is not None else self._key
        if key is None:
            raise SourceError("api_key", "is missing: send it with the request, or once in an auth frame")
        now_s = asyncio.get_running_loop().time()
        if key == self._key and self._account is not None and now_s - self._checked_at_s < RECHECK_S:
            return self._account
        account = await self._host.account(key)
        if self._account is not None and account.id != self._account.id:
            raise SourceError("api_key", "is another account's than this connection's; open a new one")
        self._key, self._account, self._checked_at_s = key, account, now_s
        return account

    def _check_places(self, name: str | None) -> None:
        """Refuse one session more than a connection may be in.

        Raises:
            BusyError: it is in as many already.
        """
        if name not in self._sessions and len(self._sessions) >= MAX_SESSIONS:
            raise BusyError(f"This connection is in {MAX_SESSIONS} sessions already; close one of them.")

    def _stop_carrying(self, name: str) -> None:
        carrier = self._carriers.pop(name, None)
        if carrier is not None:
            carrier.cancel()

    async def _session(self, account: Account, frame: frames.Execute, job: Job, desk: Desk) -> Session:
        """Return the session that a request is for, entering it where this peer is not in it yet."""
        name = given(frame.session)
        known = self._own if name is None else self._sessions.get(name)
        if known is not None and known.is_open:
            desk.sessions.check_limits(known, desk.limits(frame))
            return known
        self._check_places(name)
        session = await desk.sessions.enter(account, name, desk.limits(frame), price=desk.price(job))
        if name is None:
            self._own = session
        self._attach(session, session.log.watch(session.log.last), desk)
        return session

    def _attach(self, session: Session, watcher: Watcher, desk: Desk) -> None:
        """Begin to carry a session's frames to the peer, in the place of a carrier that there was."""
        self._stop_carrying(session.name)
        if (replaced := self._sessions.get(session.name)) is not None:
            desk.sessions.leave(replaced)
        self._sessions[session.name] = session
        self._carriers[session.name] = asyncio.create_task(
            self._guarded(lambda: self._carry(session, watcher, desk)),
            name=f"carrier of session {session.name}",
        )

    # Runs.

    async def _admit(self, frame: frames.Execute) -> None:
        """Begin a run, or answer that it is not run."""
        try:
            desk = await self._host.desk()
            account = await self._authenticated(given(frame.api_key))
            desk.sessions.rates.take(account.id)
            is_fresh = frame.fresh or frame.pty is not UNSET
            job = await desk.job(frame, is_fresh=is_fresh, terminal=frame.pty)
            session = await self._session(account, frame, job, desk)
        except Exception as exc:  # noqa: BLE001 (each request is answered, also by a fault of ours)
            self._answer_later(given(frame.id), partial(_failing, exc))
            return
        if not frame.stream:
            id_or_none = given(frame.id)
            self._answer_later(id_or_none, partial(desk.answer, session, job, id_or_none))
            return
        id = str(frame.id)
        asked = Asked.of(self, frame) if frame.session is not UNSET else None
        if asked is not None and (end := session.ended.find(id, asked)) is not None:
            self._connection.ended_before(id, end)
            return
        try:
            run = session.begin(id, job, asked)
        except BusyError as exc:
            self._connection.refused(id, frame_of(exc, id))
        else:
            run.task.add_done_callback(lambda _: self._connection.ended(id))

    def _answer_later(self, id: str | None, answer: Callable[[], Awaitable[frames.Answer]]) -> None:
        work = asyncio.create_task(self._guarded(lambda: self._answer(id, answer)), name="engine answer")
        self._works.add(work)
        work.add_done_callback(self._works.discard)

    async def _answer(self, id: str | None, answer: Callable[[], Awaitable[frames.Answer]]) -> None:
        """Answer when it is known; without ids, the order of the answers is all that tells them apart."""
        async with self._unnamed if id is None else contextlib.nullcontext():
            try:
                self._connection.answer(await answer())
            except Exception as exc:
                if isinstance(exc, EXPECTED):
                    log.info("the engine did not run %s: %s", id, exc)
                else:
                    log.error("a run of the engine failed", exc_info=exc)
                self._connection.refused(id, frame_of(exc, id))
            await self._flush()

    async def _resume(self, frame: frames.Resume) -> None:
        desk = await self._host.desk()
        account = await self._authenticated(given(frame.api_key))
        self._check_places(frame.session)
        session = desk.sessions.find(account, frame.session)
        try:
            watcher = session.log.watch(frame.after)
        except BaseException:
            desk.sessions.leave(session)
            raise
        self._stop_carrying(session.name)
        running = sorted(session.streams)
        self._connection.send(
            frames.Resumed(session=session.name, room=session.room.id, n=session.log.last, running=running)
        )
        await self._flush()  # before what is carried after it
        self._attach(session, watcher, desk)

    async def _close(self, name: str | None) -> None:
        session = self._own if name is None else self._sessions.get(name)
        if session is None:
            raise UnknownSessionError(name or "of this connection")
        desk = await self._host.desk()
        await desk.sessions.end(session)

    # Writing.

    async def _carry(self, session: Session, watcher: Watcher, desk: Desk) -> None:
        async with watcher:
            async for records in watcher:
                for piece in pieces(records, session.name):
                    async with self._sending, deadline(self._send_timeout_s):
                        await self._socket.send_framed(piece)
                    await asyncio.sleep(0)
        self._forget(session, desk)
        reason = session.room.end_reason or "closed"
        closed = frames.Closed(session=session.name, reason=reason, room=session.room.id)
        self._connection.send(closed)
        await self._flush()

    def _forget(self, session: Session, desk: Desk) -> None:
        """Let go of a session that has ended, unless another of its name is in its place."""
        if self._sessions.get(session.name) is session:
            del self._sessions[session.name]
            self._carriers.pop(session.name, None)
            desk.sessions.leave(session)
        if self._own is session:
            self._own = None

    async def _flush(self) -> None:
        async with self._sending:
            outgoing = self._connection.frames_to_send()
            if outgoing:
                async with deadline(self._send_timeout_s):
                    await self._socket.send_frames(outgoing)
        if self._connection.close_code is not None:
            self._socket.close_with(self._connection.close_code, self._connection.close_reason)

    def _guarded(self, work: Callable[[], Awaitable[None]]) -> Coroutine[Any, Any, None]:
        return guarded(work, self._socket.close_with, self._send_timeout_s, "the Engine protocol")

    async def aclose(self) -> None:
        """Leave the sessions and end the tasks; idempotent. Streamed runs of named sessions go on."""
        if self._is_closed:
            return
        self._is_closed = True
        tasks = [*self._works, *self._carriers.values()]
        if self._performing is not None:
            tasks.append(self._performing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        sessions, self._sessions, self._own = list(self._sessions.values()), {}, None
        if sessions:
            with contextlib.suppress(EmbedEnvError):
                desk = await self._host.desk()
                for session in sessions:
                    desk.sessions.leave(session)


async def _failing(exc: Exception) -> frames.Answer:
    raise exc
