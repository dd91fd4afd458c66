"""Who waits for which answer: from the id of a request to the client that sent it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.kernels.messages import Header

MAX_TOLD: Final = 1024
"""Messages that have no reply (those of widgets) can still ask for input; the newest are remembered."""

_SUFFIX: Final = "_request"


@dataclass(frozen=True, slots=True)
class Asked:
    """One message of a client: where it came from, and its header for answers of our own."""

    id: str
    type: str
    channel: str
    identities: tuple[bytes, ...]
    header: bytes

    @property
    def is_cell(self) -> bool:
        return self.type == "execute_request"

    @property
    def reply_type(self) -> str:
        return f"{self.type.removesuffix(_SUFFIX)}_reply"


class Pending:
    """What was asked and not answered yet, oldest first."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        self._told: dict[str, Asked] = {}

    def add(self, header: Header, channel: str, identities: list[bytes], raw_header: bytes) -> Asked:
        """Note a message that a client sends."""
        asked = Asked(header.msg_id, header.msg_type, channel, tuple(identities), raw_header)
        if header.msg_type.endswith(_SUFFIX):
            self._asked[asked.id] = asked
        elif channel != "stdin":
            self._told[asked.id] = asked
            if len(self._told) > MAX_TOLD:
                del self._told[next(iter(self._told))]
        return asked

    def find(self, id: str) -> Asked | None:
        """Return what has this id, answered or not as far as that is known."""
        return self._asked.get(id) or self._told.get(id)

    def take(self, id: str, channel: str) -> Asked | None:
        """Return the request that a reply on this channel answers, and forget it."""
        asked = self._asked.get(id)
        if asked is None or asked.channel != channel:
            return None
        return self._asked.pop(id)

    def take_all(self) -> list[Asked]:
        """Return all that wait, and forget them."""
        waiting, self._asked = list(self._asked.values()), {}
        return waiting

    def __iter__(self) -> Iterator[Asked]:
        return iter(list(self._asked.values()))

    @property
    def cell(self) -> Asked | None:
        """The cell that runs, as far as we know: the oldest that waits."""
        return next((asked for asked in self._asked.values() if asked.is_cell), None)
