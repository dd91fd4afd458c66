"""Makes the programs of a room, not its supervisor, what the kernel ends when memory runs out.

The kernel ends the largest process, and a supervisor that was forked from a warm
zygote looks large though nearly all of its pages are shared. A program inherits
its score from the supervisor at the fork, and nothing in a room may write scores
(Landlock, see :mod:`embedenv_jupyter.sandbox.confine`). So the supervisor, which
has opened its own score before it was confined, raises it for the moment of each fork.
(That moment lasts until the child has exec'ed. If memory runs out just then, and
no program is larger than the supervisor looks, the room ends.)

Standard library only: part of the supervisor.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

_SCORE = "/proc/self/oom_score_adj"
_FIRST_TO_GO = b"1000"


@dataclass
class _Own:
    """Our own score: where it is written, and what it was."""

    fd: int = -1
    value: bytes = b"0"


_own = _Own()
"""Opened by the confinement and used by the jobs, which know nothing of each other."""


def prepare() -> bool:
    """Open our own score while we may; tell whether that worked. The process must be dumpable."""
    try:
        with open(_SCORE, "rb") as file:
            value = file.read().strip()
        fd = os.open(_SCORE, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    forget()
    _own.fd, _own.value = fd, value
    return True


@contextlib.contextmanager
def expendable_children() -> Iterator[None]:
    """Let what is forked in the body go first when memory runs out."""
    raised = _write(_FIRST_TO_GO)
    try:
        yield
    finally:
        if raised:
            _write(_own.value)


def _write(value: bytes) -> bool:
    if _own.fd < 0:
        return False
    try:
        os.pwrite(_own.fd, value, 0)
    except OSError:
        return False
    return True


def forget() -> None:
    """Close the score, in a child that has one of its own."""
    if _own.fd >= 0:
        os.close(_own.fd)
        _own.fd = -1
