"""From records of a kernel's log to WebSocket messages, made once for all clients where all get the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from embedenv_jupyter.kernels import messages
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.protocols.websocket import binary_frame, text_frame
from embedenv_jupyter.rooms.events import KernelMessage
from embedenv_jupyter.rooms.log import Gap, Record

PIECE_BYTES = 256 << 10


class Piece(NamedTuple):
    """Framed messages, and the number up to which they say everything."""

    last: int
    data: bytes


class Renderer:
    """Renders for one client: what is for everybody, and what answers this one."""

    def __init__(self, session: str, *, is_resumable: bool) -> None:
        self._session = session
        self._is_resumable = is_resumable
        self._kind = ("kernel", is_resumable)

    def render(self, records: Sequence[Record | Gap]) -> Iterator[Piece]:
        """Yield framed messages in order, some ``PIECE_BYTES`` at a time."""
        frames: list[bytes] = []
        size = 0
        for record in records:
            frame = self._gap(record) if isinstance(record, Gap) else self._record(record)
            if frame:
                frames.append(frame)
                size += len(frame)
            if size >= PIECE_BYTES:
                yield Piece(record.last, b"".join(frames))
                frames, size = [], 0
        if frames:
            yield Piece(records[-1].last, b"".join(frames))

    def _record(self, record: Record) -> bytes:
        event = record.event
        if not isinstance(event, KernelMessage) or event.to not in ("", self._session):
            return b""
        if event.to:
            return self._frame(record)[0]
        return record.rendered(self._kind, self._frame)[0]

    def _frame(self, record: Record) -> tuple[bytes]:
        event = record.event
        assert isinstance(event, KernelMessage), "a kernel's log has nothing else"
        message = protocol.Message(event.channel, event.parts)
        if self._is_resumable:
            return (binary_frame(protocol.encode_numbered(record.last, message)),)
        return (binary_frame(protocol.encode(message)),)

    def _gap(self, gap: Gap) -> bytes:
        """Say that something is lost; Jupyter's own clients are told in words."""
        if self._is_resumable:
            return text_frame(protocol.encode_notice(protocol.Gap(gap.first, gap.last)).encode())
        text = (
            f"[{gap.events} messages ({gap.bytes} bytes) are no longer kept by the room and were left out]\n"
        )
        lost = messages.make("iopub", "stream", {"name": "stderr", "text": text})
        return binary_frame(protocol.encode(lost))
