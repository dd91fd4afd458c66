"""Which programs a room has: asked once for each language, and again while one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import MissingToolchainError, SandboxTimeoutError
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.sandbox.sandbox import Sandbox

LOOK_TIMEOUT_S: Final = 30.0
MAX_SAID_BYTES: Final = 64 << 10

_LOOK: Final = """
for name; do
    path=$(command -v "$name") && echo "$name $(stat -L -c %s.%Y "$path")"
done
true
"""


class Toolchains:
    """What one sandbox can run."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._found: dict[str, str] = {}
        """Each program that is there, with its size and time: another version is another program."""

    async def require(self, language: Language, *, session: bool = False) -> str:
        """Return what tells this toolchain from another version of it.

        Raises:
            MissingToolchainError: the room lacks a program; the text says what to install.
        """
        needs = (*language.needs, *(language.session.needs if session and language.session else ()))
        await self.look([name for name in needs if name not in self._found])
        missing = tuple(name for name in needs if name not in self._found)
        if missing:
            packages = language.all_packages if session else language.packages
            raise MissingToolchainError(language.name, missing, packages)
        return " ".join(f"{name} {self._found[name]}" for name in needs)

    async def look(self, names: Sequence[str]) -> frozenset[str]:
        """Look for programs on the room's PATH; return which of these there are."""
        if names:
            self._found |= await self._asked(names)
        return frozenset(name for name in names if name in self._found)

    async def _asked(self, names: Sequence[str]) -> dict[str, str]:
        process = await self._sandbox.spawn(["sh", "-c", _LOOK, "sh", *names])
        assert process.stdout is not None
        said = b""
        try:
            async with deadline(LOOK_TIMEOUT_S):
                while data := await process.stdout.read():
                    said = (said + data)[-MAX_SAID_BYTES:]
        except TimeoutError:
            raise SandboxTimeoutError("look for programs", LOOK_TIMEOUT_S) from None
        finally:
            process.close()
        lines = (line.partition(" ") for line in said.decode(errors="replace").splitlines())
        return {name: version for name, _, version in lines if name in names}
