"""From records of the log to the bytes of the Spaces protocol, once for all watchers alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.protocols.websocket import text_frame
from embedenv_jupyter.rooms import events
from embedenv_jupyter.rooms.log import Gap, Record

PIECE_BYTES = 128 << 10


class Renderer:
    """Renders for one kind of peer; peers of the same kind share what was rendered."""

    def __init__(self, *, asking: bool, line_end_frames: bool) -> None:
        self._asking = asking
        self._newlines = line_end_frames
        self._kind = ("spaces", asking, line_end_frames)

    def render(self, records: Sequence[Record | Gap]) -> Iterator[bytes]:
        """Yield the framed messages of these records, in order, some ``PIECE_BYTES`` at a time.

        Frames are many times larger than the short lines in them, and a peer that
        reads slowly must not hold all of them in memory.
        """
        piece = bytearray()
        for record in records:
            if isinstance(record, Gap):
                piece += self._gap(record)
            else:
                piece += record.rendered(self._kind, self._record)[0]
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)

    def _gap(self, gap: Gap) -> bytes:
        return _framed(
            spaces.render_gap(
                gap.first, gap.last, events=gap.events, size_bytes=gap.bytes, asking=self._asking
            )
        )

    def _record(self, record: Record) -> Sequence[bytes]:
        return (_framed(self._frames(record)),)

    def _frames(self, record: Record) -> list[bytes]:
        event = record.event
        match event:
            case events.Output():
                return spaces.render_output(
                    record.first, event.text, run=event.run, prompt=event.prompt, asking=self._asking,
                    newlines=self._newlines, skip=record.skip,
                )  # fmt: skip
            case events.RunEnded(kind="shell"):
                return spaces.render_run_end(
                    record.first, run=event.run, code=event.code, signal=event.signal, asking=self._asking,
                    skip=record.skip,
                )  # fmt: skip
            case _:
                name, details = described(event)
                return spaces.render_event(record.first, name, details, asking=self._asking)


def _described_run(
    event: events.RunStarted | events.RunEnded | events.Prompt | events.PromptAnswered,
) -> tuple[str, dict[str, Any]]:
    match event:
        case events.RunStarted(run=run, command=command, user=user, kind="shell"):
            return "run", {"run": run, "command": command, "user": user}
        case events.RunStarted():
            return "run", {
                "run": event.run, "command": event.command, "user": event.user, "kind": event.kind,
                "kernel": event.kernel,
            }  # fmt: skip
        case events.RunEnded():
            return "receipt", {
                "run": event.run, "kind": event.kind, "user": event.user, "code": event.code,
                "duration_s": event.duration_s, "cost": event.cost, "reason": event.reason,
            }  # fmt: skip
        case events.Prompt(run=run, text=text, id=""):
            return "prompt", {"run": run, "text": text}
        case events.Prompt(run=run, text=text, id=id, password=password):
            return "prompt", {"run": run, "text": text, "id": id, "password": password}
        case events.PromptAnswered(id=id, run=run, by=by):
            return "prompt-answered", {"id": id, "run": run, "user": by}


def described(event: events.Event) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields under which clients that ask see an event."""
    match event:
        case events.RunStarted() | events.RunEnded() | events.Prompt() | events.PromptAnswered():
            return _described_run(event)
        case events.MemberJoined(member=member, user=user, colour=colour, role=role):
            return "member-joined", {"member": member, "user": user, "color": colour, "role": role}
        case events.MemberLeft(member=member, user=user):
            return "member-left", {"member": member, "user": user}
        case events.RoleChanged(member=member, user=user, role=role):
            return "role", {"member": member, "user": user, "role": role}
        case events.StopStep(run=run, step=step):
            return "stop", {"run": run, "step": step}
        case events.IdleCountdown(seconds=seconds):
            return "idle", {"seconds": seconds}
        case events.LimitBreached(breach=breach, detail=detail):
            return breach, {"detail": detail}
        case events.FilesChanged(paths=paths, by=by):
            return "files", {"paths": list(paths), "user": by}
        case events.PortOpened(port=port):
            return "port", {"port": port}
        case events.RoomError(text=text):
            return "error", {"text": text}
        case events.PostMortem():
            return "post-mortem", {
                "reason": event.reason, "cause": event.cause, "breaches": list(event.breaches),
                "peak_memory_bytes": event.peak_memory_bytes, "cpu_s": event.cpu_s,
                "duration_s": event.duration_s,
            }  # fmt: skip
        case _:
            raise TypeError(f"no Spaces form for {type(event).__name__}")


def _framed(frames: Sequence[bytes]) -> bytes:
    return b"".join(map(text_frame, frames))
