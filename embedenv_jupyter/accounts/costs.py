"""What a shell line costs in credits: free, standard or heavy (the published price list).

    class     cost  examples
    free      0     cd, ls, cat, echo; allowed when nothing is left
    standard  1     python script.py, gcc main.c, git status; every unknown program
    heavy     5     pip install, git clone, wget, docker

A line costs what its dearest program costs: `cd app && pip install .` is heavy.
A line that runs nothing (empty, a comment, `A=1`) is free. Lines typed into a
running program, ``Ctrl+C``, file operations and the protocol's own curl frame
never come here; they are free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from embedenv_jupyter.accounts.programs import programs_in, subcommands
from embedenv_jupyter.accounts.shell_line import TooDeepError

ANY = ""
"""Among the heavy phrases of a program: whatever it is asked, it is heavy."""

ALONE = "."
"""Among the heavy phrases of a program: called without any argument, it is heavy."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FREE = _words("cd ls pwd dir cat echo clear whoami history less head tail env which")

HEAVY: Mapping[str, frozenset[str]] = {
    # the published examples
    "pip": _words("install"),
    "npm": _words("install i ci add"),
    "yarn": _words("add install") | {ALONE},
    "git": _words("clone"),
    "wget": frozenset({ANY}),
    "curl": frozenset({ANY}),
    "docker": frozenset({ANY}),
    "cargo": _words("build b install"),
    # the same acts by other names
    "pipx": _words("install"),
    "uv": frozenset({"pip install", "add", "sync", "tool install"}),
    "pnpm": _words("install i add"),
    "podman": frozenset({ANY}),
    "docker-compose": frozenset({ANY}),
}
"""Program → the sub-commands (one or more words) that make it heavy."""

VALUED_OPTIONS: Mapping[str, frozenset[str]] = {
    "pip": _words("--python --log --proxy --retries --timeout --exists-action --trusted-host --cert"
                  " --client-cert --cache-dir --keyring-provider --use-feature --use-deprecated"),
    "npm": _words("-C --prefix -w --workspace --registry --cache --userconfig --loglevel"),
    "pnpm": _words("-C --dir --filter -F --reporter"),
    "yarn": _words("--cwd --registry --cache-folder --modules-folder"),
    "git": _words("-C -c --git-dir --work-tree --namespace --exec-path --super-prefix --config-env"),
    "cargo": _words("-C -Z --color --config --explain"),
    "uv": _words("--directory --project --cache-dir --config-file --color"),
}  # fmt: skip
"""Program → the options before its sub-command that take their value from the next word."""


@dataclass(frozen=True)
class CostTable:
    """A price list; ``dataclasses.replace(COSTS, heavy_cost=10)`` makes another one."""

    free: frozenset[str] = FREE
    heavy: Mapping[str, frozenset[str]] = field(default_factory=lambda: HEAVY)
    valued_options: Mapping[str, frozenset[str]] = field(default_factory=lambda: VALUED_OPTIONS)
    free_cost: int = 0
    standard_cost: int = 1
    heavy_cost: int = 5

    def cost_of_program(self, name: str, arguments: Sequence[str]) -> int:
        """Return the price of one program with its arguments."""
        phrases = self.heavy.get(name)
        if phrases is not None and self._is_heavy(name, arguments, phrases):
            return self.heavy_cost
        return self.free_cost if name in self.free else self.standard_cost

    def _is_heavy(self, name: str, arguments: Sequence[str], phrases: frozenset[str]) -> bool:
        if ANY in phrases or (ALONE in phrases and not arguments):
            return True
        valued = self.valued_options.get(name, frozenset())
        longest = max((len(phrase.split()) for phrase in phrases), default=0)
        asked = list(islice(subcommands(arguments, valued), longest))
        return any(" ".join(asked[:count]) in phrases for count in range(1, longest + 1))


COSTS = CostTable()
"""The published price list."""

MAX_CHARACTERS = 32_768
"""Longer lines are not read; they cost the dearest price. Nobody types one, and reading takes time."""

INIT_COST = 1
"""Credits for opening a room with keys; joining one is free."""


def cost_of(command_line: str, table: CostTable = COSTS) -> int:
    """Return what running ``command_line`` in a room's shell costs, in credits.

    Never raises: text that no shell accepts is priced by the programs that can
    be read in it, and what is too long or nested too deep to read by the
    dearest price.
    """
    if len(command_line) > MAX_CHARACTERS:
        return table.heavy_cost
    prices = [table.free_cost]
    try:
        prices += (table.cost_of_program(name, rest) for name, *rest in programs_in(command_line))
    except TooDeepError:
        return table.heavy_cost
    return max(prices)
