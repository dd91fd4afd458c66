"""The files of a room, from the outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from embedenv_jupyter.client import commands
from embedenv_jupyter.client.dialect import Dialect
from embedenv_jupyter.client.frames import Entry, Listing
from embedenv_jupyter.client.refusal import PlainServerError
from embedenv_jupyter.client.tree import IGNORED, Source, plan
from embedenv_jupyter.errors import RemoteProtocolError


class Files:
    """Every method returns when the server has done it, and raises what it said when it has not.

    Paths are as in :func:`~embedenv_jupyter.client.commands.wire_path`: relative
    to the project, or, with ``/`` in front, to where shell lines begin. A server that speaks
    only the published frames confirms deployments alone; there the other changes
    return when they are sent, and ``read`` and ``list`` raise ``PlainServerError``.

    Raises of all methods:
        RefusedError: the server said no.
        WorkspaceError: the path is not acceptable; nothing was sent.
        ConnectionLostError, RoomClosedError: the room is gone.
    """

    def __init__(self, dialect: Callable[[], Dialect]) -> None:
        self._dialect = dialect

    async def deploy(self, source: Source, *, ignore: Collection[str] = IGNORED) -> None:
        """Lay files over the project: ``{path: content}``, a tree of nodes, or a local directory.

        From a directory, names in ``ignore`` and symbolic links are left out.
        """
        deployment = await asyncio.to_thread(plan, source, ignore)
        rest = [commands.write(path, content) for path, content in deployment.rest.items()]
        for fields in rest:
            self._check_writable(fields)
        await self._dialect().deploy(commands.deploy(deployment.tree))
        for fields in rest:
            await self._dialect().tell(fields)

    async def write(self, path: str, content: str | bytes) -> None:
        """Replace a file, or make it with the folders above it."""
        fields = commands.write(commands.wire_path(path), content)
        self._check_writable(fields)
        await self._dialect().tell(fields)

    async def read(self, path: str) -> bytes:
        """Return what a file holds."""
        pieces = [piece async for piece in self._dialect().read(commands.read(commands.wire_path(path)))]
        return b"".join(pieces)

    async def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """Return what a file holds as text.

        Raises:
            UnicodeDecodeError: it is not text in this encoding.
        """
        return (await self.read(path)).decode(encoding)

    async def list(self, path: str = "") -> list[Entry]:
        """Return a folder's entries: name, type, size in bytes, modified in seconds since 1970."""
        answer = await self._dialect().ask(commands.listing(commands.wire_path(path)), "list a folder")
        if not isinstance(answer, Listing):
            raise RemoteProtocolError(f"the server answered a list with {type(answer).__name__}")
        return [*answer.entries]

    async def make_dir(self, path: str) -> None:
        """Make a folder."""
        await self._dialect().tell(commands.create_folder(commands.wire_path(path)))

    async def rename(self, path: str, new_name: str) -> None:
        """Give a file or folder a new name in the same folder."""
        await self._dialect().tell(commands.rename(commands.wire_path(path), commands.base_name(new_name)))

    async def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that it holds."""
        await self._dialect().tell(commands.delete(commands.wire_path(path)))

    def _check_writable(self, fields: commands.Fields) -> None:
        if "encoding" in fields and self._dialect().is_plain:
            raise PlainServerError(f"write {fields['path']!r}, whose bytes are no UTF-8")
