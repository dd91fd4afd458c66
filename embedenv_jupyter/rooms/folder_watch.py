"""Tells members that programs of the room have changed folders that somebody looks at.

No tier of isolation shows the gateway every change in a room at a bounded price. What people have
in front of them is little: folders that were listed a moment ago. Their times are looked at
once a second, one stat(2) each, which shows what came, went or was renamed in them, not what
was written into a file that stays. (Of files that are open together, :mod:`.shared_documents` sees that.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from embedenv_jupyter.errors import SandboxError, WorkspaceError
from embedenv_jupyter.rooms.files import Files

log = logging.getLogger(__name__)

MAX_FOLDERS: Final = 16
"""Those that were listed last."""
LOOK_EVERY_S: Final = 1.0
FORGET_AFTER_S: Final = 60.0
"""JupyterLab lists the folder that it shows every ten seconds: others, nobody looks at."""


class _Folder:
    def __init__(self, listed_s: float) -> None:
        self.listed_s = listed_s
        self.time_ns: int | None = None
        """When the folder changed last; ``None``: the next look is the first since we know of a change."""


class FolderWatch:
    """The folders of one room that people have in front of them. :meth:`aclose` ends its task."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._folders: dict[str, _Folder] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_telling = False
        files.on_change.append(self._changed)

    async def listed(self, path: str) -> None:
        """Note that somebody is about to be shown a folder ("" for the workspace)."""
        now_s = asyncio.get_running_loop().time()
        folder = self._folders.pop(path, None)
        if folder is None:
            folder = _Folder(now_s)
            folder.time_ns = await self._time_ns(path)
        folder.listed_s = now_s
        self._folders[path] = folder
        while len(self._folders) > MAX_FOLDERS:
            del self._folders[next(iter(self._folders))]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="folders that people look at")

    async def _time_ns(self, path: str) -> int | None:
        try:
            return (await self._files.state_of(path or ".")).st_mtime_ns
        except WorkspaceError:
            return None

    def _changed(self, paths: Sequence[str]) -> None:
        """Take the changes that members make as known: they were told of already."""
        if self._is_telling:
            return
        for path in paths:
            if (folder := self._folders.get(path.rpartition("/")[0])) is not None:
                folder.time_ns = None

    async def _watch(self) -> None:
        while self._folders:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._look()
            except SandboxError as exc:
                log.info("folders of a room that does not answer: %s", exc)
            except Exception:
                log.exception("folders of a room were not looked at")

    async def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for path, folder in list(self._folders.items()):
            if now_s - folder.listed_s > FORGET_AFTER_S:
                self._folders.pop(path, None)
                continue
            before, folder.time_ns = folder.time_ns, await self._time_ns(path)
            if folder.time_ns is None:
                self._folders.pop(path, None)  # it is gone, which the folder above it shows
            elif before is not None and folder.time_ns != before:
                self._is_telling = True
                try:
                    self._files.changed([path or "."], "")
                finally:
                    self._is_telling = False

    async def aclose(self) -> None:
        """Look at nothing any more; idempotent."""
        self._folders.clear()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
