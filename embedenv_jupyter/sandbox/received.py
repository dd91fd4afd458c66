"""Looking at what a supervisor sends before it is used: it shares the room's user id."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import Any

from embedenv_jupyter.errors import SandboxRequestError

_PTMX = os.makedev(5, 2)

Accepts = Callable[[os.stat_result], bool]


def is_file_or_folder(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)


def is_folder(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode)


def is_socket(found: os.stat_result) -> bool:
    return stat.S_ISSOCK(found.st_mode)


def is_pipe(found: os.stat_result) -> bool:
    return stat.S_ISFIFO(found.st_mode)


def is_terminal_master(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == _PTMX


def check(fds: list[int], count: int, accepts: Accepts, kind: str) -> None:
    """Refuse descriptors that are not what was asked for; the supervisor is not trusted.

    Raises:
        SandboxRequestError: and all of them are closed.
    """
    if len(fds) == count and all(accepts(os.fstat(fd)) for fd in fds):
        return
    close_all(fds)
    raise SandboxRequestError("receive", errno.EPROTO, detail=f"the sandbox did not hand out a {kind}")


def close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def request_error(op: str, error: Any) -> SandboxRequestError:
    if not isinstance(error, dict):
        return SandboxRequestError(op, errno.EPROTO)
    number = error.get("errno")
    return SandboxRequestError(
        op,
        number if isinstance(number, int) else errno.EPROTO,
        str(error.get("path") or "")[:4096],
        str(error.get("detail") or "")[:500],
    )
