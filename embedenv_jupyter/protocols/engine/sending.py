"""A client's inputs on their way: sent in order, again after a cut, each with one report at last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.codec import encode
from embedenv_jupyter.protocols.engine.reports import TooLate, Unsure

MAX_AWAITING: Final = 256
"""How many inputs are on their way at once; a gateway remembers 1024 of a run."""


@dataclass
class _Input:
    number: int
    run: str
    data: bytes
    was_sent: bool = False


class Inputs:
    """The inputs that have no receipt; the number of each is what the gateway knows it by."""

    def __init__(self) -> None:
        self._waiting: list[_Input] = []
        self._awaiting: dict[int, _Input] = {}
        """Those that were sent on this connection, in order."""

    def add(self, number: int, frame: frames.Input) -> None:
        """Take an input, behind those before it."""
        data = encode(structs.replace(frame, input=number))
        self._waiting.append(_Input(number, frame.id, data))

    def frames_to_send(self, takes: Callable[[str], bool]) -> list[bytes]:
        """Return what may be sent now: inputs of runs that take some, as far as the bound allows."""
        free = MAX_AWAITING - len(self._awaiting)
        ready = [waiting for waiting in self._waiting if takes(waiting.run)][: max(0, free)]
        for sent in ready:
            sent.was_sent = True
            self._awaiting[sent.number] = sent
        if ready:
            self._waiting = [waiting for waiting in self._waiting if waiting.number not in self._awaiting]
        return [sent.data for sent in ready]

    def acknowledged(self, number: int) -> bool:
        """An input was taken, or refused; tells whether it was one that waits for that."""
        return self._awaiting.pop(number, None) is not None

    def lost(self, goes_on: Callable[[str], bool]) -> list[Unsure]:
        """The connection is gone: what is for a run that goes on is sent again, before what came later."""
        again = [sent for sent in self._awaiting.values() if goes_on(sent.run)]
        unsure = [Unsure(sent.number) for sent in self._awaiting.values() if not goes_on(sent.run)]
        self._waiting = again + self._waiting
        self._awaiting.clear()
        return unsure

    def over(self, run: str) -> list[TooLate | Unsure]:
        """A run has ended: report what waits for it. What is on its way will be answered."""
        late = [waiting for waiting in self._waiting if waiting.run == run]
        if late:
            self._waiting = [waiting for waiting in self._waiting if waiting.run != run]
        return [Unsure(one.number) if one.was_sent else TooLate(one.number) for one in late]
