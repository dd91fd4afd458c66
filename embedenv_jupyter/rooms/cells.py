"""What cells and programs are priced by: the dearest shell line, but at least one run of Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from embedenv_jupyter.accounts import cost_of
from embedenv_jupyter.languages.language import Language

_SHELLS: Final = frozenset({"bash", "zsh", "fish"})

PYTHON_CELL: Final = "python -c cell"

MAX_SHELL_CHARS: Final = 32_768
"""More of it than this is priced as a whole, which costs the dearest price: reading it takes time."""

_SHELL_LINE: Final = re.compile(
    r"""^[ \t]*+(?:[\w.,\[\]][\w.,\[\] \t]*+=[ \t]*+)?  # what it is assigned to
        (?:!!?|%(?:sx|system)[ \t])            # IPython gives the rest to a shell
        (?P<command>[^\n]+)""",
    re.MULTILINE | re.VERBOSE,
)
_INSTALLER: Final = re.compile(
    r"^[ \t]*+%?(?P<command>(?:pip|conda|mamba|micromamba|uv)[ \t]+[\w-][^\n]*)", re.MULTILINE
)
"""``%pip install``; IPython takes the line without its ``%`` as well."""

_SHELL_CELL: Final = re.compile(
    r"\s*%%(?:bash|sh|system|sx|!|script[ \t]+(?:\S*/)?(?:bash|sh|dash|zsh))(?!\w)[^\n]*\n(?P<command>.*)",
    re.DOTALL,
)


def cell_command(code: str) -> str:
    """Return a shell line that costs what a cell costs; one without any code is free."""
    if not code.strip():
        return ""
    if (cell := _SHELL_CELL.match(code)) is not None:
        return f"{PYTHON_CELL}\n{cell['command']}"
    lines = list(_shell_lines(code.replace("\\\n", " ")))
    if sum(map(len, lines)) > MAX_SHELL_CHARS:
        return "\n".join(lines)
    return max(PYTHON_CELL, *lines, key=cost_of) if lines else PYTHON_CELL


def program_command(language: Language, source: str) -> str:
    """Return a shell line that costs what a program costs: a shell script by what it calls."""
    own = f"{language.compile} ; {language.run}" if language.compile else language.run
    return f"{own}\n{source}" if language.id in _SHELLS else own


def _shell_lines(code: str) -> Iterator[str]:
    """Yield what IPython would give to a shell, one line at a time: a quote in one hides no other."""
    for pattern in (_SHELL_LINE, _INSTALLER):
        for found in pattern.finditer(code):
            yield found["command"].strip()
