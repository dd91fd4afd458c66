"""``embedenv/rooms/{id}/api/terminals`` and the sockets of terminals (docs/terminals.md).

Stock JupyterLab works here when its base URL is ``embedenv/rooms/{id}/``.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated

from embedenv_jupyter.errors import CloseCode, EmbedEnvError
from embedenv_jupyter.handlers.access import OwnHandler
from embedenv_jupyter.handlers.room_sockets import RoomSocketHandler
from embedenv_jupyter.handlers.rooms import require
from embedenv_jupyter.protocols import terminals as protocol
from embedenv_jupyter.protocols.websocket import text_frame
from embedenv_jupyter.rooms.members import Role
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.terminals.manager import RoomTerminals
from embedenv_jupyter.terminals.terminal import Terminal, TerminalClient


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


class TerminalSocketHandler(RoomSocketHandler):
    """One connection to a terminal."""

    kind = "terminal"
    _terminal: Terminal
    _client: TerminalClient | None = None

    @property
    def max_message_size(self) -> int:
        return protocol.MAX_MESSAGE_BYTES

    async def find(self, room: Room, name: str) -> None:
        self._terminal = self._gateway.terminals.of(room).get_terminal(name)

    def open(self, *args: str, **kwargs: str) -> None:
        super().open()
        try:
            self._client = self._terminal.attach(self.enter())
        except EmbedEnvError as exc:
            self.end_with(CloseCode.ROOM_ENDED, str(exc))
        else:
            self.start_carrier()

    async def carry(self) -> None:
        assert self._client is not None, "open() comes first"
        await self._send(protocol.Setup())
        async with aclosing(self._terminal.output(self._client)) as output:
            async for text in output:
                await self._send(protocol.Stdout(text))
        await self._send(protocol.Disconnect())
        self.close_with(CloseCode.NORMAL, "this terminal has ended")

    async def _send(self, frame: protocol.ServerFrame) -> None:
        await self.send_in_time(text_frame(protocol.encode(frame)))

    async def take(self, message: str | bytes) -> None:
        assert self._client is not None, "open() comes first"
        match protocol.decode(message):
            case protocol.Stdin(text):
                if told := await self._terminal.type(self._client, text):
                    await self._send(protocol.Stdout(told))
            case protocol.SetSize(rows, columns):
                await self._terminal.resized(self._client, rows, columns)

    def on_close(self) -> None:
        if self._client is not None:  # of who was put out, what still waits is not typed any more
            self._terminal.detach(self._client, drop_input=self._is_over)
        super().on_close()
