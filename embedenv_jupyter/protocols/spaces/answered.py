"""What one member's commands were answered, so that a command sent again is not carried out again.

A client that lost its connection cannot know whether a command without an
answer was carried out, and sends it again on the next one. This memory belongs
to the member and outlives the connections; each session of the member gets it.

An id is *running* from the command to its answer, then *answered*:

* answered: the same frames are sent again;
* running, for a connection that is gone or another of this member: the one that
  sends it again follows, and gets the answer when there is one;
* the connection was lost and nobody carries the command out any more: the
  answer is an error that says so. Whether the command had an effect is not known,
  and running it a second time would be worse than saying so.

Commands that change nothing (read, list, curl with GET and the like) are not
remembered: their answers may be large, and running them again is right.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from embedenv_jupyter.protocols.faults import FrameError
from embedenv_jupyter.protocols.spaces.codec import encode
from embedenv_jupyter.protocols.spaces.frames import Error

MAX_REMEMBERED_IDS = 256
MAX_REMEMBERED_BYTES = 8 << 10
"""Of a longer answer only the fact is kept."""

_LOST = "The connection was lost before this command was answered; it may have been carried out, or in part."

Deliver = Callable[[list[bytes]], None]


@dataclass(slots=True)
class _Answer:
    frames: list[bytes] = field(default_factory=list)
    size: int = 0
    is_complete: bool = False
    is_abandoned: bool = False
    followers: list[Deliver] = field(default_factory=list)

    def reset(self) -> None:
        self.frames, self.size = [], 0
        self.is_complete = self.is_abandoned = False

    def append(self, frame: bytes) -> None:
        self.size += len(frame)
        if self.size <= MAX_REMEMBERED_BYTES:
            self.frames.append(frame)
        else:
            self.frames.clear()

    def whole(self, id: str) -> list[bytes]:
        if self.size <= MAX_REMEMBERED_BYTES:
            return list(self.frames)
        text = f"This command was carried out before; its answer of {self.size} bytes is not kept."
        return [encode(Error(text, id))]


class AnsweredIds:
    """The last commands of one member, by id."""

    def __init__(self, capacity: int = MAX_REMEMBERED_IDS) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[str, _Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def is_new(self, id: str) -> bool:
        """Whether no command with this id is known."""
        return id not in self._answers

    def begin(self, id: str) -> None:
        """A new command is about to be carried out.

        Raises:
            FrameError: as many as are remembered have no answer yet.
        """
        if len(self._answers) >= self._capacity:
            self._forget_one()
        self._answers[id] = _Answer()

    def _forget_one(self) -> None:
        for id, answer in self._answers.items():
            if answer.is_complete:
                del self._answers[id]
                return
        raise FrameError(
            f"{self._capacity} commands of this member wait for their answers; wait for one of them"
        )

    def repeat(self, id: str, deliver: Deliver) -> None:
        """Give a known command's answer to ``deliver``, now or, once, when it is there."""
        answer = self._answers[id]
        if answer.is_complete:
            deliver(answer.whole(id))
        elif deliver not in answer.followers:
            answer.followers.append(deliver)

    def add(self, id: str, frame: bytes, *, is_last: bool) -> None:
        """A command was answered with a frame; with the last one the answer is complete."""
        answer = self._answers.get(id)
        if answer is None:
            return
        if answer.is_abandoned:
            # The connection was given up before the command was; what came of it is the better answer.
            answer.reset()
        answer.append(frame)
        if is_last:
            answer.is_complete = True
            followers, answer.followers = answer.followers, []
            for deliver in followers:
                deliver(answer.whole(id))

    def abandon(self, id: str) -> None:
        """Nobody carries this command out any more; without effect once it is answered."""
        answer = self._answers.get(id)
        if answer is None or answer.is_complete:
            return
        answer.reset()
        self.add(id, encode(Error(_LOST, id)), is_last=True)
        answer.is_abandoned = True

    def unfollow(self, deliver: Deliver) -> None:
        """The connection behind ``deliver`` is gone; idempotent."""
        for answer in self._answers.values():
            if deliver in answer.followers:
                answer.followers.remove(deliver)
