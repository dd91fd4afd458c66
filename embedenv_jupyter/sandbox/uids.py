"""User ids that belong to one room each, for gateways that run as root.

Rooms that share a user id could signal one another and would share one count of
processes (setrlimit(2), ``RLIMIT_NPROC``). An id is leased by a lock on a file
in a folder that only root can write, so that all gateways of a machine agree and
a gateway that dies gives back what it held.
"""

from __future__ import annotations

import errno
import fcntl
import os

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.commands import run_command
from embedenv_jupyter.sandbox.spec import SandboxSpec

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

    async def own(self, spec: SandboxSpec) -> None:
        """Make the room's user the owner of the folders that its spec binds.

        Raises:
            OSError: a folder does not exist, or is neither the gateway's nor an earlier room's.
        """
        if spec.workspace is not None:
            await self._own_tree(spec.workspace)

    async def _own_tree(self, folder: str) -> None:
        owner = os.lstat(folder).st_uid
        if owner == self.uid:
            return
        if owner != os.geteuid() and not FIRST_UID <= owner <= LAST_UID:
            raise OSError(
                errno.EPERM, f"belongs to user {owner}, neither to the gateway nor to a room", folder
            )
        # Only what the former owner had: an earlier room may have laid a hard link to a file of
        # somebody else's. Links are changed themselves, not followed.
        chown = ["chown", "-R", "-h", "-P", f"--from={owner}", f"{self.uid}:{self.uid}", "--", folder]
        if (await run_command(chown, timeout_s=None)).code != 0:
            raise OSError(errno.EPERM, "could not be given to the room's user", folder)


async def lease_for(spec: SandboxSpec) -> UidLease:
    """Lease a user id for a room and make it the owner of the folders that the spec binds.

    Raises:
        SandboxUnavailableError: there is no free one, or a folder cannot be given away.
    """
    leased = None
    try:
        leased = lease()
        await leased.own(spec)
    except BaseException as exc:
        if leased is not None:
            leased.release()
        if isinstance(exc, OSError):
            raise SandboxUnavailableError(f"No user for the room: {exc}") from exc
        raise
    return leased


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
    raise OSError(errno.EAGAIN, "every user id for rooms is in use")
