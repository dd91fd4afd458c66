"""User ids that belong to one room each, for gateways that run as root.

Rooms that share a user id could signal one another and would share one count of
processes (setrlimit(2), ``RLIMIT_NPROC``). An id is leased by a lock on a file
in a folder that only root can write, so that all gateways of a machine agree and
a gateway that dies gives back what it held.
"""

from __future__ import annotations

import fcntl
import os

FIRST_UID = 200_000
LAST_UID = 265_535
LEASES = "/run/embedenv-uids"


class UidLease:
    """One user id, ours until :meth:`release`."""

    def __init__(self, uid: int, fd: int) -> None:
        self.uid = uid
        self._fd = fd

    def release(self) -> None:
        """Give the id back, once no process has it any more; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lease(folder: str = LEASES) -> UidLease:
    """Lease the lowest free user id.

    Raises:
        OSError: the folder cannot be made, or ``EAGAIN`` when all ids are taken.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for uid in range(FIRST_UID, LAST_UID + 1):
        fd = os.open(f"{folder}/{uid}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        return UidLease(uid, fd)
    raise BlockingIOError(11, "every user id for rooms is in use")
