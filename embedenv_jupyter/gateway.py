"""The gateway's managers, built from plain settings and started in order.

Used by the Jupyter server extension (:mod:`embedenv_jupyter.app`) and, without a
server, by ``embedenv run``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from embedenv_jupyter.accounts import AccountManager, default_database_url
from embedenv_jupyter.accounts.location import DATA_DIR_VARIABLE
from embedenv_jupyter.accounts.tickets import Tickets
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.images.store import ImageStore
from embedenv_jupyter.kernels.authors import Senders
from embedenv_jupyter.kernels.manager import KernelManagers, KernelSettings
from embedenv_jupyter.kernels.pool import WarmStarter
from embedenv_jupyter.languages import installing
from embedenv_jupyter.metrics import Metrics
from embedenv_jupyter.previews.manager import PreviewManager
from embedenv_jupyter.rooms.folders import LogFolder
from embedenv_jupyter.rooms.manager import RoomManager, RoomSettings, Starter
from embedenv_jupyter.rooms.room import new_room_id
from embedenv_jupyter.sandbox.choose import choose
from embedenv_jupyter.sandbox.pool import Pool
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers import Tier
from embedenv_jupyter.snippets.desk import CodeFilter, Desk
from embedenv_jupyter.snippets.installer import Installer
from embedenv_jupyter.snippets.languages import LanguageSurvey
from embedenv_jupyter.snippets.sessions import Sessions, SnippetSettings
from embedenv_jupyter.terminals.manager import TerminalManagers

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 60.0
STOPPED = "The gateway has stopped."


@dataclass(frozen=True)
class GatewaySettings:
    """What an operator decides; see the traits of ``EmbedenvApp`` for the words."""

    data_dir: Path
    database_url: str | None = None
    tier: str = "auto"
    allow_unsafe: bool = False
    image: str | None = None
    pool_size: int = 2
    kernel_pool_size: int = 1
    rooms: RoomSettings = field(default_factory=RoomSettings)
    kernels: KernelSettings = field(default_factory=KernelSettings)
    code_filter: CodeFilter = CodeFilter.BLOCK
    snippets: SnippetSettings = field(default_factory=SnippetSettings)
    allow_install: bool = True


class Gateway:
    """Accounts, a tier of isolation and the rooms. Start, then use; closed in reverse order."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.terminals = TerminalManagers()
        self.previews = PreviewManager()
        self.senders = Senders()
        self.local_key = secrets.token_urlsafe(32)
        """Stands for the local account, in this process and as long as it lives."""
        self.tickets = Tickets(time.monotonic)
        self._accounts: AccountManager | None = None
        self._rooms: RoomManager | None = None
        self._kernels: KernelManagers | None = None
        self._desk: Desk | None = None
        self._survey: LanguageSurvey | None = None
        self._installer: Installer | None = None
        self._tier: Tier | None = None
        self._stack = AsyncExitStack()
        self._starting: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._closing = asyncio.Lock()
        self._is_closed = False
        self._failure: BaseException | None = None

    async def start(self) -> None:
        """Open the accounts, choose a tier, begin to serve rooms.

        Raises:
            SandboxUnavailableError: no tier of isolation works here, or the gateway
                was closed before it had started.
        """
        if self._is_closed:
            raise SandboxUnavailableError(STOPPED)
        self._starting = asyncio.create_task(self._start(), name="start of the gateway")
        try:
            await self._starting
        except BaseException as exc:
            self._failure = exc
            await self._release()
            if self._is_closed and isinstance(exc, asyncio.CancelledError):
                raise SandboxUnavailableError(STOPPED) from exc
            raise
        finally:
            self._started.set()

    async def _start(self) -> None:
        settings = self.settings
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        url = settings.database_url or default_database_url(
            {**os.environ, DATA_DIR_VARIABLE: str(settings.data_dir)}
        )
        self._accounts = await self._stack.enter_async_context(AccountManager(url))
        image = ImageStore(settings.data_dir).resolve(settings.image) if settings.image else None
        tier = await choose(settings.tier, allow_unsafe=settings.allow_unsafe, image=image)
        self._stack.push_async_callback(tier.aclose)
        self._tier = tier
        starter = self._pooled(tier, settings.pool_size)
        warm_starter = self._pooled(WarmStarter(tier), settings.kernel_pool_size)
        logs = await asyncio.to_thread(LogFolder, settings.data_dir / "rooms")
        self._stack.push_async_callback(asyncio.to_thread, logs.release)
        rooms = RoomManager(
            self.metrics.timed(starter),
            self._accounts,
            logs.path,
            settings.rooms,
            warm_starter=self.metrics.timed(warm_starter),
            on_end=self.metrics.room_ended,
        )
        self._stack.push_async_callback(rooms.aclose)
        rooms.start()
        kernels = KernelManagers(rooms, logs.path, settings.kernels, accounts=self._accounts)
        self._stack.push_async_callback(kernels.aclose)
        kernels.start()
        sessions = Sessions(rooms, kernels, self._accounts, logs.path, settings.snippets)
        self._stack.push_async_callback(sessions.aclose)
        sessions.start()
        self._desk = Desk(sessions, settings.code_filter)
        self._survey = LanguageSurvey(rooms, sessions.languages)
        self._installer = Installer(sessions.languages, self._install_obstacle, self._survey.forget)
        self._stack.push_async_callback(self._installer.aclose)
        self._rooms, self._kernels = rooms, kernels
        self.metrics.show(rooms)
        self._stack.callback(self.metrics.hide)
        log.info("rooms are isolated by the tier %s", tier.name)

    def _install_obstacle(self) -> str:
        """Say why languages that are installed on this machine would not reach rooms; "" where they do."""
        settings = self.settings
        if not settings.allow_install:
            return "This server is set not to install anything (EmbedenvApp.allow_install)."
        if settings.image or self.tier.name in ("docker", "podman"):
            return "Rooms stand on an image here; build one that has it with `embedenv image build`."
        return installing.obstacle()

    def _pooled(self, starter: Starter, size: int) -> Starter:
        """Keep ``size`` sandboxes ready in front of a starter."""
        if size == 0:
            return starter
        rooms = self.settings.rooms
        pool = Pool(
            starter, size,
            lambda: SandboxSpec(id=new_room_id(), limits=rooms.limits, network=rooms.network),
        )  # fmt: skip
        self._stack.push_async_callback(pool.aclose)
        return pool

    async def ready(self) -> None:
        """Wait until the gateway serves.

        Raises:
            SandboxUnavailableError: it did not start, or has stopped; the text says why.
        """
        with contextlib.suppress(TimeoutError):
            async with deadline(READY_TIMEOUT_S):
                await self._started.wait()
        if self._is_closed:
            raise SandboxUnavailableError(STOPPED)
        if isinstance(self._failure, SandboxUnavailableError):
            raise SandboxUnavailableError(self._failure.reason, self._failure.remedies)
        if self._rooms is None:
            raise SandboxUnavailableError("The gateway has not started; its log says why.")

    def is_local_key(self, key: str) -> bool:
        """Tell whether somebody has the key of this very gateway."""
        return hmac.compare_digest(key.encode(), self.local_key.encode())

    @property
    def accounts(self) -> AccountManager:
        assert self._accounts is not None, "start() comes first"
        return self._accounts

    @property
    def rooms(self) -> RoomManager:
        assert self._rooms is not None, "start() comes first"
        return self._rooms

    @property
    def kernels(self) -> KernelManagers:
        assert self._kernels is not None, "start() comes first"
        return self._kernels

    @property
    def desk(self) -> Desk:
        assert self._desk is not None, "start() comes first"
        return self._desk

    @property
    def survey(self) -> LanguageSurvey:
        assert self._survey is not None, "start() comes first"
        return self._survey

    @property
    def installer(self) -> Installer:
        assert self._installer is not None, "start() comes first"
        return self._installer

    @property
    def tier(self) -> Tier:
        assert self._tier is not None, "start() comes first"
        return self._tier

    async def aclose(self) -> None:
        """End rooms, sandboxes and accounts, in this order; idempotent.

        A start that is under way is cancelled first.
        """
        self._is_closed = True
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait({self._starting})
        await self._release()

    async def _release(self) -> None:
        async with self._closing:  # two at once would close the accounts beneath a tier that still ends
            await self._stack.aclose()
