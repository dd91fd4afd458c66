"""The filter at the gateway's door: code that plainly attacks is told so before it runs.

The sandbox is the boundary, not this. Whoever wants to gets around the filter; it
spares people who paste a fork bomb a dead room, and operators some noise. So it errs
on the side of letting through: it finds what stands in the structure of a program,
never what stands in a text or a comment. docs/security.md has the rules.

Pure: no input, no output, no clock. What it needs to read other languages than
Python is loaded when the first code in such a language comes.
"""

from __future__ import annotations

from embedenv_jupyter.languages.filter.check import JUDGED, Finding, check
from embedenv_jupyter.languages.filter.rules import RULES, Rule

__all__ = ["JUDGED", "RULES", "Finding", "Rule", "check"]
