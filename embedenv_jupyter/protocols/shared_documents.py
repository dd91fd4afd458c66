"""What browsers and the gateway say to each other while people write in one text file together.

Binary frames, as y-protocols has them (https://github.com/yjs/y-protocols, PROTOCOL.md) and as
``y-websocket`` and ``pycrdt`` speak them: numbers are variable-length, seven bits to a byte, the least first;
texts and updates have their length in front. What an update does is not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError

MAX_MESSAGE_BYTES: Final = 16 << 20
MAX_CLIENTS: Final = 100
"""In one awareness frame."""
MAX_STATE_BYTES: Final = 16 << 10
"""What one client may tell the others about itself."""
MAX_VECTOR: Final = 100_000

NO_UPDATE: Final = b"\0\0"
"""The update that changes nothing."""

_SYNC, _AWARENESS, _AUTH, _QUERY = 0, 1, 2, 3
_STEP1, _STEP2, _UPDATE = 0, 1, 2
_MAX_NUMBER_BYTES = 8
_NOBODY = b"null"


class SyncStep1(msgspec.Struct, frozen=True):
    """Both ways: what the sender has, as a state vector; the answer is the rest."""

    vector: bytes


class SyncStep2(msgspec.Struct, frozen=True):
    """Both ways: what the other one lacked."""

    update: bytes


class Update(msgspec.Struct, frozen=True):
    """Both ways: a change."""

    update: bytes


class ClientState(msgspec.Struct, frozen=True):
    """What one client shows of itself: JSON, such as a name and where its caret is; ``null``: it is gone."""

    client: int
    clock: int
    state: bytes

    @property
    def is_gone(self) -> bool:
        return self.state == _NOBODY


class Awareness(msgspec.Struct, frozen=True):
    """Both ways: what clients show of themselves."""

    states: tuple[ClientState, ...]


class QueryAwareness(msgspec.Struct, frozen=True):
    """Client to server: show me all that clients show of themselves."""


class Ignored(msgspec.Struct, frozen=True):
    """Client to server: something about permissions, which are not the client's to give."""


Frame = SyncStep1 | SyncStep2 | Update | Awareness | QueryAwareness | Ignored


def decode(data: bytes) -> Frame:
    """Read one frame.

    Raises:
        RemoteProtocolError: it is none.
    """
    reader = _Reader(data)
    kind = reader.number()
    frame: Frame
    if kind == _SYNC:
        step, payload = reader.number(), reader.bytes()
        kinds: Mapping[int, type[SyncStep1 | SyncStep2 | Update]] = {
            _STEP1: SyncStep1, _STEP2: SyncStep2, _UPDATE: Update
        }  # fmt: skip
        if step not in kinds:
            raise RemoteProtocolError(f"a sync frame of the kind {step}; there are 0, 1 and 2")
        frame = kinds[step](payload)
    elif kind == _AWARENESS:
        frame = Awareness(tuple(_states(_Reader(reader.bytes()))))
    elif kind == _QUERY:
        frame = QueryAwareness()
    elif kind == _AUTH:
        return Ignored()
    else:
        raise RemoteProtocolError(f"a frame of the kind {kind}; there are 0 to 3")
    reader.require_end()
    return frame


def encode(frame: Frame) -> bytes:
    """Write one frame."""
    match frame:
        case SyncStep1(vector=payload):
            return bytes((_SYNC, _STEP1)) + _sized(payload)
        case SyncStep2(update=payload):
            return bytes((_SYNC, _STEP2)) + _sized(payload)
        case Update(update=payload):
            return bytes((_SYNC, _UPDATE)) + _sized(payload)
        case Awareness(states=states):
            shown = [_number(state.client) + _number(state.clock) + _sized(state.state) for state in states]
            return bytes((_AWARENESS,)) + _sized(_number(len(states)) + b"".join(shown))
        case QueryAwareness():
            return bytes((_QUERY,))
        case Ignored():
            return bytes((_AUTH,))


def decode_vector(vector: bytes) -> dict[int, int]:
    """Read a state vector: how many changes of each client somebody has.

    Raises:
        RemoteProtocolError: it is none.
    """
    reader = _Reader(vector)
    count = reader.number()
    if count > MAX_VECTOR:
        raise RemoteProtocolError(f"a state vector of {count} clients; {MAX_VECTOR} are allowed")
    clocks = {reader.number(): reader.number() for _ in range(count)}
    reader.require_end()
    return clocks


def gone(states: Sequence[ClientState]) -> Awareness:
    """Return the frame that tells that these clients are gone."""
    return Awareness(tuple(ClientState(state.client, state.clock + 1, _NOBODY) for state in states))


def _states(reader: _Reader) -> Iterator[ClientState]:
    count = reader.number()
    if count > MAX_CLIENTS:
        raise RemoteProtocolError(f"an awareness frame of {count} clients; {MAX_CLIENTS} are allowed")
    for _ in range(count):
        client, clock, state = reader.number(), reader.number(), reader.bytes()
        if len(state) > MAX_STATE_BYTES:
            raise RemoteProtocolError(
                f"a client shows {len(state)} bytes of itself; {MAX_STATE_BYTES} are allowed",
                CloseCode.TOO_BIG,
            )
        try:
            msgspec.json.decode(state, type=dict[str, msgspec.Raw] | None)
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise RemoteProtocolError(f"what a client shows of itself is a JSON object: {exc}") from exc
        yield ClientState(client, clock, state)
    reader.require_end()


class _Reader:
    """Reads a frame from its first byte to its last."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        value = 0
        for place in range(_MAX_NUMBER_BYTES):
            if self._at >= len(self._data):
                raise RemoteProtocolError("the frame ends too early")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise RemoteProtocolError("a number in the frame has more than 53 bits")

    def bytes(self) -> bytes:
        end = self.number() + self._at
        if end > len(self._data):
            raise RemoteProtocolError("the frame ends too early")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def require_end(self) -> None:
        if self._at != len(self._data):
            raise RemoteProtocolError(f"the frame has {len(self._data) - self._at} bytes too many")


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _sized(payload: bytes) -> bytes:
    return _number(len(payload)) + payload
