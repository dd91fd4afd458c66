"""``%embedenv``: the room of a notebook, other rooms, and the keys to them."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from embedenv_jupyter.accounts import INIT_COST, Account, Mode
from embedenv_jupyter.errors import EmbedEnvError, RoleError
from embedenv_jupyter.kernels.magics import doors
from embedenv_jupyter.kernels.magics.doors import Door, called
from embedenv_jupyter.kernels.magics.lines import Command, Home, Join, Keys, MagicError, New, Show
from embedenv_jupyter.kernels.magics.surroundings import Surroundings
from embedenv_jupyter.kernels.magics.turn import Turn
from embedenv_jupyter.kernels.magics.visits import Outposts
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.sandbox.spec import MIB, Limits, Usage
from embedenv_jupyter.sandbox.tiers.by_name import NAMES

if TYPE_CHECKING:
    from embedenv_jupyter.kernels.kernel import Kernel

SPACE: Final = "notebook"
UNLIMITED: Final = "no limit"
UNKNOWN: Final = "not known"
HOME_HINT: Final = "`%embedenv home` brings them back."


@dataclasses.dataclass(frozen=True)
class Away:
    """Where the cells of a client go while they do not go to its own notebook's kernel."""

    target: str
    """What finds the room again: a join key, or the id for who owns it."""
    room: Room


class Desk:
    """Answers ``%embedenv`` for one kernel; knows which of its clients are away."""

    def __init__(self, kernel: Kernel, surroundings: Surroundings, outposts: Outposts) -> None:
        self._kernel = kernel
        self._surroundings = surroundings
        self._outposts = outposts
        self._away: dict[str, Away] = {}

    # Who is away.

    def away(self, turn_member: Member, session: str) -> Away | None:
        """Return where a client's cells go, or ``None`` for this notebook's own kernel."""
        return self._away.get(_place(turn_member, session))

    def entered(self, turn_member: Member, session: str, away: Away) -> Door:
        """Go the way to where a client is; where it is shut, the client is at home again.

        Raises:
            MagicError: it is shut, and the cell that learns it is not run.
        """
        try:
            return self.door(turn_member, away)
        except MagicError:
            del self._away[_place(turn_member, session)]
            raise

    def door(self, turn_member: Member, away: Away) -> Door:
        """Find the way to where a client is.

        Raises:
            MagicError: it is shut.
        """
        if away.room.end_reason is None:
            try:
                rooms = self._surroundings.rooms
                return doors.find(rooms, away.target, turn_member, self._kernel.room.account)
            except EmbedEnvError:
                why = "the key to it is not valid any more"
        else:
            why = f"it has ended: {away.room.end_reason}"
        raise MagicError(
            f"Cells of this notebook went to the room {called(away.room)}, but {why}. This cell was not run. "
            f"From now on cells run in this notebook's own room again; `%embedenv new` opens another one."
        )

    # Commands.

    async def do(self, turn: Turn, command: Command) -> None:
        """Do what the magic says, and end the cell.

        Raises:
            EmbedEnvError: it cannot be done; the text says why.
        """
        match command:
            case Show():
                await self._show(turn)
            case New():
                await self._new(turn, command)
            case Join(key=key):
                await self._join(turn, key)
            case Home():
                self._home(turn)
            case Keys():
                self._keys(turn, command)
        turn.answer.ok()

    def _here(self, turn: Turn) -> Door:
        """Return the room that the client's cells go to now, and its role there."""
        away = self.away(turn.session.member, turn.session.id)
        if away is None:
            return Door(self._kernel.room, turn.session.member.role)
        return self.entered(turn.session.member, turn.session.id, away)

    async def _show(self, turn: Turn) -> None:
        door = self._here(turn)
        room = door.room
        rows = [
            ("room", called(room)),
            ("isolated by", room.sandbox.tier_name),
            ("your role", door.role.word),
        ]
        opened = datetime.fromtimestamp(room.created_at, UTC)
        rows.append(("open since", f"{opened:%Y-%m-%d %H:%M:%S} UTC"))
        members = [f"{member.user} ({member.role.word})" for member in room.members.present]
        rows.append(("members", ", ".join(members) or "nobody is connected"))
        rows.append(("credits", await self._credits(door)))
        rows += _limit_rows(room.sandbox.spec.limits) + _usage_rows(await room.sandbox.usage())
        if room is not self._kernel.room:
            rows.append(("this notebook", f"its own room is {called(self._kernel.room)}; {HOME_HINT}"))
        turn.answer.table("Embedenv room", rows, only_here=True)

    async def _credits(self, door: Door) -> str:
        """Say what the account has left, to its owner only."""
        if door.role < Role.OWN:
            return "shown to the owner of the room"
        total = (await self._surroundings.accounts.balance(door.room.account)).total
        return UNLIMITED if total is None else str(total)

    async def _new(self, turn: Turn, wanted: New) -> None:
        member, rooms = turn.session.member, self._surroundings.rooms
        if member.role < Role.OWN:
            raise RoleError("open rooms for the account of this one", "own", member.role.word)
        limits = self._checked(wanted)
        payer = Account(self._kernel.room.account, "", Mode.LIVE)
        opened = await rooms.open(payer, space=SPACE, limits=limits, warm=True)
        room = opened.room
        try:
            if wanted.name:
                rooms.rename(room, wanted.name)
            await self._outposts.visit(turn.session, Door(room, Role.OWN))
        except BaseException:
            await room.aclose("its kernel did not start")
            raise
        turn.execution.cost = 0 if opened.remaining_credits is None else INIT_COST
        self._away[_place(member, turn.session.id)] = Away(room.id, room)
        left = UNLIMITED if opened.remaining_credits is None else str(opened.remaining_credits)
        rows = [("room", called(room)), ("join key (role edit)", opened.join_key), ("credits left", left)]
        rows.append(("cells", f"of this notebook run there from now on; {HOME_HINT}"))
        turn.answer.table("New room", rows, only_here=True)

    def _checked(self, wanted: New) -> Limits | None:
        """Return other limits than the usual ones, if they are asked for.

        Raises:
            MagicError: this gateway has no such rooms.
        """
        tier, usual = self._kernel.room.sandbox.tier_name, self._surroundings.rooms.limits
        if wanted.backend not in (None, "auto", tier):
            known = "" if wanted.backend in NAMES else f" ({', '.join(NAMES)} are the tiers that there are)"
            raise MagicError(
                f"This gateway isolates rooms by {tier!r} and opens none by {wanted.backend!r:.80}{known}. "
                f"Leave --backend out, or ask who runs the gateway; `embedenv doctor` shows what works there."
            )
        if wanted.memory_mib is None:
            return None
        if usual.memory_bytes is not None and wanted.memory_mib * MIB > usual.memory_bytes:
            raise MagicError(f"A room of this gateway has at most --memory {usual.memory_bytes // MIB}.")
        return dataclasses.replace(usual, memory_bytes=wanted.memory_mib * MIB)

    async def _join(self, turn: Turn, key: str) -> None:
        member = turn.session.member
        # A name would do for an owner, too; who is let in is decided in one place.
        door = doors.find(self._surroundings.rooms, key, member, self._kernel.room.account)
        if door.room is self._kernel.room:
            raise MagicError("This key is for the room that this notebook is in already; nothing changes.")
        await self._outposts.visit(turn.session, door)
        self._away[_place(member, turn.session.id)] = Away(door.target, door.room)
        rows = [("room", called(door.room)), ("your role", door.role.word)]
        rows.append(("cells", f"of this notebook run there from now on; {HOME_HINT}"))
        turn.answer.table("Joined", rows, only_here=True)

    def _home(self, turn: Turn) -> None:
        away = self._away.pop(_place(turn.session.member, turn.session.id), None)
        rows = [("room", called(self._kernel.room))]
        if away is None:
            rows.append(("cells", "of this notebook run here; they were not away"))
        else:
            rows.append(("cells", f"of this notebook run here again; {called(away.room)} stays open"))
        turn.answer.table("Home", rows, only_here=True)

    def _keys(self, turn: Turn, wanted: Keys) -> None:
        door = self._here(turn)
        if door.role < Role.OWN:
            raise RoleError(f"let people into the room {called(door.room)}", "own", door.role.word)
        expires_at = None if wanted.expires_s is None else time.time() + wanted.expires_s
        key = door.room.people.keys.issue(wanted.role, expires_at=expires_at)
        until = "never"
        if expires_at is not None:
            until = f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        rows = [
            ("room", called(door.room)),
            ("join key", key.key),
            ("role", key.role.word),
            ("expires", until),
        ]
        turn.answer.table("New join key", rows, only_here=True)


def _place(member: Member, session: str) -> str:
    """Return under what it is kept that somebody is away.

    An owner may go wherever another tab of the same owner went, so a page that is loaded again
    finds itself where it was. Guests share names, so each of their connections is on its own.
    """
    return f"own {member.user}" if member.role is Role.OWN else f"session {session}"


def _limit_rows(limits: Limits) -> list[tuple[str, str]]:
    memory = UNLIMITED if limits.memory_bytes is None else f"{limits.memory_bytes // MIB} MiB"
    cores = UNLIMITED if limits.cpu_cores is None else f"{limits.cpu_cores:g}"
    pids = UNLIMITED if limits.pids is None else str(limits.pids)
    disk = f"{limits.workspace_bytes // MIB} MiB"
    return [
        ("memory limit", memory),
        ("processor cores", cores),
        ("processes at most", pids),
        ("disk limit", disk),
    ]


def _usage_rows(usage: Usage) -> list[tuple[str, str]]:
    def mib(count: int | None) -> str:
        return UNKNOWN if count is None else f"{count / MIB:.1f} MiB"

    cpu = UNKNOWN if usage.cpu_s is None else f"{usage.cpu_s:.1f} s"
    pids = UNKNOWN if usage.pids is None else str(usage.pids)
    return [
        ("memory used", f"{mib(usage.memory_bytes)} (at most so far: {mib(usage.memory_peak_bytes)})"),
        ("processor time", cpu), ("processes", pids), ("disk used", mib(usage.disk_bytes)),
    ]  # fmt: skip
