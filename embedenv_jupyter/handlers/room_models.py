"""What rooms look like in our own REST routes and sockets (docs/protocols/rooms.md)."""

from __future__ import annotations

from typing import Any, Final

from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.rooms.events import RunStarted
from embedenv_jupyter.rooms.members import Member
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.rooms.room_events import limits_fields
from embedenv_jupyter.terminals.terminal import Terminal

COMMAND_CHARS: Final = 1000
"""How much of what runs a model shows."""


def room_model(gateway: Gateway, room: Room, role: str) -> dict[str, Any]:
    """Describe a room to somebody who is in it with this role."""
    return {
        "id": room.id,
        "name": room.name or room.id,
        "space": room.space,
        "tier": room.sandbox.tier_name,
        "created_at": room.created_at,
        "role": role,
        "members": [member_model(member) for member in room.members.present],
        "runs": room.running,
        "running": [_run_model(started) for started in room.started],
        "kernels": [
            {"id": kernel.id, "name": kernel.name, "execution_state": kernel.state}
            for kernel in gateway.kernels.in_room(room)
        ],
        "terminals": sorted(
            map(_terminal_model, gateway.terminals.in_room(room)),
            key=lambda model: (len(model["name"]), model["name"]),
        ),
        "ports": room.ports,
        "is_paused": room.is_paused,
        "limits": limits_fields(room.sandbox.spec.limits),
        "idle_stop_at": gateway.rooms.idle.stop_at(room),
    }


def member_model(member: Member) -> dict[str, Any]:
    """Describe a member; ``where`` is there while they say what they look at."""
    shown: dict[str, Any] = {
        "id": member.id,
        "user": member.user,
        "color": member.colour,
        "role": member.role.word,
    }
    if member.where is not None:
        shown["where"] = {"kind": member.where.kind, "path": member.where.path}
    return shown


def _terminal_model(terminal: Terminal) -> dict[str, Any]:
    """Describe a terminal; ``typist`` is there once somebody has typed."""
    shown: dict[str, Any] = {"name": terminal.term_name}
    if (typist := terminal.typist) is not None:
        shown["typist"] = {"id": typist.id, "user": typist.user, "color": typist.colour}
    return shown


def _run_model(started: RunStarted) -> dict[str, Any]:
    return {
        "run": started.run,
        "user": started.user,
        "member": started.member,
        "command": started.command[:COMMAND_CHARS],
        "kind": started.kind,
        "kernel": started.kernel,
        "started_at": started.at,
    }
