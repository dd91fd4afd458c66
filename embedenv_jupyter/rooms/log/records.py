"""What a reader of the log gets: records and gaps; and the frames that are kept with records."""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import msgspec

from embedenv_jupyter.rooms.events import EngineFrame, Event, KernelMessage, Output

RECORD_WEIGHT: Final = 384
"""What a record of a short line takes in memory beside the text itself (held to by a test)."""

PART_WEIGHT: Final = 40
"""What each part of a kernel's message takes beside its bytes."""

_FRAMES_WEIGHT: Final = 256
_FRAME_WEIGHT: Final = 48

Render = Callable[["Record"], Sequence[bytes]]

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


class Record(msgspec.Struct, eq=False, weakref=True):
    """An event and its numbers, ``first`` to ``last``. Readers share it and must not change it.

    ``skip`` is how many of the numbers the reader has already: not 0 only for
    the record in whose middle a reader resumed. ``before_bytes`` is the output
    (UTF-8) in all records before this one, ``size_bytes`` the output in this one,
    ``weight_bytes`` what it takes in memory.
    """

    first: int
    last: int
    event: Event
    before_bytes: int
    size_bytes: int
    weight_bytes: int
    shelf: Shelf | None = None
    skip: int = 0
    frames: dict[Hashable, Sequence[bytes]] | None = None

    @property
    def count(self) -> int:
        """How many numbers the record takes, those to be skipped included."""
        return self.last - self.first + 1

    @property
    def end_bytes(self) -> int:
        """The output in all records up to and with this one."""
        return self.before_bytes + self.size_bytes

    def after(self, position: int) -> Record:
        """Return this record for a reader that has all numbers up to ``position``."""
        if position < self.first:
            return self
        return Record(
            self.first, self.last, self.event, self.before_bytes, self.size_bytes, self.weight_bytes,
            skip=position - self.first + 1,
        )  # fmt: skip

    def rendered(self, key: Hashable, render: Render) -> Sequence[bytes]:
        """Return ``render(self)``, made once for all readers that use the same ``key``.

        The key must say everything that the frames depend on beside the record.
        Frames of a record that is to be skipped in part are not kept.
        """
        if self.frames is not None and (frames := self.frames.get(key)) is not None:
            return frames
        frames = render(self)
        if self.shelf is not None:
            self.shelf.keep(self, key, frames)
        return frames


class Gap(msgspec.Struct, frozen=True):
    """Numbers ``first`` to ``last``, which the log no longer has.

    ``bytes`` is the program output (UTF-8) in the records that are lost with
    them; a record that the reader has in part counts whole.
    """

    first: int
    last: int
    bytes: int

    @property
    def events(self) -> int:
        """How many numbers are missing."""
        return self.last - self.first + 1


class Shelf:
    """Bounds what the frames kept with records take in memory: the oldest go first.

    It refers to records weakly: frames go with their record when the log lets it go.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.weight_bytes = 0
        self._limit_bytes = limit_bytes
        self._kept: deque[tuple[weakref.ref[Record], Hashable, int]] = deque()

    def keep(self, record: Record, key: Hashable, frames: Sequence[bytes]) -> None:
        """Keep frames with their record, for as long as there is room."""
        weight = _FRAMES_WEIGHT + sum(len(frame) + _FRAME_WEIGHT for frame in frames)
        if record.frames is None:
            record.frames = {}
        record.frames[key] = frames
        self._kept.append((weakref.ref(record), key, weight))
        self.weight_bytes += weight
        while self.weight_bytes > self._limit_bytes:
            reference, key, weight = self._kept.popleft()
            self.weight_bytes -= weight
            old = reference()
            if old is not None and old.frames is not None:
                old.frames.pop(key, None)


def measure(event: Event) -> tuple[Event, int, int]:
    """Return an event as it can be stored, the output in it (UTF-8 bytes), and its weight in memory.

    Half surrogate pairs (from file names that are not UTF-8) become U+FFFD.

    Raises:
        TypeError: a field has a type that could not be read back from disk.
    """
    if type(event) is Output and event.text.isascii() and event.run.isascii():
        text = event.text
        return event, len(text), RECORD_WEIGHT + len(text)
    if type(event) is KernelMessage:
        size = sum(map(len, event.parts))
        return event, size, RECORD_WEIGHT + size + PART_WEIGHT * len(event.parts)
    if type(event) is EngineFrame:
        return event, len(event.frame), RECORD_WEIGHT + len(event.frame)
    event = _storable(event)
    if isinstance(event, Output):
        return event, len(event.text.encode()), RECORD_WEIGHT + sys.getsizeof(event.text)
    return event, 0, RECORD_WEIGHT + 2 * len(_encoder.encode(event))


def _storable(event: Event) -> Event:
    try:
        _decoder.decode(_encoder.encode(event))
    except UnicodeEncodeError:
        return _storable(
            msgspec.structs.replace(
                event, **{name: _clean(value) for name, value in msgspec.structs.asdict(event).items()}
            )
        )
    except msgspec.ValidationError as exc:
        raise TypeError(f"{type(event).__name__} cannot be logged: {exc}") from exc
    return event


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, tuple):
        return tuple(_clean(item) for item in value)
    return value
