"""A container engine by its command line: docker or podman, which understand the same words."""

from __future__ import annotations

import os
import re
import shutil

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.commands import run_command

COMMAND_TIMEOUT_S = 60.0
_MAX_REASON = 500


class EngineError(SandboxUnavailableError):
    """The engine refused; ``str()`` has its last line."""


class Engine:
    """Runs commands of one engine, each with ``options`` before its first word."""

    def __init__(self, name: str, options: tuple[str, ...] = ()) -> None:
        self.name = name
        self._options = options
        self._program = shutil.which(name)

    @property
    def is_installed(self) -> bool:
        return self._program is not None

    @property
    def is_rootless(self) -> bool:
        """Whether the engine runs as our own user; a docker daemon without root is made to look the same."""
        return self.name == "podman" and os.geteuid() != 0

    async def run(self, *arguments: str, timeout_s: float | None = COMMAND_TIMEOUT_S) -> str:
        """Run one command and return what it printed.

        Raises:
            EngineError: it is not installed, it refused, or it did not answer in time.
        """
        if self._program is None:
            raise EngineError(f"{self.name} is not installed: there is no program {self.name}.")
        try:
            done = await run_command([self._program, *self._options, *arguments], timeout_s)
        except TimeoutError:
            raise EngineError(f"{self.name} {arguments[0]} took more than {timeout_s:g} s") from None
        except OSError as exc:
            raise EngineError(f"{self.name} cannot be started: {exc}") from exc
        if done.code != 0:
            raise EngineError(_without_advice(done.complaint.splitlines() or [f"exit {done.code}"]))
        return done.output


def _without_advice(lines: list[str]) -> str:
    """Return the line that says what is wrong, not the one that names ``--help``."""
    telling = [line for line in lines if "--help" not in line and line.strip()] or lines
    plain = [line for line in telling if line.startswith(("Error", "docker: "))] or telling
    reason = re.sub(r': Get "[^"]*"', "", plain[-1].strip())
    return re.sub(r"^(docker: )?Error( response from daemon)?: ", "", reason)[:_MAX_REASON]
