from __future__ import annotations

import base64
import itertools
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.exchange import Start, Stream
from embedenv_jupyter.client.flow import Buffering, Gate
from embedenv_jupyter.client.frames import Chunk, Done, End, Error, RunNumber
from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.client.run import Run
from embedenv_jupyter.errors import BusyError, ConnectionLostError, RemoteProtocolError


def make(*, is_base64: bool = False) -> Stream:
    return Stream(Gate(Buffering()), is_base64=is_base64)


def taken(stream: Stream) -> list[bytes | str]:
    return [stream.pieces.take_now() for _ in range(len(stream.pieces))]


def test_an_answer_of_chunks_ends_with_end() -> None:
    stream = make()
    assert not stream.receive(Chunk("a"))
    assert not stream.receive(Done())
    assert stream.receive(End())
    assert taken(stream) == ["a"]


async def test_a_refusal_ends_an_answer() -> None:
    stream = make()
    stream.receive(Chunk("a"))
    assert stream.receive(Error("nothing listens on port 3000"))
    assert await stream.pieces.take() == "a"
    with pytest.raises(RefusedError, match="port 3000"):
        await stream.pieces.take()


async def test_base64_that_is_none_is_the_peers_fault() -> None:
    stream = make(is_base64=True)
    assert stream.receive(Chunk("!!!!"))
    with pytest.raises(RemoteProtocolError, match="base64"):
        await stream.pieces.take()


def cut(text: str, places: list[int]) -> list[str]:
    borders = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(borders)]


places = st.lists(st.integers(0, 1000), max_size=6)


@given(
    text=st.text(max_size=60), first=places, again=places, arrived=st.integers(0, 7), cuts=st.integers(1, 3)
)
def test_a_restarted_answer_is_taken_up_where_it_was(
    text: str, first: list[int], again: list[int], arrived: int, cuts: int
) -> None:
    stream = make()
    for _ in range(cuts):
        for chunk in cut(text, first)[:arrived]:
            stream.receive(Chunk(chunk))
        stream.restarted()
    for chunk in cut(text, again):
        stream.receive(Chunk(chunk))
    stream.receive(End())
    assert "".join(map(str, taken(stream))) == text


@given(content=st.binary(max_size=60), first=places, again=places, arrived=st.integers(0, 7))
def test_so_is_one_in_base64(content: bytes, first: list[int], again: list[int], arrived: int) -> None:
    text = base64.b64encode(content).decode()
    stream = make(is_base64=True)
    for chunk in cut(text, first)[:arrived]:
        stream.receive(Chunk(chunk))
    stream.restarted()
    for chunk in cut(text, again):
        stream.receive(Chunk(chunk))
    assert b"".join(piece for piece in taken(stream) if isinstance(piece, bytes)) == content


@pytest.mark.parametrize("again", [["axc", "d"], ["a"], []])
async def test_an_answer_that_changed_is_not_put_together(again: list[str]) -> None:
    stream = make()
    stream.receive(Chunk("ab"))
    stream.restarted()
    assert any([*(stream.receive(Chunk(chunk)) for chunk in again), stream.receive(End())])
    assert await stream.pieces.take() == "ab"
    with pytest.raises(ConnectionLostError, match="ask again"):
        await stream.pieces.take()


def test_each_chunk_may_be_padded_by_itself() -> None:
    stream = make(is_base64=True)
    for part in (b"a", b"bc", b"def"):
        stream.receive(Chunk(base64.b64encode(part).decode()))
    assert taken(stream) == [b"a", b"bc", b"def"]


class Claims:
    """Gives a run for a number and remembers which."""

    def __init__(self) -> None:
        self.numbers: list[object] = []

    def claim(self, number: RunNumber, command: str) -> Run:
        self.numbers.append(number)
        return Run(Mock(), Gate(Buffering()), command)


def starting() -> tuple[Start, Claims]:
    claims = Claims()
    return Start("ls", claims.claim), claims


async def test_a_run_is_ours_if_it_started_with_our_line() -> None:
    for done_first in (True, False):
        start, claims = starting()
        reports = [lambda s: s.receive(Done("id", "r2")), lambda s: s.run_started("r2", "ls")]
        outcomes = [report(start) for report in (reports if done_first else reversed(reports))]
        assert outcomes == [False, True]
        assert claims.numbers == ["r2"]
        assert (await start.future).command == "ls"


async def test_a_run_of_another_line_got_ours_as_input() -> None:
    start, claims = starting()
    start.run_started("r1", "cat")
    assert start.receive(Done("id", "r1"))
    with pytest.raises(BusyError, match="as its input"):
        await start.future
    assert claims.numbers == []


async def test_a_run_that_prints_without_having_started_is_older() -> None:
    start, _ = starting()
    assert not start.receive(Done("id", "r1"))
    assert start.run_printed("r1")
    with pytest.raises(BusyError):
        await start.future


async def test_a_start_that_may_be_in_a_gap_is_believed() -> None:
    start, claims = starting()
    assert not start.receive(Done("id", "r7"))
    assert start.lost(Gap(3, 9, 7))
    assert (await start.future).gaps == [Gap(3, 9, 7)]
    assert claims.numbers == ["r7"]


async def test_without_a_number_the_first_run_with_our_line_is_ours() -> None:
    start, claims = starting()
    start.run_started("r1", "cat")
    start.run_started("r2", "ls")
    assert start.receive(Done("id"))
    await start.future
    assert claims.numbers == ["r2"]


async def test_a_refused_line_starts_nothing() -> None:
    start, _ = starting()
    assert start.receive(Error("no credits"))
    with pytest.raises(RefusedError, match="no credits"):
        await start.future
