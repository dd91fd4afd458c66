"""What each client gets of a kernel's log, and a kernel's messages in memory and on disk."""

from __future__ import annotations

import gc
import itertools
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.kernels.rendering import PIECE_BYTES, Piece, Renderer
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.rooms.events import KernelMessage, RoomError
from embedenv_jupyter.rooms.log import Gap, Log, Record, replay
from embedenv_jupyter.rooms.log.history import History
from embedenv_jupyter.rooms.log.records import Shelf

PARTS = (b'{"msg_id":"1","msg_type":"stream"}', b"{}", b"{}", b'{"text":"x"}')


def said(channel: str = "iopub", to: str = "", parts: tuple[bytes, ...] = PARTS) -> KernelMessage:
    return KernelMessage(channel=channel, parts=parts, to=to, at=1.0)


def records(*events: KernelMessage | RoomError) -> list[Record]:
    history = History(None, Shelf(1 << 20))
    return [history.append(event) for event in events]


def frames(data: bytes) -> list[bytes]:
    """Split framed messages (RFC 6455 section 5.2; from a server, so without a mask)."""
    found = []
    while data:
        size, at = data[1] & 0x7F, 2
        if size == 126:
            (size,), at = struct.unpack_from("!H", data, 2), 4
        elif size == 127:
            (size,), at = struct.unpack_from("!Q", data, 2), 10
        found.append(data[at : at + size])
        data = data[at + size :]
    return found


def sent(renderer: Renderer, items: list[Record | Gap]) -> list[bytes]:
    return [frame for piece in renderer.render(items) for frame in frames(piece.data)]


def test_everybody_gets_what_is_for_all_and_what_is_for_them() -> None:
    items: list[Record | Gap] = [*records(said(), said("shell", "a"), said("shell", "b"), said("stdin", "a"))]
    channels = {
        id: [protocol.decode(frame).channel for frame in sent(Renderer(id, is_resumable=False), items)]
        for id in ("a", "b", "c")
    }
    assert channels == {"a": ["iopub", "shell", "stdin"], "b": ["iopub", "shell"], "c": ["iopub"]}


def test_numbers_are_those_of_the_log() -> None:
    items: list[Record | Gap] = [*records(said(), said("shell", "b"), said("shell", "a"))]
    numbered = [protocol.decode_numbered(frame) for frame in sent(Renderer("a", is_resumable=True), items)]
    assert [(number, message.channel) for number, message in numbered] == [(1, "iopub"), (3, "shell")]
    assert numbered[0][1].parts == PARTS


def test_what_is_for_all_is_rendered_once_for_each_subprotocol() -> None:
    (record,) = records(said())
    for _ in range(3):
        for id, is_resumable in itertools.product("ab", (True, False)):
            sent(Renderer(id, is_resumable=is_resumable), [record])
    assert record.frames is not None and len(record.frames) == 2
    (own,) = records(said("shell", "a"))
    sent(Renderer("a", is_resumable=True), [own])
    assert not own.frames


def test_the_logs_own_events_are_not_for_clients() -> None:
    assert sent(Renderer("a", is_resumable=True), [*records(RoomError("disk full", at=1.0))]) == []


def test_a_gap_is_a_notice_or_a_sentence_in_the_output() -> None:
    gap = Gap(first=3, last=9, bytes=1234)
    (notice,) = sent(Renderer("a", is_resumable=True), [gap])
    assert protocol.decode_notice(notice) == protocol.Gap(3, 9)
    (plain,) = sent(Renderer("a", is_resumable=False), [gap])
    message = protocol.decode(plain)
    assert message.channel == "iopub"
    assert b"7 messages (1234 bytes) are no longer kept" in message.parts[3]


def test_pieces_are_bounded_and_say_how_far_they_come() -> None:
    large = (*PARTS, b"x" * (PIECE_BYTES // 3))
    items: list[Record | Gap] = [*records(*[said(parts=large)] * 10, said("shell", "b"))]
    pieces: list[Piece] = list(Renderer("a", is_resumable=True).render(items))
    assert [piece.last for piece in pieces] == [3, 6, 9, 11]
    assert all(len(piece.data) < PIECE_BYTES + len(large[-1]) for piece in pieces)


# In the log.


@pytest.mark.parametrize(
    "make",
    [
        lambda n: (b'{"n":%d}' % n, b"%d" % n, b"{}%d" % n, b'{"text":"%d"}' % n),
        lambda n: (b"h%d" % n * 50, b"p%d" % n * 50, b"m%d" % n, b"x" * (3000 + n)),
        lambda n: tuple(b"%d" % (n * 50 + part) for part in range(50)),
        lambda n: (b"%d" % n, b"%d" % n, b"%d" % n, b"%d" % n, bytes(70_000 + n)),
    ],
    ids=["small", "text", "many parts", "a buffer"],
)
def test_the_weight_of_a_message_is_about_what_it_takes(make: object) -> None:
    assert callable(make)
    count = 500
    log = History(None, Shelf(1 << 20))
    gc.collect()
    tracemalloc.start()
    try:
        for index in range(count):
            log.append(KernelMessage(channel="iopub", parts=make(index), at=float(index)))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.4 * log.window.weight_bytes < taken < 1.1 * log.window.weight_bytes


messages = st.builds(
    KernelMessage,
    channel=st.sampled_from(sorted(protocol.CHANNELS)),
    parts=st.lists(st.binary(max_size=300), min_size=4, max_size=7).map(tuple),
    to=st.text(st.characters(codec="utf-8"), max_size=5),
    at=st.floats(0, 1e10),
)


@given(st.lists(messages, min_size=1, max_size=10))
def test_messages_have_one_number_each_and_weigh_their_bytes(events: list[KernelMessage]) -> None:
    made = records(*events)
    assert [record.last for record in made] == list(range(1, len(events) + 1))
    assert [record.size_bytes for record in made] == [sum(map(len, event.parts)) for event in events]


async def test_messages_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", memory_bytes=20_000)
    events = [
        said("iopub" if number % 3 else "shell", "" if number % 3 else "é", (*PARTS, bytes([number]) * 3000))
        for number in range(100)
    ]
    for event in events:
        log.append(event)
        await log.writable()
    async with log.watch(0) as watcher:
        got: list[Record | Gap] = []
        while len(got) < len(events):
            got += await watcher.read()
    assert [record.event for record in got if isinstance(record, Record)] == events
    await log.aclose()
    assert [record.event for record in replay(tmp_path / "log")] == events
