"""What a session remembers, so that nothing happens twice when a client sends it again after a cut.

A client that was cut off cannot know what of its last frames arrived. It sends again
what was not answered; here is found what was done already, and how that was answered.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import UNSET

from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.codec import encode

MAX_ENDED: Final = 256
"""How many ended runs a session remembers."""

MAX_INPUTS: Final = 1024
"""How many inputs a run remembers."""

End = frames.Result | frames.Error


@dataclass(frozen=True)
class Asked:
    """A request as it came: by whom, and what it says."""

    by: object
    """The connection. Who still has it has seen the end, and uses the id anew."""
    fingerprint: bytes

    @classmethod
    def of(cls, by: object, frame: frames.Execute) -> Asked:
        """Note a request; the key that pays for it makes no difference."""
        told = encode(msgspec.structs.replace(frame, api_key=UNSET))
        return cls(by, hashlib.sha256(told).digest())


class EndedRuns:
    """The last runs of a session that have ended, with the frame that said so."""

    def __init__(self) -> None:
        self._ends: OrderedDict[str, tuple[Asked, End]] = OrderedDict()

    def remember(self, id: str, asked: Asked, end: End) -> None:
        """Note how a run ended; the oldest one is forgotten beyond the bound."""
        self._ends.pop(id, None)
        self._ends[id] = asked, end
        if len(self._ends) > MAX_ENDED:
            self._ends.popitem(last=False)

    def find(self, id: str, asked: Asked) -> End | None:
        """Return how a run ended whose request comes again: the same one, by another connection."""
        if id not in self._ends:
            return None
        before, end = self._ends[id]
        is_again = before.fingerprint == asked.fingerprint and before.by is not asked.by
        return end if is_again else None


class TakenInputs:
    """The last numbered inputs of a run, with what was answered."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, int], frames.Ack | frames.Error] = OrderedDict()

    def answer(self, client: str, number: int) -> frames.Ack | frames.Error | None:
        """Return what was answered to an input that came before."""
        return self._answers.get((client, number))

    def remember(self, client: str, number: int, answer: frames.Ack | frames.Error) -> None:
        """Note an input and its answer; the oldest one is forgotten beyond the bound."""
        self._answers[client, number] = answer
        if len(self._answers) > MAX_INPUTS:
            self._answers.popitem(last=False)
