"""Frames and notices of the kernel protocol: golden ones, and any bytes."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.protocols.kernels import Message

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "kernels.json").read_text(encoding="utf-8"))

channels = st.sampled_from(sorted(protocol.CHANNELS))
messages = st.builds(Message, channels, st.lists(st.binary(max_size=40), min_size=4, max_size=9).map(tuple))


def named(entries: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=[entry["name"] for entry in entries])


def message_of(entry: dict[str, Any]) -> Message:
    parts = (*(part.encode() for part in entry["parts"]), *map(bytes.fromhex, entry["buffers"]))
    return Message(entry["channel"], parts)


@named(GOLDEN["accept"])
def test_a_golden_frame_means_what_the_file_says(entry: dict[str, Any]) -> None:
    message, frame = message_of(entry), bytes.fromhex(entry["frame"])
    assert protocol.decode(frame) == message
    assert protocol.encode(message) == frame
    assert protocol.decode_numbered(struct.pack("<Q", 7) + frame) == (7, message)
    assert message.size_bytes == sum(map(len, message.parts))


@named(GOLDEN["reject"])
def test_a_golden_reject_is_refused_with_its_reason(entry: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        protocol.decode(bytes.fromhex(entry["frame"]), protocol.CLIENT_CHANNELS)
    assert str(caught.value) == entry["reason"]


@given(messages)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    frame = protocol.encode(message)
    assert protocol.decode(frame) == message
    assert protocol.decode_numbered(protocol.encode_numbered((1 << 64) - 1, message)) == (
        (1 << 64) - 1,
        message,
    )


@given(messages)
def test_jupyter_itself_reads_and_writes_the_same_frames(message: Message) -> None:
    channel, parts = deserialize_msg_from_ws_v1(protocol.encode(message))  # type: ignore[no-untyped-call]
    assert (channel, tuple(bytes(part) for part in parts)) == (message.channel, message.parts)
    # Jupyter's function takes the four parts and buffers as they lie behind a signature.
    written = serialize_msg_to_ws_v1(list(message.parts), message.channel)  # type: ignore[no-untyped-call]
    assert written == protocol.encode(message)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_the_peers_fault(data: bytes) -> None:
    for read in (protocol.decode, protocol.decode_numbered, protocol.decode_notice):
        with contextlib.suppress(RemoteProtocolError):
            read(data)


@given(messages, st.data())
def test_any_change_of_a_frame_is_a_message_or_the_peers_fault(message: Message, data: st.DataObject) -> None:
    frame = bytearray(protocol.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at] = data.draw(st.integers(0, 255))
    try:
        read = protocol.decode(bytes(frame))
    except RemoteProtocolError:
        return
    assert protocol.encode(read) == bytes(frame)


def test_the_refusal_of_a_giant_channel_is_short() -> None:
    frame = protocol.encode(Message("x" * 1_000_000, (b"", b"", b"", b"")))
    with pytest.raises(RemoteProtocolError) as caught:
        protocol.decode(frame)
    assert len(str(caught.value)) < 200


def test_so_many_buffers_are_allowed_and_no_more() -> None:
    parts = (b"{}",) * 4
    most = Message("shell", parts + (b"",) * protocol.MAX_BUFFERS)
    assert protocol.decode(protocol.encode(most)) == most
    with pytest.raises(RemoteProtocolError, match="offsets"):
        protocol.decode(protocol.encode(Message("shell", (*most.parts, b""))))


# Notices.


@pytest.mark.parametrize("entry", GOLDEN["notices"], ids=lambda entry: entry["kind"])
def test_a_golden_notice_means_what_the_file_says(entry: dict[str, Any]) -> None:
    notice = protocol.decode_notice(entry["text"])
    assert type(notice).__name__ == entry["kind"]
    assert {name: getattr(notice, name) for name in entry["fields"]} == entry["fields"]
    assert protocol.encode_notice(notice) == entry["text"]


@pytest.mark.parametrize("text", GOLDEN["bad_notices"])
def test_what_is_no_notice_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="not a notice of a kernel"):
        protocol.decode_notice(text)


@pytest.mark.parametrize(
    "text", ["\ud800", '{"type":"\ud800"}', b'{"type":"\xff"}', '{"x":' + "[" * 50_000], ids=ascii
)
def test_text_that_is_none_is_refused_as_well(text: str | bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        protocol.decode_notice(text)


@given(st.text() | st.recursive(st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_a_notice_or_the_peers_fault(text: str) -> None:
    try:
        notice = protocol.decode_notice(text)
    except RemoteProtocolError:
        return
    assert isinstance(notice, protocol.Notice)


@given(st.builds(protocol.Hello, st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)))
def test_later_fields_of_a_notice_are_ignored(hello: protocol.Hello) -> None:
    fields = {**json.loads(protocol.encode_notice(hello)), "later": {"a": [1]}}
    assert protocol.decode_notice(msgspec.json.encode(fields)) == hello


def test_acknowledgement_of_what_is_answered_goes_with_the_answer() -> None:
    receiver = protocol.ServerReceiver()
    for number in (1, 2):
        assert receiver.receive(number)
        assert not receiver.done(number, 100, is_answered=True)
    assert receiver.acknowledgement() == protocol.Ack(2)
    assert receiver.acknowledgement() is None, "it was said"
    assert receiver.receive(3)
    assert receiver.done(3, 100, is_answered=False)
    assert receiver.acknowledgement() == protocol.Ack(3)


def test_message_that_is_still_handed_on_is_not_acknowledged() -> None:
    receiver = protocol.ServerReceiver()
    assert receiver.receive(1)
    assert receiver.acknowledgement() is None
    receiver.done(1, 100, is_answered=True)
    assert receiver.receive(2)
    assert receiver.acknowledgement() == protocol.Ack(1)


def test_much_is_acknowledged_without_an_answer() -> None:
    receiver = protocol.ServerReceiver()
    sizes = [protocol.ACK_BYTES // 2, protocol.ACK_BYTES // 2, 1]
    due = []
    for number, size in enumerate(sizes, 1):
        assert receiver.receive(number)
        due.append(receiver.done(number, size, is_answered=True))
    assert due == [False, True, True]
    assert receiver.acknowledgement() == protocol.Ack(3)
