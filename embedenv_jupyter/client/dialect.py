"""What a room can ask of a server, whichever frames the server understands.

:class:`~embedenv_jupyter.client.numbered.Numbered` speaks with ids and numbers,
:class:`~embedenv_jupyter.client.plain.Plain` only the published frames.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from embedenv_jupyter.client.commands import Fields
from embedenv_jupyter.client.events import Event, Gap
from embedenv_jupyter.client.frames import ServerFrame
from embedenv_jupyter.client.mailbox import Mailbox
from embedenv_jupyter.client.run import Control, Run
from embedenv_jupyter.client.session import Pending

Publish = Callable[[Event], None]


class Dialect(Control, Protocol):
    """The commands, and the reports of the link that answer them."""

    @property
    def is_plain(self) -> bool:
        """Whether the server speaks only the published frames."""

    async def tell(self, fields: Fields) -> None:
        """Send a command without a published answer; returns when it was done, as far as can be known."""

    async def deploy(self, fields: Fields) -> None:
        """Send a tree and wait until the server has made it."""

    async def ask(self, fields: Fields, action: str) -> ServerFrame:
        """Send a command of our additions that is answered by one frame; ``action`` is for error texts."""

    def read(self, fields: Fields) -> AsyncGenerator[bytes, None]:
        """Send a read command and yield the file's bytes."""

    def curl(self, fields: Fields) -> AsyncGenerator[str, None]:
        """Send a curl command and yield the body's text."""

    async def start(self, command: str) -> Run:
        """Run a shell line."""

    def watch(self) -> Mailbox[Run]:
        """Begin to collect the runs that start from now on."""

    def unwatch(self, box: Mailbox[Run]) -> None:
        """End what :meth:`watch` began."""

    def received(self, frame: ServerFrame | Gap) -> None:
        """A new frame of the room came."""

    def written(self, pending: Pending) -> None:
        """A command went out."""

    def lost(self, failed: list[str], reason: str) -> None:
        """The connection is gone, and the commands with these ids failed with it."""

    def closed(self, failure: Exception) -> None:
        """The room is closed for good; everything that waits gets ``failure``."""
