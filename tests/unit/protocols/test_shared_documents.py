"""Frames of shared documents: what they mean, what is none, and that pycrdt says the same."""

from __future__ import annotations

import json

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError
from embedenv_jupyter.protocols.shared_documents import (
    MAX_CLIENTS,
    MAX_STATE_BYTES,
    Awareness,
    ClientState,
    Frame,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
    decode,
    decode_vector,
    encode,
    gone,
)

NUMBERS = st.integers(0, (1 << 53) - 1)
STATES = st.builds(
    ClientState, NUMBERS, NUMBERS,
    st.one_of(st.none(), st.dictionaries(st.text(), st.text())).map(lambda state: json.dumps(state).encode()),
)  # fmt: skip
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(SyncStep1, st.binary()), st.builds(SyncStep2, st.binary()), st.builds(Update, st.binary()),
    st.builds(Awareness, st.lists(STATES, max_size=5).map(tuple)), st.just(QueryAwareness()),
)  # fmt: skip


@given(FRAMES)
def test_a_frame_is_read_as_it_was_written(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


BROKEN = FRAMES.map(encode).flatmap(lambda data: st.sampled_from([data[:-1], data + b"x"]))


@given(st.binary(max_size=200) | BROKEN)
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    try:
        frame = decode(data)
    except RemoteProtocolError:
        return
    assert decode(encode(frame)) == frame


@given(st.binary(max_size=100))
def test_any_bytes_are_a_vector_or_refused(data: bytes) -> None:
    try:
        clocks = decode_vector(data)
    except RemoteProtocolError:
        return
    assert all(clock >= 0 for clock in clocks.values())


def test_pycrdt_writes_and_reads_the_same_frames() -> None:
    doc: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc({"source": pycrdt.Text("hello")}, client_id=77)
    first = decode(pycrdt.create_sync_message(doc))
    assert isinstance(first, SyncStep1)
    assert decode_vector(first.vector) == {77: 5}
    other: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc()
    reply = pycrdt.handle_sync_message(encode(SyncStep1(other.get_state()))[1:], doc)
    assert reply is not None
    missing = decode(reply)
    assert isinstance(missing, SyncStep2)
    pycrdt.handle_sync_message(encode(Update(missing.update))[1:], other)
    assert str(other.get("source", type=pycrdt.Text)) == "hello"


def test_what_clients_show_is_bounded() -> None:
    with pytest.raises(RemoteProtocolError, match="clients; 100 are allowed"):
        decode(encode(Awareness((ClientState(1, 1, b"{}"),) * (MAX_CLIENTS + 1))))
    large = json.dumps({"x": "y" * MAX_STATE_BYTES}).encode()
    with pytest.raises(RemoteProtocolError, match="are allowed") as caught:
        decode(encode(Awareness((ClientState(1, 1, large),))))
    assert caught.value.code is CloseCode.TOO_BIG
    for state in (b"[]", b"1", b"{", b"", b'{"a":' * 3_000):
        with pytest.raises(RemoteProtocolError, match="JSON object"):
            decode(encode(Awareness((ClientState(1, 1, state),))))


def test_numbers_beyond_53_bits_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="53 bits"):
        decode(b"\x00\x00" + b"\xff" * 9)


def test_who_is_gone_has_a_newer_clock() -> None:
    (state,) = gone([ClientState(5, 3, b"{}")]).states
    assert (state.client, state.clock, state.is_gone) == (5, 4, True)
