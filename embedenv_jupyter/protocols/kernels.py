"""The kernel protocol: one client of a room's Jupyter kernel, over one WebSocket.

Two subprotocols share one frame. ``v1.kernel.websocket.jupyter.org`` is Jupyter's
own (docs/protocols/kernels.md has the source): each binary message is one Jupyter
message on one channel. ``v1.resumable.kernel.embedenv`` puts an unsigned 64-bit
little-endian number before each of these frames, so that both sides can say what
they have, and adds text messages for that:

    server: {"type": "hello", "n": last, "received": k}     first, after each connect
    server: {"type": "ack", "received": k}                  it has the client's messages up to k
    server: {"type": "gap", "first": a, "last": b}          these numbers are lost

A client numbers what it sends from 1, keeps it until it is acknowledged, and after
a cut sends the rest again; the server drops what it has. The other way round the
client says ``resume=n`` in the URL when it comes back. One that closes with the code
1000 will not come back, and need not be remembered.

Frames and sessions only: no input, no output, no clock.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final

import msgspec

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError

V1: Final = "v1.kernel.websocket.jupyter.org"
RESUMABLE: Final = "v1.resumable.kernel.embedenv"

MAX_MESSAGE_BYTES: Final = 64 << 20
"""One Jupyter message with its buffers: an image, the state of a large widget."""

MAX_BUFFERS: Final = 4096
MAX_UNACKNOWLEDGED_BYTES: Final = 64 << 20
"""What a client keeps of its own messages until the server has them."""

ACK_BYTES: Final = 1 << 20
"""So much of a client's messages is acknowledged at once, whether or not something goes with that."""

CLIENT_CHANNELS: Final = frozenset(("shell", "control", "stdin"))
CHANNELS: Final = CLIENT_CHANNELS | {"iopub"}

_PARTS: Final = 4  # header, parent header, metadata, content
_NUMBER: Final = struct.Struct("<Q")
_CHANNEL_BYTES: Final = 20
"""How much of a channel's name is looked at: no channel has a longer one."""

Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


@dataclass(frozen=True)
class Message:
    """One Jupyter message as it travels: ``parts`` are header, parent, metadata, content, then buffers.

    The parts are bytes that nobody has to understand in order to pass them on.
    """

    channel: str
    parts: tuple[bytes, ...]

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.parts))


def encode(message: Message) -> bytes:
    """Encode a message as a frame of Jupyter's subprotocol: a table of offsets, the channel, the parts."""
    channel = message.channel.encode()
    count = len(message.parts) + 2
    offsets = [_NUMBER.size * (count + 1)]
    offsets.append(offsets[0] + len(channel))
    for part in message.parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join((struct.pack(f"<{count + 1}Q", count, *offsets), channel, *message.parts))


def decode(data: bytes, allowed: frozenset[str] = CHANNELS) -> Message:
    """Read a frame of Jupyter's subprotocol.

    Raises:
        RemoteProtocolError: naming what is wrong with it.
    """
    if len(data) < 2 * _NUMBER.size:
        raise RemoteProtocolError(f"a kernel frame of {len(data)} bytes has no table of offsets")
    (count,) = _NUMBER.unpack_from(data)
    if not _PARTS + 2 <= count <= _PARTS + 2 + MAX_BUFFERS:
        raise RemoteProtocolError(
            f"a kernel frame has {_PARTS + 2} to {_PARTS + 2 + MAX_BUFFERS} offsets, not {count}"
        )
    end = _NUMBER.size * (count + 1)
    if len(data) < end:
        raise RemoteProtocolError("a kernel frame ends within its table of offsets")
    offsets = struct.unpack_from(f"<{count}Q", data, _NUMBER.size)
    if offsets[0] != end or offsets[-1] != len(data) or any(a > b for a, b in pairwise(offsets)):
        raise RemoteProtocolError("the offsets of a kernel frame do not cover it in order")
    channel = data[offsets[0] : min(offsets[1], offsets[0] + _CHANNEL_BYTES)].decode("ascii", "replace")
    if channel not in allowed:
        raise RemoteProtocolError(f"the channel is one of {', '.join(sorted(allowed))}, not {channel!r}")
    parts = tuple(data[start:stop] for start, stop in pairwise(offsets[1:]))
    return Message(channel, parts)


def encode_numbered(number: int, message: Message) -> bytes:
    """Encode a message of the resumable subprotocol."""
    return _NUMBER.pack(number) + encode(message)


def decode_numbered(data: bytes, allowed: frozenset[str] = CHANNELS) -> tuple[int, Message]:
    """Read a binary message of the resumable subprotocol.

    Raises:
        RemoteProtocolError: naming what is wrong with it.
    """
    if len(data) < _NUMBER.size:
        raise RemoteProtocolError("a numbered kernel frame begins with a number of 8 bytes")
    return _NUMBER.unpack_from(data)[0], decode(data[_NUMBER.size :], allowed)


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="type"):
    """Server to client: the newest number is ``n``, and of yours I have those up to ``received``."""

    n: Number
    received: Number


class Ack(msgspec.Struct, frozen=True, tag="ack", tag_field="type"):
    """Server to client: I have your messages up to ``received``."""

    received: Number


class Gap(msgspec.Struct, frozen=True, tag="gap", tag_field="type"):
    """Server to client: the numbers ``first`` to ``last`` are lost."""

    first: Number
    last: Number


Notice = Hello | Ack | Gap

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Notice] = msgspec.json.Decoder(Notice)


def encode_notice(notice: Notice) -> str:
    return _encoder.encode(notice).decode()


def decode_notice(text: str | bytes) -> Notice:
    """Read a text message of the resumable subprotocol.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise RemoteProtocolError(f"not a notice of a kernel: {exc}") from exc


# Sessions: what each side knows of one client, whatever sockets came and went.


class ServerReceiver:
    """What a server has received of one client's messages: each number once, in order."""

    def __init__(self) -> None:
        self.received = 0
        self._done = 0
        self._owed_bytes = 0

    def receive(self, number: int) -> bool:
        """Take note of a message; false for one that came before the cut as well.

        Raises:
            RemoteProtocolError: a number was left out.
        """
        if number <= self.received:
            return False
        if number != self.received + 1:
            raise RemoteProtocolError(
                f"the message after {self.received} has the number {self.received + 1}, not {number}",
                CloseCode.POLICY_VIOLATION,
            )
        self.received = number
        return True

    def done(self, number: int, size_bytes: int, *, is_answered: bool) -> bool:
        """Take note that a message was handed on; true when it is to be acknowledged now.

        The acknowledgement of one that is answered goes with the answer: alone, it would wake a client that
        has nothing to do yet. But no client shall keep much for that.
        """
        self._done = max(self._done, number)
        self._owed_bytes += size_bytes
        return not is_answered or self._owed_bytes >= ACK_BYTES

    def acknowledgement(self) -> Ack | None:
        """Return what the client has not been told yet, once."""
        if not self._owed_bytes:
            return None
        self._owed_bytes = 0
        return Ack(self._done)


class ClientSession:
    """A client's side: what it has, and what the server may not have yet."""

    def __init__(self) -> None:
        self.last = 0
        """The newest number that came from the server; what to say in ``resume``."""
        self._next = 1
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0

    @property
    def is_full(self) -> bool:
        """True while so much is unacknowledged that the caller must wait before it sends more."""
        return self._kept_bytes >= MAX_UNACKNOWLEDGED_BYTES

    def send(self, message: Message) -> bytes:
        """Number a message, keep it until it is acknowledged, and return its frame."""
        frame = encode_numbered(self._next, message)
        self._kept.append((self._next, frame))
        self._kept_bytes += len(frame)
        self._next += 1
        return frame

    def acknowledged(self, received: int) -> None:
        """Forget what the server has."""
        while self._kept and self._kept[0][0] <= received:
            self._kept_bytes -= len(self._kept.popleft()[1])

    def reconnected(self, hello: Hello) -> Iterator[bytes]:
        """Yield what must be sent again, in order, after the server has said hello.

        Raises:
            RemoteProtocolError: this server does not know what it had acknowledged.
        """
        self.acknowledged(hello.received)
        oldest = self._kept[0][0] if self._kept else self._next
        if hello.received + 1 < oldest:
            raise RemoteProtocolError("the server has forgotten this session")
        yield from (frame for _, frame in list(self._kept))

    def receive(self, data: bytes) -> Message | None:
        """Read a numbered message; ``None`` for one that we have.

        Raises:
            RemoteProtocolError: it is none.
        """
        number, message = decode_numbered(data)
        if number <= self.last:
            return None
        self.last = number
        return message

    def missed(self, gap: Gap) -> int:
        """Take note of lost numbers; return how many were lost to us."""
        count = max(0, gap.last - max(self.last, gap.first - 1))
        self.last = max(self.last, gap.last)
        return count
