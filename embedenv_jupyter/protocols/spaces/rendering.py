"""From events of a room's log to frames: the one path on which speed counts.

Everything is made from plain values, because the log belongs to the rooms. An
event may take several numbers, one for each frame that a client who asks gets
of it; ``skip`` leaves out as many from its start, for a client that resumes in
the middle. Clients that do not ask get the published frames and no numbers.

Output is the bulk of it. The JSON of all its lines is written by one call, as
lines again (a line end never stands unescaped in JSON), and put between
constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from embedenv_jupyter.protocols.spaces.codec import encode
from embedenv_jupyter.protocols.spaces.frames import (
    Error,
    Event,
    Exit,
    Gap,
    TerminalDataEnd,
    TerminalNewline,
)
from embedenv_jupyter.protocols.text import whole

RUN_END_COUNT = 2
"""Numbers that the end of a run takes: its end, then its exit."""

_encoder = msgspec.json.Encoder()
_DATA = b'{"type":"terminal-data","data":'
_NEWLINE = encode(TerminalNewline())
_NEWLINE_OF_RUN = _NEWLINE[:-1]
_END = encode(TerminalDataEnd())


def output_count(text: str, *, prompt: bool = False) -> int:
    """How many numbers output takes: two for a complete line (its text, its end), one for a partial line.

    A prompt is shown as a complete line though it is not one.
    """
    lines = 2 * text.count("\n")
    if prompt:
        return lines + 2
    return lines + (not text.endswith("\n"))


def render_output(
    first_n: int,
    text: str,
    *,
    run: str,
    prompt: bool = False,
    asking: bool = False,
    newlines: bool = True,
    skip: int = 0,
) -> list[bytes]:
    """Make the frames of a piece of output, whose first number is ``first_n``.

    Without ``newlines`` the line ends are not sent to clients that do not ask.
    Those that ask get them all the same, because their numbers have no holes.
    """
    lines = text.split("\n")
    if lines[-1] == "" and text and not prompt:
        lines.pop()
        is_partial = False
    else:
        is_partial = not prompt
    written = _json_of(lines)
    if asking:
        return _numbered(written, is_partial, first_n, _json_of([run])[0])[skip:]
    if not newlines:
        return [_DATA + line + b"}" for line in written][(skip + 1) // 2 :]
    output = [_NEWLINE] * (2 * len(written))
    output[::2] = [_DATA + line + b"}" for line in written]
    return output[skip : len(output) - is_partial]


def _json_of(lines: list[str]) -> list[bytes]:
    try:
        written = _encoder.encode_lines(lines)
    except UnicodeEncodeError:
        written = _encoder.encode_lines([whole(line) for line in lines])
    return written.split(b"\n")[:-1]


def _numbered(written: list[bytes], is_partial: bool, first_n: int, run: bytes) -> list[bytes]:
    tail = b',"run":%b,"n":' % run
    newline = _NEWLINE_OF_RUN + tail
    output = [b""] * (2 * len(written))
    numbers = range(first_n, first_n + len(output), 2)
    output[::2] = [b"%b%b%b%d}" % (_DATA, line, tail, n) for line, n in zip(written, numbers, strict=True)]
    output[1::2] = [b"%b%d}" % (newline, n + 1) for n in numbers]
    return output[: len(output) - is_partial]


def render_run_end(
    first_n: int, *, run: str, code: int | None, signal: str | None, asking: bool = False, skip: int = 0
) -> list[bytes]:
    """Make the frames of a run's end, which takes :data:`RUN_END_COUNT` numbers.

    ``code`` is ``None`` after a signal, and ``signal`` its name or ``None``.
    """
    if not asking:
        return [_END][skip:]
    return [
        encode(TerminalDataEnd(run, first_n)),
        encode(Exit(run, code, signal, first_n + 1)),
    ][skip:]


def render_event(n: int, event: str, details: Mapping[str, Any], *, asking: bool = False) -> list[bytes]:
    """Make the frame of a named event; see :data:`~embedenv_jupyter.protocols.spaces.frames.EVENTS`."""
    return [encode(Event(event, n, dict(details)))] if asking else []


def render_gap(first: int, last: int, *, events: int, size_bytes: int, asking: bool = False) -> list[bytes]:
    """Tell that the log no longer has the numbers from ``first`` to ``last``, and what they held."""
    if asking:
        return [encode(Gap(first, last, events, size_bytes, last))]
    return [encode(Error(f"{events} frames of this room's output ({size_bytes} bytes) are no longer kept"))]
