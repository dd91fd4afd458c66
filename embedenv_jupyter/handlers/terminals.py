"""``embedenv/rooms/{id}/api/terminals`` and the sockets of terminals (docs/terminals.md).

Stock JupyterLab works here when its base URL is ``embedenv/rooms/{id}/``.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from embedenv_jupyter.errors import CloseCode, EmbedEnvError, RemoteProtocolError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.access import OwnHandler, Principal, entered
from embedenv_jupyter.handlers.base import InBandHandler
from embedenv_jupyter.handlers.problems import problem_of
from embedenv_jupyter.handlers.rooms import require
from embedenv_jupyter.protocols import terminals as protocol
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.terminals.manager import RoomTerminals
from embedenv_jupyter.terminals.terminal import Terminal, TerminalClient

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 60.0


class NewTerminal(msgspec.Struct):
    """What to call the terminal (by default the next number), and the folder that its shell starts in."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_]{1,64}$")] | None = None
    cwd: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


def terminal_model(terminal: Terminal) -> dict[str, Any]:
    """Describe a terminal as Jupyter's ``/api/terminals`` does."""
    return {
        "name": terminal.term_name,
        "last_activity": terminal.last_activity.isoformat().replace("+00:00", "Z"),
    }


class OfTerminalsHandler(OwnHandler):
    """Base of what is about the terminals of a room."""

    async def terminals(self, room_id: str, role: Role, action: str) -> RoomTerminals:
        """Return the terminals of a room for somebody who may do this with them.

        Raises:
            EmbedEnvError: there is no such room, or the role does not allow it.
        """
        room, who = await self.entered(room_id, "read" if role is Role.VIEW else "execute")
        require(who, role, action)
        return self.gateway.terminals.of(room)


class TerminalsHandler(OfTerminalsHandler):
    """All terminals of a room."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        self.answer(list(map(terminal_model, await self.terminals(room_id, Role.VIEW, "see terminals"))))

    @allow_unauthenticated
    async def post(self, room_id: str) -> None:
        terminals = await self.terminals(room_id, Role.RUN, "open terminals")
        wanted = self.body(NewTerminal)
        # 200, as jupyter_server_terminals answers and JupyterLab expects.
        self.answer(terminal_model(await terminals.create(wanted.name, wanted.cwd)))


class TerminalHandler(OfTerminalsHandler):
    """One terminal of a room."""

    @allow_unauthenticated
    async def get(self, room_id: str, name: str) -> None:
        terminals = await self.terminals(room_id, Role.VIEW, "see terminals")
        self.answer(terminal_model(terminals.get_terminal(name)))

    @allow_unauthenticated
    async def delete(self, room_id: str, name: str) -> None:
        terminals = await self.terminals(room_id, Role.RUN, "close terminals")
        await terminals.close(name)
        self.set_status(204)
        self.finish()


class TerminalSocketHandler(InBandHandler):
    """One connection to a terminal. Authenticated as REST is, by Jupyter's login or a key."""

    def initialize(self, *, gateway: Gateway) -> None:  # type: ignore[override]
        super().initialize()
        self._gateway = gateway
        self._room: Room | None = None
        self._terminal: Terminal | None = None
        self._principal: Principal | None = None
        self._member: Member | None = None
        self._client: TerminalClient | None = None
        self._carrier: asyncio.Task[None] | None = None
        self._is_put_out = False

    @property
    def max_message_size(self) -> int:
        return protocol.MAX_MESSAGE_BYTES

    @allow_unauthenticated
    async def get(self, room_id: str, name: str) -> None:  # type: ignore[override]
        """Find out who asks, and for what, before the upgrade: a refusal is an HTTP answer."""
        try:
            await self._gateway.ready()
            self._room, self._principal = await entered(self, self._gateway, room_id, "execute")
            self._terminal = self._gateway.terminals.of(self._room).get_terminal(name)
        except EmbedEnvError as exc:
            raise HTTPError(problem_of(exc).status_code, str(exc).replace("%", "%%")) from exc
        await WebSocketHandler.get(self, room_id, name)

    def open(self, *args: str, **kwargs: str) -> None:
        super().open()
        terminal, room, who = self._terminal, self._room, self._principal
        assert terminal is not None and room is not None and who is not None, "get() comes first"
        try:
            member = room.enter(who.visitor)
            member.put_out.append(self._put_out)
            self._member = member
            self._client = terminal.attach(member)
        except EmbedEnvError as exc:
            self.close_with(CloseCode.ROOM_ENDED, str(exc))
            return
        self._carrier = asyncio.create_task(self._carry(terminal, self._client), name="carrier of a terminal")

    def _put_out(self, reason: str) -> None:
        self._is_put_out = True
        if self._carrier is not None:
            self._carrier.cancel()
        self.close_with(CloseCode.REVOKED, reason)

    async def _carry(self, terminal: Terminal, client: TerminalClient) -> None:
        """Send what the terminal shows, at the client's pace."""
        try:
            await self._send(protocol.Setup())
            async with aclosing(terminal.output(client)) as output:
                async for text in output:
                    await self._send(protocol.Stdout(text))
            await self._send(protocol.Disconnect())
            self.close_with(CloseCode.NORMAL, "this terminal has ended")
        except TimeoutError:
            self.close_with(CloseCode.TOO_SLOW, f"took no data for {SEND_TIMEOUT_S:g} s; come back")
        except WebSocketClosedError:
            return

    async def _send(self, frame: protocol.ServerFrame) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self.send_frames([protocol.encode(frame)])

    async def receive(self, message: str | bytes) -> None:
        terminal, client = self._terminal, self._client
        if terminal is None or client is None or self._is_put_out:
            return
        try:
            match protocol.decode(message):
                case protocol.Stdin(text):
                    if told := await terminal.type(client, text):
                        await self._send(protocol.Stdout(told))
                case protocol.SetSize(rows, columns):
                    await terminal.resized(client, rows, columns)
        except RemoteProtocolError as exc:
            self.close_with(exc.code, str(exc))
        except TimeoutError:
            self.close_with(CloseCode.TOO_SLOW, f"took no data for {SEND_TIMEOUT_S:g} s; come back")
        except WebSocketClosedError:
            return

    def on_close(self) -> None:
        super().on_close()
        if self._carrier is not None:
            self._carrier.cancel()
        if self._terminal is not None and self._client is not None:
            self._terminal.detach(self._client, drop_input=self._is_put_out)
        member, self._member = self._member, None
        if member is not None and self._room is not None:
            if self._put_out in member.put_out:
                member.put_out.remove(self._put_out)
            self._room.leave(member)
