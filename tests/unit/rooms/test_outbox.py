"""Frames that wait for a slow reader are bounded, and nothing is lost."""

from __future__ import annotations

import asyncio

from embedenv_jupyter.rooms.outbox import MAX_WAITING_BYTES, Outbox


async def test_frames_come_in_order() -> None:
    outbox = Outbox(lambda: [b"whole"])
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    assert not taking.done()
    outbox.put(b"a")
    outbox.put(b"b")
    assert await taking == [b"a", b"b"]
    outbox.put(b"c")
    assert await outbox.take() == [b"c"]


async def test_who_is_behind_gets_everything_instead_once() -> None:
    outbox = Outbox(lambda: [b"whole"])
    piece = bytes(MAX_WAITING_BYTES // 4 + 1)
    for _ in range(50):
        outbox.put(piece)
    assert await outbox.take() == [b"whole"]
    outbox.put(b"next")
    assert await outbox.take() == [b"next"]


async def test_one_large_frame_is_sent_as_it_is() -> None:
    outbox = Outbox(lambda: [b"whole"])
    large = bytes(MAX_WAITING_BYTES + 1)
    outbox.put(large)
    assert await outbox.take() == [large]
