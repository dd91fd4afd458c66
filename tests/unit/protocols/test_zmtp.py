"""ZMTP as a kernel speaks it: bytes that libzmq sent, cut anywhere, and bytes that nobody should send."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.protocols import zmtp
from embedenv_jupyter.protocols.zmtp import MAX_COMMAND_BYTES, MAX_PARTS, ZmtpSession, encode_message

# Recorded from pyzmq 27.3 (libzmq 4.3.5).
GREETING = bytes.fromhex("ff00000000000000017f0301" + "4e554c4c" + 48 * "00")
ROUTER_READY = bytes.fromhex(
    "0429" + "0552454144590b536f636b65742d5479706500000006524f55544552084964656e7469747900000000"
)
ROUTER_MESSAGE = (
    bytes.fromhex("01093c4944537c4d53473e0140" + 64 * "73" + "01027b7d0100")
    + bytes.fromhex("02000000000000012c")
    + b"x" * 300
)
XPUB_READY = bytes.fromhex("041a0552454144590b536f636b65742d547970650000000458505542")
XPUB_WELCOME = bytes.fromhex("000777656c636f6d65")
XPUB_MESSAGE = bytes.fromhex("0105746f70696300036f6e65")

ROUTER = GREETING + ROUTER_READY + ROUTER_MESSAGE
ROUTER_SAYS = [(b"<IDS|MSG>", b"s" * 64, b"{}", b"", b"x" * 300)]
XPUB = GREETING + XPUB_READY + XPUB_WELCOME + XPUB_MESSAGE
XPUB_SAYS = [(b"welcome",), (b"topic", b"one")]

HELLO = GREETING + ROUTER_READY


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for begin, end in pairwise(bounds):
        yield data[begin:end]


def received(data: bytes, cuts: list[int], socket_type: str = "DEALER") -> list[tuple[bytes, ...]]:
    session = ZmtpSession(socket_type)
    return [message for piece in pieces(data, cuts) for message in session.receive_data(piece)]


def greeted() -> ZmtpSession:
    session = ZmtpSession("DEALER")
    assert session.receive_data(HELLO) == []
    assert session.is_ready
    return session


# What a kernel's sockets say.


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_what_a_router_sent_is_read_however_it_is_cut(cuts: list[int]) -> None:
    assert received(ROUTER, cuts) == ROUTER_SAYS


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_what_an_xpub_sent_is_read_however_it_is_cut(cuts: list[int]) -> None:
    assert received(XPUB, cuts, "SUB") == XPUB_SAYS


def test_bytes_that_come_one_by_one_are_read_as_well() -> None:
    assert received(ROUTER, list(range(len(ROUTER)))) == ROUTER_SAYS


def test_the_opening_is_a_greeting_and_who_we_are() -> None:
    opening = ZmtpSession("DEALER", b"client-1").opening()
    assert opening[:64] == GREETING[:8] + b"\0\x7f\x03\x00" + GREETING[12:]
    theirs = ROUTER_READY.replace(b"ROUTER", b"DEALER").replace(b"\0\0\0\0", b"\0\0\0\x08client-1")
    assert opening[64:] == bytes((4, len(theirs) - 2)) + theirs[2:]
    assert ZmtpSession("DEALER").subscription() == b""


def test_a_subscriber_asks_for_everything() -> None:
    assert ZmtpSession("SUB").subscription() == b"\x00\x01\x01"


def test_a_session_is_ready_only_after_the_peers_ready() -> None:
    session = ZmtpSession("DEALER")
    for byte in HELLO:
        assert not session.is_ready
        session.receive_data(bytes((byte,)))
    assert session.is_ready


@given(st.lists(st.lists(st.binary(max_size=600), min_size=1, max_size=6).map(tuple), max_size=5), st.data())
def test_messages_are_read_as_they_were_written(
    messages: list[tuple[bytes, ...]], data: st.DataObject
) -> None:
    stream = HELLO + b"".join(map(encode_message, messages))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    assert received(stream, cuts) == messages


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_535, 65_536])
def test_sizes_at_the_borders_of_the_two_forms(size: int) -> None:
    assert greeted().receive_data(encode_message([b"x" * size, b"y"])) == [(b"x" * size, b"y")]


def test_a_command_that_we_do_not_know_is_passed_over_even_within_a_message() -> None:
    ping = b"\x04\x07\x04PING\0\1"
    message = encode_message([b"a", b"b"])
    assert greeted().receive_data(ping + message[:3] + ping + message[3:]) == [(b"a", b"b")]
    assert greeted().receive_data(b"\x04\x00" + b"\x04\x01\xff") == []


# What nobody should send.


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n".ljust(64), "does not speak ZMTP 3"),
        (GREETING[:9] + b"\0" + GREETING[10:], "does not speak ZMTP 3"),
        (GREETING[:10] + b"\1" + GREETING[11:], "does not speak ZMTP 3"),
        (GREETING[:12] + b"CURVE".ljust(20, b"\0") + GREETING[32:], "another security mechanism than NULL"),
        (GREETING[:12] + b"NULLX".ljust(20, b"\0") + GREETING[32:], "another security mechanism than NULL"),
    ],
)
def test_another_greeting_is_refused(greeting: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        ZmtpSession("DEALER").receive_data(greeting)


def test_a_peer_that_refuses_us_is_quoted_in_short() -> None:
    error = b"\x05ERROR\xfa" + b"no such identity " * 40
    frame = b"\x06" + struct.pack(">Q", len(error)) + error
    with pytest.raises(RemoteProtocolError, match="refused us: no such identity") as caught:
        ZmtpSession("DEALER").receive_data(GREETING + frame)
    assert len(str(caught.value)) < 300


def test_unknown_flags_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="unknown flags: 0x8"):
        greeted().receive_data(b"\x08\x00")


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(zmtp, "MAX_MESSAGE_BYTES", 1000)
    return 1000


def test_the_largest_message_is_read_and_one_byte_more_is_not(small_messages: int) -> None:
    half = b"x" * (small_messages // 2)
    assert greeted().receive_data(encode_message([half, half])) == [(half, half)]
    with pytest.raises(RemoteProtocolError, match="more than the 1000 bytes that are allowed"):
        greeted().receive_data(encode_message([half, half + b"x"]))


@pytest.mark.parametrize("size", [(64 << 20) + 1, 1 << 40, (1 << 64) - 1])
def test_a_giant_is_refused_at_its_announcement(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match="67108864 bytes"):
        greeted().receive_data(b"\x02" + struct.pack(">Q", size))


def test_many_parts_are_bounded_together(small_messages: int) -> None:
    session = greeted()
    for _ in range(small_messages // 10):
        session.receive_data(b"\x01\x0a" + b"0123456789")
    with pytest.raises(RemoteProtocolError, match="1000 bytes"):
        session.receive_data(b"\x01\x0a")


def test_an_endless_message_of_nothing_is_cut_off() -> None:
    session = greeted()
    session.receive_data(b"\x01\x00" * MAX_PARTS)
    with pytest.raises(RemoteProtocolError, match=f"more than {MAX_PARTS} parts"):
        session.receive_data(b"\x01\x00")


def test_a_message_of_most_parts_is_followed_by_others() -> None:
    session = greeted()
    parts = (b"",) * MAX_PARTS
    assert session.receive_data(encode_message(parts) + encode_message([b"a"])) == [parts, (b"a",)]


@pytest.mark.parametrize("size", [MAX_COMMAND_BYTES + 1, 1 << 50])
def test_a_long_command_is_refused_at_its_announcement(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"a command .* has {size} bytes"):
        greeted().receive_data(b"\x06" + struct.pack(">Q", size))


@given(st.binary(max_size=400), st.booleans(), st.lists(st.integers(0, 500), max_size=5))
def test_any_bytes_are_messages_or_the_peers_fault(data: bytes, greets: bool, cuts: list[int]) -> None:
    try:
        messages = received((HELLO if greets else b"") + data, cuts)
    except RemoteProtocolError:
        return
    assert all(isinstance(part, bytes) for message in messages for part in message)
    assert sum(len(part) for message in messages for part in message) <= len(data)


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(0, 500), max_size=8))
def test_where_it_is_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    def outcome(cuts: list[int]) -> object:
        session, got = ZmtpSession("SUB"), []
        try:
            for piece in pieces(HELLO + data, cuts):
                got += session.receive_data(piece)
        except RemoteProtocolError as exc:
            return str(exc)
        return got

    assert outcome(cuts) == outcome([])
