"""A room as a program sees it, and how to get one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Self

from embedenv_jupyter.client import commands
from embedenv_jupyter.client.backoff import Retry
from embedenv_jupyter.client.dialect import Dialect
from embedenv_jupyter.client.dialling import Transport
from embedenv_jupyter.client.events import Event, State
from embedenv_jupyter.client.files import Files
from embedenv_jupyter.client.flow import Buffering, Gate
from embedenv_jupyter.client.hub import Hub
from embedenv_jupyter.client.link import Link
from embedenv_jupyter.client.numbered import Numbered
from embedenv_jupyter.client.plain import Plain
from embedenv_jupyter.client.room_dialogue import RoomDialogue
from embedenv_jupyter.client.run import Run
from embedenv_jupyter.client.session import Session
from embedenv_jupyter.errors import LocalProtocolError, RoomClosedError


class Watch(AsyncIterator[Run]):
    """The runs of a room as they start; ends with the room. ``with room.watch() as runs:`` closes it."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._box = dialect.watch()

    def close(self) -> None:
        """Follow no further runs; idempotent."""
        self._dialect.unwatch(self._box)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __anext__(self) -> Run:
        run = await self._box.take()
        if run is None:
            raise StopAsyncIteration
        return run


class Room:
    """Use :func:`embedenv_jupyter.client.connect` to get one. All methods may be used by many tasks at once.

    Whatever waits when the room ends, or is called after, raises what ended it:
    ``RoomClosedError``, ``RefusedError`` or ``ConnectionLostError``.
    """

    def __init__(
        self,
        transport: Transport,
        session: Session,
        *,
        retry: Retry,
        buffering: Buffering,
        answer_s: float,
        dice: Callable[[], float],
    ) -> None:
        self._session = session
        self._gate = Gate(buffering)
        self._answer_s = answer_s
        self._hub = Hub(self._choose_dialect)
        dialogue = RoomDialogue(session, self._hub)
        self._link = Link(transport, dialogue, self._gate, retry, dice, of="a room")
        self._task: asyncio.Task[None] | None = None
        self.files = Files(lambda: self._hub.dialect)

    def __repr__(self) -> str:
        return f"<Room {self.id or 'without id'} {self.state.value}>"

    # What is known of the room

    @property
    def id(self) -> str | None:
        """The room's id; ``None`` from a server that speaks only the published frames."""
        return self._session.room_id

    @property
    def join_key(self) -> str:
        """The key with which others enter this room: a secret, to be handed on with care."""
        return self._session.join_key

    @property
    def role(self) -> str | None:
        """``view``, ``run``, ``edit`` or ``own``; ``None`` where the server does not say."""
        return self._session.role

    @property
    def remaining_credits(self) -> int | None:
        """What the account had left when the room was made; ``None`` for those who joined."""
        return self._session.remaining_credits

    @property
    def last_n(self) -> int:
        """The number of the newest event that was received; 0 where nothing is numbered."""
        return self._session.last_n

    @property
    def state(self) -> State:
        return self._hub.state

    @property
    def is_plain(self) -> bool:
        """Whether the server speaks only the published frames."""
        return self._session.is_plain

    # What can be done in it

    async def shell(self, command: str) -> Run:
        """Run a line of shell; it starts one level above ``project``.

        Returns when the run has started (with a plain server: when the line is sent).

        Raises:
            BusyError: a program of this room is running.
            RefusedError: the server said no: the role, the credits, the line.
        """
        if command == commands.INTERRUPT:
            raise LocalProtocolError(f"{command!r} is the protocol's interrupt; use interrupt() of the run")
        return await self._hub.dialect.start(command)

    def curl(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, data: str = ""
    ) -> AsyncGenerator[str, None]:
        """Send a request to a web server in the room, at ``http://localhost:PORT/``; yields the body."""
        return self._hub.dialect.curl(commands.curl(method, url, headers or {}, data))

    async def fetch(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, data: str = ""
    ) -> str:
        """Like :meth:`curl`, but return the whole body. Neither tells the HTTP status: no frame does."""
        return "".join([piece async for piece in self.curl(method, url, headers=headers, data=data)])

    def events(self) -> AsyncIterator[Event]:
        """Collect events from this call on: members, limits, gaps, idle, post-mortem, the connection's state.

        The iterator ends with the room. A reader that falls behind loses the
        oldest events and is told how many by a ``Missed``.
        """
        return self._hub.subscribe()

    def watch(self) -> Watch:
        """Collect every run that anybody starts from this call on, this client's own included.

        Their output waits to be read: read or discard it, and close what this returns.
        """
        return Watch(self._hub.dialect)

    async def keep(self, seconds: float) -> None:
        """Put off the end of an idle room by so many seconds."""
        await self._hub.dialect.ask(commands.keep(seconds), "put off the idle stop")

    async def stop(self) -> None:
        """End the room for everybody; only its owner may."""
        # The answer and the end of the room race each other; either says that it worked.
        with contextlib.suppress(RoomClosedError):
            await self._hub.dialect.ask(commands.stop(), "end the room")

    # Its life

    async def open(self) -> None:
        """Make the first connection; once."""
        await self._link.open()
        self._hub.started()
        self._task = asyncio.create_task(self._link.run(), name=f"link of {self!r}")

    async def close(self) -> None:
        """Leave the room, which lives on for the others. Idempotent; takes ``close_s`` at most."""
        self._session.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._hub.ended(LocalProtocolError("this room was closed here"))

    def _choose_dialect(self) -> Dialect:
        kind = Plain if self._session.is_plain else Numbered
        return kind(self._session, self._gate, self._link.wake, self._hub.publish, self._answer_s)
