"""The ends of rooms, managers and gateways, also where they meet the beginning of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from embedenv_jupyter.accounts import LOCAL_ACCOUNT, Account, AccountManager, default_database_url
from embedenv_jupyter.accounts.location import DATA_DIR_VARIABLE
from embedenv_jupyter.errors import SandboxGoneError, SandboxUnavailableError
from embedenv_jupyter.gateway import Gateway, GatewaySettings
from embedenv_jupyter.rooms import idle
from embedenv_jupyter.rooms.events import IdleCountdown
from embedenv_jupyter.rooms.manager import RoomManager, RoomSettings, Starter
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import Breach, Limits, SandboxSpec
from embedenv_jupyter.sandbox.tiers.unsafe import UnsafeTier

DEADLINE_S = 60.0
CREDITS = 10

MakeManager = Callable[..., RoomManager]


class StuckTier:
    """Its starts end only when they are cancelled; then they fail, or hand out what they have after all."""

    def __init__(self, tier: UnsafeTier | None = None) -> None:
        self._tier = tier
        self.is_asked = asyncio.Event()
        self.sandbox: Sandbox | None = None

    async def start(self, spec: SandboxSpec) -> Sandbox:
        if self._tier is not None:
            self.sandbox = await self._tier.start(spec)
        self.is_asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.sandbox is None:
                raise
        assert self.sandbox is not None
        return self.sandbox


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[AccountManager]:
    async with AccountManager(default_database_url({DATA_DIR_VARIABLE: str(tmp_path)})) as accounts:
        yield accounts


@pytest.fixture
async def tier() -> AsyncIterator[UnsafeTier]:
    tier = UnsafeTier()
    yield tier
    await tier.aclose()


@pytest.fixture
async def make_manager(
    accounts: AccountManager, tier: UnsafeTier, tmp_path: Path
) -> AsyncIterator[MakeManager]:
    """Make managers over the real, unconfined tier or another starter; they are closed after the test."""
    async with AsyncExitStack() as stack:

        def make(starter: Starter = tier, settings: RoomSettings | None = None) -> RoomManager:
            manager = RoomManager(starter, accounts, tmp_path / "rooms", settings or RoomSettings())
            stack.push_async_callback(manager.aclose)
            manager.start()
            return manager

        yield make


async def paying(accounts: AccountManager) -> Account:
    keys = await accounts.create_key("tests", credits=CREDITS)
    return await accounts.authenticate(keys.public_key, keys.secret_key)


@pytest.mark.parametrize("comes_up", [False, True])
async def test_the_end_of_the_manager_ends_starts_and_gives_their_credits_back(
    make_manager: MakeManager, accounts: AccountManager, tier: UnsafeTier, comes_up: bool
) -> None:
    stuck = StuckTier(tier if comes_up else None)
    manager = make_manager(stuck)
    account = await paying(accounts)
    opening = asyncio.create_task(manager.open(account, space="s"))
    async with asyncio.timeout(DEADLINE_S):
        await stuck.is_asked.wait()
        await manager.aclose()
        with pytest.raises(SandboxUnavailableError, match="stopping"):
            await opening
    assert (await accounts.balance(account.id)).total == CREDITS
    assert len(manager) == 0
    assert stuck.sandbox is None or not stuck.sandbox.is_alive


async def test_a_closed_manager_opens_no_room(make_manager: MakeManager, accounts: AccountManager) -> None:
    manager = make_manager()
    await manager.aclose()
    account = await paying(accounts)
    with pytest.raises(SandboxUnavailableError, match="stopping"):
        await manager.open(account, space="s")
    assert (await accounts.balance(account.id)).total == CREDITS


async def test_a_caller_who_is_cancelled_gets_no_other_error(
    make_manager: MakeManager, accounts: AccountManager
) -> None:
    stuck = StuckTier()
    manager = make_manager(stuck)
    account = await paying(accounts)
    opening = asyncio.create_task(manager.open(account, space="s"))
    async with asyncio.timeout(DEADLINE_S):
        await stuck.is_asked.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert (await accounts.balance(account.id)).total == CREDITS


async def test_the_end_of_the_manager_waits_for_logs_that_are_still_read(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager()
    room = (await manager.open(LOCAL_ACCOUNT, space="s")).room
    removed = asyncio.Event()
    close = room.log.aclose

    async def close_late(*, delete: bool = False) -> None:
        await asyncio.sleep(0.05)  # a reader who has not come to the end yet
        await close(delete=delete, linger_s=0)
        removed.set()

    monkeypatch.setattr(room.log, "aclose", close_late)
    async with asyncio.timeout(DEADLINE_S):
        await room.aclose("test")
        while len(manager):
            await asyncio.sleep(0)
        await manager.aclose()
    assert removed.is_set()


async def test_a_countdown_that_came_to_its_end_was_not_called_off(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "LOOK_EVERY_S", 0.01)
    manager = make_manager(settings=RoomSettings(idle_s=0.3))
    room = (await manager.open(LOCAL_ACCOUNT, space="s")).room
    close = room.sandbox.aclose

    async def close_slowly(cause: str) -> None:
        for _ in range(30):
            await asyncio.sleep(0.01)  # the manager looks meanwhile
        await close(cause)

    monkeypatch.setattr(room.sandbox, "aclose", close_slowly)
    said: list[float | None] = []
    append = room.log.append

    def listen(event: object) -> object:
        if isinstance(event, IdleCountdown):
            said.append(event.seconds)
        return append(event)  # type: ignore[arg-type]

    monkeypatch.setattr(room.log, "append", listen)
    async with asyncio.timeout(DEADLINE_S):
        await room.ended.wait()
    assert room.end_reason == "idle"
    assert said
    assert None not in said


async def test_a_room_ends_for_everybody_even_when_its_sandbox_cannot_be_released(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager()
    room = (await manager.open(LOCAL_ACCOUNT, space="s")).room
    close = room.sandbox.aclose

    async def fail(cause: str) -> None:
        await close(cause)
        raise OSError("the cgroup is busy")

    monkeypatch.setattr(room.sandbox, "aclose", fail)
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(OSError, match="busy"):
            await room.aclose("test")
        await room.ended.wait()
        await manager.aclose()
    assert len(manager) == 0


@pytest.mark.parametrize("life_s", [None, 1000.0])
async def test_wall_time_of_its_own_limits_ends_a_room_with_the_event_time(
    make_manager: MakeManager, life_s: float | None
) -> None:
    manager = make_manager(settings=RoomSettings(life_s=life_s))
    room = (await manager.open(LOCAL_ACCOUNT, space="s", limits=Limits(wall_s=0.2))).room
    program = await room.sandbox.spawn(["sleep", "1000"])
    named: list[Breach] = []
    room.sandbox.subscribe(lambda breach, _: named.append(breach))
    async with asyncio.timeout(DEADLINE_S):
        await room.ended.wait()
        # Whichever comes first tells of the end: the program's signal, or the supervisor that is gone.
        with suppress(SandboxGoneError):
            assert (await program.wait()).signal is not None
    program.close()
    assert (room.end_reason, named) == ("time", [Breach.TIME])
    assert not room.sandbox.is_alive


async def test_a_gateway_that_is_closed_while_it_starts_does_not_serve(tmp_path: Path) -> None:
    gateway = Gateway(GatewaySettings(data_dir=tmp_path, tier="unsafe", allow_unsafe=True))
    starting = asyncio.create_task(gateway.start())
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.sleep(0)
        await asyncio.gather(gateway.aclose(), gateway.aclose())
        with pytest.raises(SandboxUnavailableError, match="stopped"):
            await starting
        with pytest.raises(SandboxUnavailableError, match="stopped"):
            await gateway.ready()
        with pytest.raises(SandboxUnavailableError, match="stopped"):
            await gateway.start()
