"""Where the logs of one gateway's rooms are, and what becomes of them when the gateway is killed.

Gateways may share a data directory. Each holds a lock beside a folder of its own
(flock(2): the kernel lets go of it when the process ends, however it ends), and
removes the folders whose locks nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from pathlib import Path

_LOCK = ".lock"


class LogFolder:
    """A folder that is this gateway's until :meth:`release`. Everything here may block."""

    def __init__(self, base: Path) -> None:
        """Claim a folder below ``base``, and remove those of gateways that are gone.

        Raises:
            OSError: the data directory cannot be written.
        """
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(base)
        self._lock = -1
        while self._lock < 0:
            self._lock_path = base / f"{secrets.token_hex(6)}{_LOCK}"
            self._lock = _try_lock(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self.path = self._lock_path.with_suffix("")
        self.path.mkdir(mode=0o700)

    def release(self) -> None:
        """Remove the folder and let go of it; idempotent."""
        if self._lock < 0:
            return
        _remove(self._lock_path)
        os.close(self._lock)
        self._lock = -1


def sweep(base: Path) -> None:
    """Remove the folders of gateways that are gone."""
    for path in base.glob(f"*{_LOCK}"):
        lock = _try_lock(path, os.O_RDWR)
        if lock >= 0:
            _remove(path)
            os.close(lock)


def _try_lock(path: Path, flags: int) -> int:
    """Open and lock; -1 when somebody else holds it, or removed it in between."""
    try:
        lock = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return -1
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    os.close(lock)
    return -1


def _remove(lock_path: Path) -> None:
    shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
    lock_path.unlink(missing_ok=True)
