"""The relay: one kernel as Jupyter's clients see it, and a link to where it really runs.

Theory of operation. What clients send goes up the link in the order in which it
came, once its signature is right; who sent it is remembered. What comes down is
signed again and goes to who asked, or to everybody. Three things are settled here:
heartbeats, since this process lives; shutdown, since this process ends with it; and
what is owed to a cell when the link cannot pay: while it is away the running cell
says so, and when it is gone for good each request is answered with the reason.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from embedenv_jupyter.errors import EmbedEnvError, RemoteProtocolError
from embedenv_jupyter.forwarder.connection import ASKING, Sockets
from embedenv_jupyter.forwarder.link import Away, Back, Event, Gone, Link, Missed
from embedenv_jupyter.forwarder.pending import Asked, Pending
from embedenv_jupyter.forwarder.publisher import Publisher
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.protocols.kernels import Message

log = logging.getLogger(__name__)

TELL_AFTER_S: Final = 1.0
"""A cut that is mended sooner is not worth a line in somebody's notebook."""

LOST: Final = "[connection to the room lost, trying again… ({reason})]\n"
BACK: Final = "[connection to the room is back]\n"
MISSED: Final = "[{count} messages are no longer kept by the room and were left out]\n"
ANSWER_LOST: Final = "The answer to this request was lost while the connection to the room was away."
CONNECTION_ERROR: Final = "RoomConnectionError"


@dataclass(frozen=True)
class Shutdown:
    """How it ended: a client asked, and wants the kernel started again or not."""

    restart: bool


class _ShutdownRequest(msgspec.Struct):
    restart: bool = False


_shutdown_request = msgspec.json.Decoder(_ShutdownRequest)


class Relay:
    """Serves clients on bound sockets until one of them asks for the end."""

    def __init__(
        self, sockets: Sockets, link: Link, *, tell_after_s: float = TELL_AFTER_S, settle_s: float = 0.0
    ) -> None:
        self._sockets = sockets
        self._link = link
        self._tell_after_s = tell_after_s
        self._pending = Pending()
        self._publisher = Publisher(sockets.iopub, welcome=self._welcome, settle_s=settle_s)
        self._end: asyncio.Future[Shutdown] = asyncio.get_running_loop().create_future()
        self._away: Away | None = None
        self._gone: Gone | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._has_told = False
        self._probes: dict[str, list[str]] = {}
        """Questions of ours behind a gap, and the requests that would be answered before them."""

    async def run(self) -> Shutdown:
        """Serve until a client asks for the end, or :meth:`stop` is called."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._up(name), name=f"up {name}") for name in ASKING]
            tasks.append(group.create_task(self._down(), name="down"))
            tasks.append(group.create_task(self._publisher.run(), name="iopub"))
            tasks.append(group.create_task(self._echo(), name="heartbeat"))
            try:
                return await self._end
            finally:
                if self._telling is not None:
                    self._telling.cancel()
                for task in tasks:
                    task.cancel()

    def stop(self, *, restart: bool = False) -> None:
        """End as if a client had asked for it; idempotent."""
        if not self._end.done():
            self._end.set_result(Shutdown(restart))

    async def interrupt(self) -> None:
        """Interrupt the cell that runs, as SIGINT does for a local kernel."""
        request = messages.make("control", "interrupt_request", {})
        if self._gone is None:
            await self._link.send(request)

    async def _echo(self) -> None:
        heartbeat = self._sockets.heartbeat
        while True:
            await heartbeat.send(await heartbeat.recv())

    # Up: from clients to the room.

    async def _up(self, channel: str) -> None:
        socket = self._sockets.asking[channel]
        while True:
            frames: list[bytes] = await socket.recv_multipart()
            try:
                identities, parts = self._sockets.unwrapped(frames)
                message = Message(channel, parts)
                header = messages.header_of(message)
            except RemoteProtocolError as exc:
                log.warning("dropped on %s: %s", channel, exc)
                continue
            asked = self._pending.add(header, channel, identities, parts[0])
            await self._asked(asked, message)

    async def _asked(self, asked: Asked, message: Message) -> None:
        if asked.type == "shutdown_request":
            await self._shut_down(asked, message)
            return
        if asked.is_cell and self._has_told and self._away is not None:
            self._tell(LOST.format(reason=self._away.reason), asked.header)
        try:
            if self._gone is None:
                await self._link.send(message)
        except EmbedEnvError as exc:
            await self._refuse(asked, str(exc))
        else:
            if self._gone is not None:
                await self._refuse(asked, self._gone.reason)

    async def _shut_down(self, asked: Asked, message: Message) -> None:
        try:
            restart = _shutdown_request.decode(message.parts[3]).restart
        except msgspec.MsgspecError:
            restart = False
        content = {"status": "ok", "restart": restart}
        self._pending.take(asked.id, asked.channel)
        await self._reply(asked, content)
        self._tell_all("shutdown_reply", content, asked.header)
        self.stop(restart=restart)

    # Down: from the room to clients.

    async def _down(self) -> None:
        while self._gone is None:
            match event := await self._link.receive():
                case Message():
                    await self._deliver(event)
                case _:
                    await self._news(event)

    async def _deliver(self, message: Message) -> None:
        parts = message.parts
        try:
            header = messages.header_of(message)
        except RemoteProtocolError as exc:
            log.warning("dropped from the room: %s", exc)
            return
        if message.channel == "iopub":
            await self._publisher.publish([header.msg_type.encode(), *self._sockets.wrapped(parts)])
            return
        parent = messages.parent_id(parts)
        if parent in self._probes:
            await self._probed(self._probes.pop(parent))
        if message.channel == "stdin":
            asked = self._pending.find(parent)
        else:
            asked = self._pending.take(parent, message.channel)
        if asked is None:
            log.debug("nobody waits for a %s", header.msg_type)
            return
        socket = self._sockets.asking[message.channel]
        await socket.send_multipart([*asked.identities, *self._sockets.wrapped(parts)])

    async def _news(self, event: Event) -> None:
        match event:
            case Away():
                log.info("the connection to the room is lost: %s", event.reason)
                self._away = event
                loop = asyncio.get_running_loop()
                self._telling = loop.call_later(self._tell_after_s, self._tell_lost)
            case Back():
                log.info("the connection to the room is back")
                self._come_back()
            case Missed(count):
                self._tell(MISSED.format(count=count))
                await self._probe()
            case Gone():
                log.error("the room cannot be reached any more: %s", event.reason)
                self._gone, self._away = event, None
                self._come_back(says_so=False)
                for asked in self._pending:
                    await self._refuse(asked, event.reason)

    # What is said in the kernel's place.

    def _tell_lost(self) -> None:
        if self._away is not None:
            log.warning("the connection to the room is lost: %s", self._away.reason)
            self._has_told = True
            self._tell(LOST.format(reason=self._away.reason))

    def _come_back(self, *, says_so: bool = True) -> None:
        if self._telling is not None:
            self._telling.cancel()
        if self._has_told and says_so:
            self._tell(BACK)
        self._away, self._has_told = None, False

    def _tell(self, text: str, parent: bytes | None = None) -> None:
        """Say something in the output of a cell, of the one that runs unless told otherwise."""
        cell = self._pending.cell
        header = parent or (cell.header if cell is not None else b"{}")
        self._tell_all("stream", {"name": "stderr", "text": text}, header)

    def _tell_all(self, type: str, content: dict[str, Any], parent: bytes = b"{}") -> None:
        made = messages.make("iopub", type, content, parent=parent)
        self._publisher.put([type.encode(), *self._sockets.wrapped(made.parts)])

    def _welcome(self, topic: bytes) -> list[bytes]:
        """Tell a subscriber that it hears us from now on (JEP 65)."""
        made = messages.make("iopub", "iopub_welcome", {"subscription": topic.decode(errors="replace")})
        return [topic, *self._sockets.wrapped(made.parts)]

    async def _probe(self) -> None:
        """Ask something, to learn which answers were lost: a kernel answers in order."""
        waiting = [asked.id for asked in self._pending if asked.channel == "shell"]
        question = messages.make("shell", "kernel_info_request", {})
        if waiting:
            self._probes[messages.header_of(question).msg_id] = waiting
            await self._link.send(question)

    async def _probed(self, ids: list[str]) -> None:
        for asked in self._pending:
            if asked.id in ids:
                await self._refuse(asked, ANSWER_LOST)

    async def _refuse(self, asked: Asked, reason: str) -> None:
        """Answer, in the kernel's place, that something was not done, and why."""
        if self._pending.take(asked.id, asked.channel) is None:
            return
        error = messages.error_content(CONNECTION_ERROR, reason)
        content: dict[str, Any] = {"status": "error", "execution_count": 0, **error}
        if asked.type == "kernel_info_request":
            content = _kernel_info(reason)  # without one, clients would wait instead of showing the reason
        self._tell_all("status", {"execution_state": "busy"}, asked.header)
        if asked.is_cell:
            self._tell_all("error", error, asked.header)
        await self._reply(asked, content)
        self._tell_all("status", {"execution_state": "idle"}, asked.header)

    async def _reply(self, asked: Asked, content: dict[str, Any]) -> None:
        made = messages.make(asked.channel, asked.reply_type, content, parent=asked.header)
        socket = self._sockets.asking[asked.channel]
        await socket.send_multipart([*asked.identities, *self._sockets.wrapped(made.parts)])


def _kernel_info(reason: str) -> dict[str, Any]:
    try_restart = f"{reason}\nRestart the kernel to try again."
    return {
        "status": "ok", "protocol_version": messages.PROTOCOL_VERSION, "implementation": "embedenv",
        "implementation_version": "", "banner": try_restart, "help_links": [],
        "language_info": {
            "name": "python", "version": "3", "mimetype": "text/x-python", "file_extension": ".py",
        },
    }  # fmt: skip
