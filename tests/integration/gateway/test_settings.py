"""What an operator sets on ``EmbedenvApp`` takes effect (patience with peers: tests/integration/spaces)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import websockets
from traitlets.config import Config

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.sandbox import probe
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.probe import TierReport
from embedenv_jupyter.sandbox.spec import MIB, Limits, SandboxSpec
from embedenv_jupyter.sandbox.tiers.container import DEFAULT_IMAGE, ContainerTier
from tests.integration.conftest import DEADLINE_S, Dial, Peer, Served

SMALL = {
    "memory_mib": 200, "pids": 50, "cpu_cores": 0.5,
    "open_files": 300, "file_mib": 3, "workspace_mib": 9, "tmp_mib": 5,
}  # fmt: skip


def configured(**traits: Any) -> pytest.MarkDecorator:
    """Run a test in a gateway with these traits."""
    return pytest.mark.parametrize("embedenv_config", [traits], ids=[", ".join(traits)])


async def greeted(peer: Peer, served: Served) -> dict[str, Any]:
    await peer.send(type="init", public_key=served.public_key, secret_key=served.secret_key)
    return await peer.receive()


@configured(**SMALL)
async def test_limits_reach_the_room(served: Served, host: Peer) -> None:
    (room,) = served.gateway.rooms
    assert room.sandbox.spec.limits == Limits(
        memory_bytes=200 * MIB, pids=50, cpu_cores=0.5, open_files=300, file_bytes=3 * MIB,
        workspace_bytes=9 * MIB, tmp_bytes=5 * MIB,
    )  # fmt: skip
    assert await host.output("ulimit -n; ulimit -f") == f"300\n{3 * 1024}\n"
    if room.sandbox.own_disk:
        assert (await host.output("df -k --output=size . /tmp | grep -v K")).split() == ["9216", "5120"]


@configured(memory_mib=0, pids=0, cpu_cores=0, file_mib=0)
async def test_zero_is_no_limit(served: Served, host: Peer) -> None:
    (room,) = served.gateway.rooms
    limits = room.sandbox.spec.limits
    assert (limits.memory_bytes, limits.pids, limits.cpu_cores, limits.file_bytes) == (None,) * 4
    assert await host.output("ulimit -f") == "unlimited\n"


@configured(max_rooms=1)
async def test_no_more_rooms_than_allowed(served: Served, host: Peer, dial: Dial) -> None:
    answer = await greeted(await dial(), served)
    assert answer["type"] == "error"
    assert "holds 1 rooms already" in answer["message"]


@configured(life_s=0.5)
async def test_a_room_ends_after_its_life(served: Served, host: Peer) -> None:
    (room,) = served.gateway.rooms
    async with asyncio.timeout(DEADLINE_S):
        await room.ended.wait()
    assert room.end_reason == "time"


@configured(idle_s=0.5)
async def test_a_room_that_nobody_uses_ends(served: Served, host: Peer) -> None:
    (room,) = served.gateway.rooms
    await host.socket.close()
    async with asyncio.timeout(DEADLINE_S):
        await room.ended.wait()
    assert room.end_reason == "idle"


@configured(mount_at_root=False)
async def test_the_routes_at_the_root_can_be_switched_off(served: Served, dial: Dial) -> None:
    with pytest.raises(websockets.InvalidStatus, match="404"):
        await dial()
    peer = await dial(served.spaces_url.replace("/ws/spaces", "/embedenv/ws/spaces"))
    assert (await greeted(peer, served))["type"] == "init"


@configured(allowed_origins=["https://docs.example/"])
async def test_pages_of_listed_origins_may_open_sockets(served: Served, dial: Dial) -> None:
    peer = await dial(origin="https://docs.example")
    assert (await greeted(peer, served))["type"] == "init"
    with pytest.raises(websockets.InvalidStatus, match="403"):
        await dial(origin="https://elsewhere.example")


@configured(tier="unsafe", allow_unsafe=True)
async def test_the_tier_is_the_one_that_was_named(served: Served, host: Peer) -> None:
    (room,) = served.gateway.rooms
    assert room.sandbox.tier_name == "unsafe"


@pytest.mark.parametrize("embedenv_config", [{"image": "localhost/mine:1"}, {}], ids=["named", "default"])
async def test_image_of_containers_reaches_the_tier(
    jp_serverapp: Any, embedenv_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMBEDENV_DATA_DIR", str(tmp_path))  # where findings are kept; these are made up
    asked: list[Image | None] = []

    async def try_tier(name: str, image: Image | None = None) -> TierReport:
        works = name == "podman"
        asked.extend([image] if works else [])
        return TierReport(name, works, works)

    monkeypatch.setattr(probe, "try_tier", try_tier)
    (app,) = jp_serverapp.extension_manager.extension_apps["embedenv_jupyter"]
    settings = replace(app.gateway.settings, tier="auto", pool_size=0)
    gateway = Gateway(settings)
    try:
        await gateway.start()
        assert isinstance(gateway.tier, ContainerTier)
        expected = embedenv_config.get("image")
        assert asked == [Image.named(expected) if expected else None]
        spec = SandboxSpec(id="r")
        words = gateway.tier.run_arguments(spec, 1000, "/tmp/call", "name")
        assert (expected or DEFAULT_IMAGE) in words
    finally:
        await gateway.aclose()


@configured(tier="unsafe")
async def test_no_isolation_must_be_allowed(jp_serverapp: Any, embedenv_config: dict[str, Any]) -> None:
    (app,) = jp_serverapp.extension_manager.extension_apps["embedenv_jupyter"]
    with pytest.raises(SandboxUnavailableError, match="not allowed"):
        await app.gateway.start()


@pytest.fixture
def own_database(tmp_path: Path, jp_server_config: Config) -> Path:
    path = tmp_path / "elsewhere.db"
    jp_server_config.EmbedenvApp.database_url = f"sqlite:///{path}"
    return path


async def test_accounts_are_where_the_operator_says(own_database: Path, served: Served) -> None:
    assert own_database.exists()
    assert served.gateway.settings.data_dir.is_dir()
    assert not (served.gateway.settings.data_dir / "embedenv.db").exists()
