"""Compiled results, kept in the room that compiled them: the same content is not compiled twice.

A room's programs can reach them, so they are never shared with another room. What
was compiled is found by everything that went into it: language, toolchain, commands,
code and files. The oldest go when they are too many or too large together.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shlex
from collections import OrderedDict
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.errors import SandboxError, SandboxRequestError
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.sandbox.sandbox import Sandbox

FOLDER: Final = ".engine/builds"
MAX_BUILDS: Final = 32
MAX_SHARE: Final = 8
"""All builds together take at most this part (one in so many) of the workspace."""

COPY_TIMEOUT_S: Final = 20.0


class Builds:
    """The compiled results of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._limit_bytes = sandbox.spec.limits.workspace_bytes // MAX_SHARE
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._turn = asyncio.Lock()

    async def fetch(self, key: str, folder: str) -> bool:
        """Copy a result into a folder of the workspace; ``False`` if there is none (any more)."""
        if key not in self._sizes:
            return False
        self._sizes.move_to_end(key)
        fetched = await self._copied(f"{FOLDER}/{key}", folder) is not None
        if not fetched:  # a program of the room has removed or broken it
            del self._sizes[key]
        return fetched

    async def keep(self, key: str, folder: str) -> None:
        """Keep what is in a folder as the result for a key; a full disk keeps nothing."""
        async with self._turn:
            if key in self._sizes:
                return
            place = f"{FOLDER}/{key}"
            size = await self._copied(folder, place)
            if size is None or size > self._limit_bytes:
                await self._remove(place)
                return
            self._sizes[key] = size
            while len(self._sizes) > MAX_BUILDS or sum(self._sizes.values()) > self._limit_bytes:
                oldest, _ = self._sizes.popitem(last=False)
                await self._remove(f"{FOLDER}/{oldest}")

    async def _copied(self, source: str, target: str) -> int | None:
        """Copy a folder's content; return its size in bytes, ``None`` if that failed."""
        line = (
            f"mkdir -p {shlex.quote(target)} && cp -R {shlex.quote(source)}/. {shlex.quote(target)} "
            f"&& du -sk {shlex.quote(target)}"
        )
        try:
            process = await self._sandbox.spawn(["sh", "-c", line])
        except SandboxRequestError:
            return None
        assert process.stdout is not None
        try:
            async with deadline(COPY_TIMEOUT_S):
                said = await process.stdout.read()
                status = await process.wait()
        except TimeoutError:
            return None
        finally:
            process.close()
        size = said.split(b"\t")[0]
        return int(size) << 10 if status.code == 0 and size.isdigit() else None

    async def _remove(self, path: str) -> None:
        with contextlib.suppress(SandboxError):
            await self._sandbox.files.remove(path, recursive=True)


def key_of(language: Language, toolchain: str, source: Source) -> str:
    """Name what compiling this source with this toolchain gives."""
    digest = hashlib.sha256()
    parts = [language.id, toolchain, language.compile, *(f"{k}={v}" for k, v in sorted(language.env.items()))]
    for part in (*(text.encode() for text in parts), source.data):
        _feed(digest, part)
    for path, content in sorted(source.files.items()):
        _feed(digest, path.encode())
        _feed(digest, content)
    return digest.hexdigest()[:32]


def _feed(digest: hashlib._Hash, part: bytes) -> None:
    digest.update(b"%d:" % len(part))  # so that no two lists of parts look the same
    digest.update(part)
