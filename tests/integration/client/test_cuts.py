"""The promise of the client: 20,000 numbered frames through 200 cuts, each exactly once and in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from embedenv_jupyter.client import ExitStatus, Retry, Room, open_room
from tests.integration.client.cutting_proxy import CuttingProxy
from tests.integration.client.numbered_server import KEY, NumberedServer

LINES = 10_000
CUTS = 200
AHEAD = 5
"""So many lines may be under way: answers to commands are behind no more than that."""
UP_TO_BYTES = 9_000
"""About 1.4 MB are sent: with cuts after 4.5 kB on average, all of them fall into the transmission."""
PATIENT = Retry(base_s=0.0005, cap_s=0.005, give_up_s=30, first_s=30)


def record(room: Room) -> list[int]:
    """Write down the number of every frame that the session lets through."""
    numbers: list[int] = []
    original: Callable[..., list[object]] = room._session.receive  # type: ignore[assignment]

    def receive(data: bytes) -> list[object]:
        frames = original(data)
        numbers.extend(n for frame in frames if (n := getattr(frame, "n", None)) is not None)
        return frames

    room._session.receive = receive  # type: ignore[method-assign, assignment]
    return numbers


async def change_files(room: Room, written: list[str], ended: asyncio.Event) -> None:
    """Send commands all the while; each must be carried out once, whatever is cut."""
    while not ended.is_set():
        name = f"file-{len(written)}"
        await room.files.write(name, name)
        assert await room.files.read_text(name) == name
        written.append(name)


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_frame_comes_exactly_once_and_in_order(seed: int) -> None:
    dice = random.Random(seed)
    async with NumberedServer().serving() as server, asyncio.timeout(100):
        proxy = CuttingProxy(server.port, dice, cuts=CUTS, up_to_bytes=UP_TO_BYTES)
        async with proxy.serving():
            room = await open_room(
                f"http://127.0.0.1:{proxy.port}/",
                join=KEY,
                history=True,
                retry=PATIENT,
                environment={},
                dice=dice.random,
            )
            numbers = record(room)
            written: list[str] = []
            ended = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(change_files(room, written, ended))
                run = await room.shell(f"pace {LINES} {AHEAD}")
                lines = []
                async for line in run:
                    lines.append(line)
                    await server.consume(len(lines))
                ended.set()
            assert await run.wait() == ExitStatus(0)
            await room.close()
    assert lines == [str(number) for number in range(LINES)]
    assert numbers == list(range(1, len(server.log.frames) + 1))
    assert len(numbers) >= 20_000
    assert run.gaps == []
    assert proxy.cuts == CUTS
    assert len(written) > CUTS / 4
    assert server.files == {f"project/{name}": name.encode() for name in written}
    assert len(server.carried_out) == len(set(server.carried_out)) == 1 + 2 * len(written)
    assert server.complaints == []
    print(
        f"\n{len(numbers)} frames and {len(server.carried_out)} commands,"
        f" {proxy.connections} connections, {proxy.cuts} of them cut"
    )


async def test_a_file_is_read_whole_through_cuts() -> None:
    dice = random.Random(3)
    content = dice.randbytes(50_000)
    async with NumberedServer().serving() as server, asyncio.timeout(60):
        server.files["project/big"] = content
        proxy = CuttingProxy(server.port, dice, cuts=20, up_to_bytes=60_000)
        async with proxy.serving():
            room = await open_room(
                f"http://127.0.0.1:{proxy.port}/", join=KEY, retry=PATIENT, environment={}, dice=dice.random
            )
            for _ in range(5):
                assert await room.files.read("big") == content
            await room.close()
    assert proxy.cuts > 10
    assert server.complaints == []
