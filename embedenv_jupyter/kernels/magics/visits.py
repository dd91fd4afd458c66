"""Cells that run in another room: a kernel there, and what it says carried back.

A notebook has at most one kernel of its own in each other room, an **outpost**, which
keeps its variables from cell to cell and ends with the notebook's kernel. Each
client of the notebook has its own **visit** to it: a member of that room with the role
of its own key, and a client of that kernel. Messages keep their headers, so that what
the outpost answers is an answer to the client's own request; what other clients of
that room do stays there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from embedenv_jupyter.errors import EmbedEnvError, RoleError, UnknownKernelError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.magics.answer import Answer
from embedenv_jupyter.kernels.magics.doors import Door, called
from embedenv_jupyter.kernels.magics.lines import MagicError
from embedenv_jupyter.kernels.magics.surroundings import Kernels
from embedenv_jupyter.kernels.magics.turn import Turn
from embedenv_jupyter.kernels.messages import Header
from embedenv_jupyter.kernels.session import KernelSession
from embedenv_jupyter.protocols.kernels import Message
from embedenv_jupyter.rooms.events import KernelMessage
from embedenv_jupyter.rooms.log import Gap, Record, Watcher
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.room import Room

if TYPE_CHECKING:
    from embedenv_jupyter.kernels.kernel import Kernel

log = logging.getLogger(__name__)

MAX_VISITS: Final = 64
MAX_REMEMBERED: Final = 1000
"""Cells whose late output (of a thread that they left behind) still finds its way back."""

WIDGET_VIEW: Final = "application/vnd.jupyter.widget-view+json"
SHOWING: Final = frozenset({"display_data", "update_display_data", "execute_result"})
NO_WIDGETS: Final = (
    "[Widgets do not work across rooms. Open a notebook in that room, or use the values without a widget.]\n"
)


class Outposts:
    """The kernels that one notebook has in other rooms, and its clients' visits to them."""

    def __init__(self, home: Kernel, kernels: Kernels) -> None:
        self._home = home
        self._kernels = kernels
        self._by_room: dict[str, Kernel] = {}
        self._visits: OrderedDict[tuple[str, str, str], Visit] = OrderedDict()

    def find(self, session: KernelSession, door: Door) -> Visit | None:
        """Return the visit of a client that has been made already."""
        visit = self._visits.get((session.id, door.room.id, door.target))
        return visit if visit is not None and visit.is_open else None

    async def visit(self, session: KernelSession, door: Door) -> Visit:
        """Return the visit of a client to a room; the outpost there is started if there is none.

        Raises:
            RoleError: the client may not run anything there.
            BusyError: the room has as many kernels as it may.
            SandboxError: the kernel did not start.
        """
        if door.role < Role.RUN:
            raise RoleError(f"run cells in the room {called(door.room)}", "run", door.role.word)
        key = (session.id, door.room.id, door.target)
        visit = self.find(session, door)
        if visit is None:
            kernel = await self._kernel_in(door.room)
            if len(self._visits) >= MAX_VISITS:
                _, oldest = self._visits.popitem(last=False)
                await oldest.aclose()
            visit = self._visits[key] = Visit(self._home, session, door, kernel)
        self._visits.move_to_end(key)
        return visit

    async def _kernel_in(self, room: Room) -> Kernel:
        kernels = self._kernels.of(room)
        known = self._by_room.get(room.id)
        if known is not None and known.state != "dead" and not known.log.is_finished:
            return known
        await self._end(room.id)
        kernel = self._by_room[room.id] = await kernels.start()
        return kernel

    async def _end(self, room_id: str) -> None:
        kernel = self._by_room.pop(room_id, None)
        if kernel is None or kernel.room.end_reason is not None:
            return  # a room that ends takes its kernels with it
        with contextlib.suppress(UnknownKernelError):
            await self._kernels.of(kernel.room).shutdown(kernel.id)

    async def aclose(self) -> None:
        """End all visits and outposts; idempotent, and what is visited later is made anew."""
        visits, self._visits = list(self._visits.values()), OrderedDict()
        for visit in visits:
            await visit.aclose()
        for room_id in list(self._by_room):
            await self._end(room_id)


class _Waited:
    """A cell that was sent across: done when it is answered and the kernel is idle again."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.status = ""
        self.is_idle = False
        self.is_lost = False
        self.done = asyncio.Event()

    def note(self) -> None:
        if self.is_lost or (self.is_idle and self.status):
            self.done.set()


class Visit:
    """One client of a notebook as a client of the notebook's kernel in another room."""

    def __init__(self, home: Kernel, session: KernelSession, door: Door, kernel: Kernel) -> None:
        self._home = home
        self._session = session
        self._door = door
        self._kernel = kernel
        self._id = f"visit-{secrets.token_hex(12)}"
        self._place: KernelSession | None = None
        self._token: str | None = None
        self._answers: OrderedDict[str, Answer | None] = OrderedDict()
        self._waited: _Waited | None = None
        self._carrier: asyncio.Task[None] | None = None
        self._is_revoked = False

    @property
    def is_open(self) -> bool:
        """False when the outpost is gone."""
        return not self._kernel.log.is_finished and self._kernel.state != "dead"

    async def run(self, turn: Turn, code: str) -> bool:
        """Run a cell there to its end; true when it went well. What it says is carried into ``turn``.

        Raises:
            RoomClosedError: the room has ended.
            MagicError: the room ended, or the key was revoked, while the cell ran.
        """
        waited = self._waited = _Waited(turn)
        turn.on_interrupt, turn.on_input = self._kernel.interrupt, self._give_input
        member = self._come_in()
        try:
            place = await self._sit_down(member)
            self._remember(turn.cell.header.msg_id, turn.answer)
            await self._kernel.receive(place, messages.with_code(turn.cell.message, code))
            await waited.done.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(EmbedEnvError):
                await self._kernel.interrupt()
            raise
        finally:
            self._waited = None
            self._home.prompts.withdraw(turn.execution.run)
            self._go_out(member)
        if waited.is_lost:
            await self._lost(turn)
        return waited.status == "ok"

    def _come_in(self) -> Member:
        member, room = self._session.member, self._door.room
        visitor = room.people.admit(
            member.user, member.colour, self._door.role, self._token, put_out=self._put_out
        )
        self._token, visitor.key = visitor.token, self._door.key
        return visitor

    def _go_out(self, member: Member) -> None:
        self._door.room.people.leave(member, self._put_out)

    def _put_out(self, reason: str) -> None:
        self._is_revoked = True
        self._lose()

    async def _sit_down(self, member: Member) -> KernelSession:
        place = self._place = await self._kernel.join(self._id, member)
        place.is_visiting = True
        if self._carrier is None:
            watcher = self._kernel.log.watch(self._kernel.log.last)
            self._carrier = asyncio.create_task(self._carry(watcher), name=f"carrier of {self._id}")
        return place

    async def _lost(self, turn: Turn) -> None:
        """Say why there will be no answer."""
        turn.answer.is_begun = True
        room = called(self._door.room)
        if self._is_revoked:
            with contextlib.suppress(EmbedEnvError):
                await self._kernel.interrupt()
            raise MagicError(
                f"The key to the room {room} was revoked while the cell ran; it was interrupted."
            )
        reason = self._door.room.end_reason
        if reason is not None:
            raise MagicError(f"The room {room} has ended while the cell ran: {reason}. Open another one.")
        raise MagicError(f"The kernel in the room {room} was shut down while the cell ran; run it again.")

    async def pass_on(self, message: Message, header: Header) -> bool:
        """Ask the outpost what runs no cell, and carry the answer back; false: it cannot be asked."""
        if self._place is None:
            return False
        self._remember(header.msg_id, None)
        try:
            await self._kernel.receive(self._place, message)
        except EmbedEnvError:
            return False
        return True

    async def _give_input(self, message: Message) -> None:
        if self._place is not None:
            await self._kernel.receive(self._place, message)

    def _remember(self, msg_id: str, answer: Answer | None) -> None:
        self._answers[msg_id] = answer
        if len(self._answers) > MAX_REMEMBERED:
            self._answers.popitem(last=False)

    # What the outpost says.

    async def _carry(self, watcher: Watcher) -> None:
        """Carry what answers this client into the notebook's log, at the pace that it takes."""
        try:
            async with watcher:
                async for records in watcher:
                    for record in records:
                        self._take(record)
                    await self._home.log.writable()
        except Exception:
            log.exception("a visit of kernel %s to room %s broke", self._home.id, self._door.room.id)
        finally:
            self._lose()

    def _lose(self) -> None:
        if self._waited is not None:
            self._waited.is_lost = not (self._waited.status and self._waited.is_idle)
            self._waited.note()

    def _take(self, record: Record | Gap) -> None:
        if isinstance(record, Gap):
            if self._waited is not None:
                lost = f"[{record.events} messages of the other room's kernel were lost]\n"
                self._waited.turn.answer.stream("stderr", lost)
            return
        event = record.event
        assert isinstance(event, KernelMessage), "a kernel's log has nothing else"
        parent = messages.parent_id(event.parts)
        if event.to in ("", self._id) and parent in self._answers:
            self._bring(event, parent)

    def _bring(self, event: KernelMessage, parent: str) -> None:
        waited = self._waited
        is_current = waited is not None and waited.turn.cell.header.msg_id == parent
        parts, kind = event.parts, messages.kind_of(event.parts)
        if kind.startswith("comm_"):
            self._tell_once(parent)
            return
        if WIDGET_VIEW.encode() in parts[3]:
            self._tell_once(parent)
            parts = _without_widget(parts, kind)
        self._home.stand_in.append(event.channel, parts, to=self._session.id if event.to else "")
        if waited is None or not is_current:
            return
        waited.turn.answer.is_begun = True
        if event.channel == "stdin":
            self._home.prompts.ask(parts, self._session.id, waited.turn.execution)
        elif kind == "execute_reply":
            waited.turn.answer.is_over = True
            waited.status = messages.status_of(parts).status or "unknown"
            if waited.status != "ok":
                waited.turn.failed()
        elif kind == "status":
            waited.is_idle = messages.state_of(parts) == "idle"
        waited.note()

    def _tell_once(self, parent: str) -> None:
        """Say that widgets stay where they are, once for each cell."""
        answer = self._answers[parent]
        if answer is not None:
            self._answers[parent] = None
            answer.stream("stderr", NO_WIDGETS)

    async def aclose(self) -> None:
        """Leave; idempotent."""
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            carrier.cancel()
            await asyncio.gather(carrier, return_exceptions=True)
        if self._place is not None:
            await self._kernel.places.forget(self._place)
            self._place = None


def _without_widget(parts: tuple[bytes, ...], kind: str) -> tuple[bytes, ...]:
    """Take the view of a widget out of what is displayed; its text stays."""
    if kind not in SHOWING:
        return parts
    data = messages.shown_of(parts)
    if data is None:
        text, count = messages.left_out(parts, kind), messages.count_of(parts)
        shown = {"data": {"text/plain": text}, "metadata": {}}
        return messages.with_content(parts, shown | ({"execution_count": count} if count else {}))
    data.pop(WIDGET_VIEW, None)
    return messages.with_shown(parts, data)
