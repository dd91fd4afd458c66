"""What the magics need of the gateway: rooms, their kernels, the accounts and the languages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from embedenv_jupyter.accounts import Account, Balance
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.rooms.manager import Opened
from embedenv_jupyter.rooms.members import JoinKey
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.sandbox.spec import Limits

if TYPE_CHECKING:
    from embedenv_jupyter.kernels.kernel import Kernel


class Rooms(Protocol):
    """Opens rooms and finds them; see :class:`~embedenv_jupyter.rooms.manager.RoomManager`."""

    @property
    def limits(self) -> Limits:
        """What a room may use at most."""

    def __iter__(self) -> Iterator[Room]: ...

    def redeem(self, key: str) -> tuple[Room, JoinKey]:
        """Find the room of a join key; raises UnknownKeyError."""

    def rename(self, room: Room, name: str) -> None:
        """Give a room its name."""

    async def open(
        self, account: Account, *, space: str, limits: Limits | None = None, warm: bool = False
    ) -> Opened:
        """Charge the account and open a room."""


class KernelsOfRoom(Protocol):
    """The kernels of one room; see :class:`~embedenv_jupyter.kernels.manager.RoomKernels`."""

    async def start(self, name: str | None = None) -> Kernel:
        """Start a kernel."""

    async def shutdown(self, id: str) -> None:
        """End one; raises UnknownKernelError."""

    def find(self, id: str) -> Kernel:
        """Return one; raises UnknownKernelError."""


class Kernels(Protocol):
    """Finds the kernels of a room; see :class:`~embedenv_jupyter.kernels.manager.KernelManagers`."""

    def of(self, room: Room) -> KernelsOfRoom: ...


class Accounts(Protocol):
    """Knows what an account has left; see :class:`~embedenv_jupyter.accounts.AccountManager`."""

    async def balance(self, account_id: int) -> Balance: ...


@dataclass(frozen=True)
class Surroundings:
    """The gateway, as the magics meet it."""

    rooms: Rooms
    kernels: Kernels
    accounts: Accounts
    languages: Languages
