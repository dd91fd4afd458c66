"""What it takes to install languages, as commands: for this machine, and for the image of a room.

Nothing is run here (:mod:`embedenv_jupyter.snippets.installer` does). The commands are for root
of a Debian system; what pip and npm bring goes below
:data:`~embedenv_jupyter.languages.language.TOOLCHAINS`, so that the system's own Python and
Node stay as they are.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

from embedenv_jupyter.languages.language import MANAGERS, TOOLCHAINS, Language

OURS: Final = str(files("embedenv_jupyter.languages"))
"""The folder of wrappers and drivers on this machine."""

VENV: Final = f"{TOOLCHAINS}/venv"
NODE: Final = f"{TOOLCHAINS}/node"
DRIVERS: Final = f"{TOOLCHAINS}/drivers"

VENV_TITLE: Final = "a virtual environment for languages"

PATH: Final = (
    f"{TOOLCHAINS}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"
    f"{VENV}/bin:{NODE}/node_modules/.bin"
)


@dataclass(frozen=True)
class Step:
    """One command of an installation: a shell line, with what it needs in its environment."""

    title: str
    line: str
    env: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The line as somebody can paste it into a shell."""
        exports = "".join(f"export {name}={shlex.quote(value)}; " for name, value in self.env.items())
        return f"({exports}{self.line})" if exports else self.line


def present() -> frozenset[str]:
    """Packages that need not come from Debian: Node is often installed from elsewhere, and npm with it."""
    by_program = {"nodejs": "node", "npm": "npm"}
    return frozenset(package for package, program in by_program.items() if shutil.which(program))


def obstacle() -> str:
    """Say why this process cannot install languages on its machine; "" where it can."""
    if os.geteuid() != 0:
        return "Only root can install them for rooms."
    return "" if shutil.which("apt-get") else "This system has no apt-get."


def steps(
    languages: Iterable[Language],
    *,
    ours: str = OURS,
    present: frozenset[str] = frozenset(),
    warm: bool = True,
) -> list[Step]:
    """Return what installs languages, in order; each step can be made again.

    ``ours`` is where wrappers and drivers lie when the steps are made, ``present`` are
    packages of apt that are there already, from whatever source. Without ``warm``
    nothing is compiled in advance: the first programs take longer.
    """
    chosen = list(languages)
    packages = {name: _all(chosen, name) for name in MANAGERS}
    apt = [name for name in packages["apt"] if name not in present]
    if packages["pip"]:
        apt += [name for name in ("python3-venv",) if name not in present]
    return [
        *_apt(apt),
        *_pip(packages["pip"]),
        *_npm(packages["npm"]),
        *_wrappers([name for language in chosen for name in language.wrappers], ours),
        *(step for language in chosen if warm for step in _own(language, ours)),
    ]


def _all(languages: Iterable[Language], manager: str) -> list[str]:
    return list(dict.fromkeys(name for language in languages for name in language.all_packages[manager]))


def _apt(packages: list[str]) -> Iterator[Step]:
    if packages:
        yield Step(
            f"packages of Debian: {' '.join(packages)}",
            f"apt-get install --yes --no-install-recommends {shlex.join(packages)}",
            {"DEBIAN_FRONTEND": "noninteractive"},
        )


def _pip(packages: list[str]) -> Iterator[Step]:
    if packages:
        # Not the Python that we run on, which may lie where no room sees it.
        yield Step(VENV_TITLE, f"[ -e {VENV} ] || /usr/bin/python3 -m venv {VENV}")
        yield Step(
            f"packages of PyPI: {' '.join(packages)}",
            f"{VENV}/bin/pip install --quiet --disable-pip-version-check {shlex.join(packages)}",
        )


def _npm(packages: list[str]) -> Iterator[Step]:
    if packages:
        yield Step(
            f"packages of npm: {' '.join(packages)}",
            f"npm install --prefix {NODE} --no-audit --no-fund --loglevel=error {shlex.join(packages)}",
        )


def _wrappers(names: list[str], ours: str) -> Iterator[Step]:
    if names:
        files = shlex.join(f"{ours}/bin/{name}" for name in names)
        yield Step(f"wrappers: {' '.join(names)}", f"install -D -m 755 -t {TOOLCHAINS}/bin {files}")


def _own(language: Language, ours: str) -> Iterator[Step]:
    """What is made in advance: warm caches, and drivers that are compiled."""
    env = {**language.env, "EMBEDENV_LANGUAGES": ours, "PATH": PATH}
    if language.prepare:
        yield Step(f"{language.name}: warm caches", f"set -e\n{language.prepare.strip()}", env)
    session = language.session
    if session is not None and session.build:
        build = f"mkdir -p {DRIVERS} && {session.build}"
        yield Step(f"{language.name}: session driver", build, {**env, "DRIVERS": DRIVERS})
