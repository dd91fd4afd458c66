"""What programs ask a terminal, and what a terminal answers by itself (xterm's ctlseqs).

An emulator answers such a question whenever it is shown one. What is shown again
after a reload was answered long ago; an answer then would be typed into the shell.
"""

from __future__ import annotations

import re

RESET = "\x1bc"
"""RIS: an emulator that shows an earlier connection's output still begins with an empty screen."""

_STRING = r"[^\x07\x1b]*(?:\x07|\x1b\\)"

_QUESTION = re.compile(
    r"\x1b\[[?>=]?[\d;]*c"  # device attributes
    r"|\x1b\[\??[56]n"  # status, cursor position
    r"|\x1b\[\?[\d;]*\$p|\x1b\[[\d;]*\$p"  # modes
    r"|\x1b\[>[\d;]*q|\x1b\[1[3-9]t|\x1b\[2[01]t"  # version; sizes and titles
    rf"|\x1b\](?:4;\d+|1[0-9]|52;[a-z]*);\?(?:\x07|\x1b\\)"  # colours, clipboard
    rf"|\x1bP[$+]q{_STRING}"  # settings, capabilities
)

_ANSWER = re.compile(
    r"(?:\x1b\[[?>=]?[\d;]*(?:[cnRtx]|\$y)"
    r"|\x1b\[[IO]"  # the window got or lost the focus
    r"|\x1b\[<[\d;]*[Mm]|\x1b\[M[\s\S]{3}"  # the mouse
    rf"|\x1b[\]P]{_STRING})+"
)


def without_questions(text: str) -> str:
    """Return output as it may be shown once more."""
    return _QUESTION.sub("", text)


def is_automatic(text: str) -> bool:
    """Tell whether input comes from the emulator, and not from somebody who types."""
    return _ANSWER.fullmatch(text) is not None
