"""Jupyter messages as the gateway reads them: strict with clients, deaf to the nonsense of kernels."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.protocols.kernels import Message

DEEP = b'{"status":' + b"[" * 50_000
NONSENSE = [
    b"",
    b"[]",
    b"nul",
    b"{",
    b'"\xff"',
    b'{"status":"\xff"}',
    b'{"x":"\\ud800"}',
    DEEP,
]

parts = st.lists(st.binary(max_size=60), min_size=4, max_size=6).map(tuple)


def of(content: bytes = b"{}", *, header: bytes = b"{}", parent: bytes = b"{}") -> tuple[bytes, ...]:
    return header, parent, b"{}", content


def test_a_made_message_is_one_that_jupyter_knows() -> None:
    parent = b'{"msg_id":"7"}'
    made = messages.make("iopub", "stream", {"name": "stdout", "text": "é"}, parent=parent, metadata={"a": 1})
    header, parent_read, metadata, content = map(json.loads, made.parts)
    assert (header["msg_type"], header["version"], header["session"]) == ("stream", "5.4", "embedenv")
    assert header["msg_id"] and header["date"].endswith("+00:00")
    assert (parent_read, metadata, content) == (
        {"msg_id": "7"},
        {"a": 1},
        {"name": "stdout", "text": "é"},
    )
    assert messages.id_of(made.parts) == header["msg_id"]
    assert messages.kind_of(made.parts) == "stream"
    assert messages.parent_id(made.parts) == "7"


def test_a_header_is_read_as_far_as_it_matters() -> None:
    raw = b'{"msg_id":"1","msg_type":"x_request","session":"s","username":"ann","version":"5.4","later":[1]}'
    header = messages.header_of(Message("shell", of(header=raw)))
    assert (header.msg_id, header.msg_type, header.session, header.username) == ("1", "x_request", "s", "ann")


@pytest.mark.parametrize("raw", [*NONSENSE, b"{}", b'{"msg_id":1,"msg_type":"x"}', b'{"msg_id":"1"}'])
def test_a_header_that_is_none_is_the_clients_fault(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="header"):
        messages.header_of(Message("shell", of(header=raw)))


def test_a_giant_header_is_not_even_read() -> None:
    raw = json.dumps({"msg_id": "1", "msg_type": "x", "pad": "y" * messages.MAX_HEADER_BYTES}).encode()
    with pytest.raises(RemoteProtocolError, match=f"has {len(raw)} bytes, 65536 are allowed"):
        messages.header_of(Message("shell", of(header=raw)))


@pytest.mark.parametrize("raw", [*NONSENSE, b"{}", b'{"code":1}', b'{"code":"1","silent":"no"}'])
def test_a_request_without_code_is_the_clients_fault(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="execute_request"):
        messages.execute_request(Message("shell", of(raw)))
    if raw != b"{}":
        assert messages.execute_request(Message("shell", of(b'{"code":"1"}'))).stop_on_error


@pytest.mark.parametrize("raw", NONSENSE)
@pytest.mark.parametrize(
    "read",
    [
        messages.status_of, messages.input_request, messages.shown_of, messages.count_of, messages.state_of,
        messages.stream_of, messages.fault_of, messages.code_of, messages.parent_id, messages.id_of,
        messages.kind_of,
    ],
)  # fmt: skip
def test_nonsense_of_a_kernel_is_read_as_nothing(
    read: Callable[[tuple[bytes, ...]], object], raw: bytes
) -> None:
    empty = read(of())
    assert read(of(raw, header=raw, parent=raw)) == empty


@given(parts)
def test_nothing_that_a_kernel_sends_fails(parts: tuple[bytes, ...]) -> None:
    for read in (messages.status_of, messages.state_of, messages.input_request, messages.parent_id):
        read(parts)
    for look in (messages.stream_of, messages.fault_of, messages.shown_of, messages.code_of):
        look(parts)
    messages.with_shown(parts, {})
    assert messages.with_metadata(parts, "a", {})[3:] == parts[3:]


def test_metadata_gets_one_more_entry_and_buffers_stay() -> None:
    parts = (b"h", b"p", b'{"a":1}', b"c", b"\0buffer")
    header, parent, metadata, *rest = messages.with_metadata(parts, "embedenv", {"cost": 1})
    assert (header, parent, rest) == (b"h", b"p", [b"c", b"\0buffer"])
    assert json.loads(metadata) == {"a": 1, "embedenv": {"cost": 1}}


@pytest.mark.parametrize("raw", [b"", b"[]", DEEP])
def test_metadata_that_cannot_be_read_stay_as_they_are(raw: bytes) -> None:
    parts = (b"h", b"p", raw, b"c")
    assert messages.with_metadata(parts, "embedenv", {}) is parts


BOMB = b'{"a":[' + b"{}," * 1_000_000 + b"{}]}"
"""As Python objects more than 64 MiB."""


@contextmanager
def little_memory(limit_bytes: int) -> Iterator[None]:
    """Fail when Python's memory grows by more than this at its peak."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= limit_bytes
    finally:
        tracemalloc.stop()


def test_metadata_that_are_a_bomb_are_left_out_and_their_size_is_told() -> None:
    parts = (b"h", b"p", BOMB, b"c")
    with little_memory(1 << 20):
        metadata = json.loads(messages.with_metadata(parts, "embedenv", {"cost": 1})[2])
    assert metadata == {"embedenv": {"cost": 1, "left_out_bytes": len(BOMB)}}


def test_metadata_are_not_parsed_but_passed_on() -> None:
    raw = b'{"a":[' + b"{}, " * 200_000 + b'{}],"b":1.10}'
    assert len(raw) <= messages.MAX_METADATA_BYTES
    with little_memory(4 * len(raw)):
        metadata = messages.with_metadata((b"h", b"p", raw, b"c"), "embedenv", {"cost": 1})[2]
    assert metadata == raw[:-1] + b',"embedenv":{"cost":1}}'


def test_content_that_is_a_bomb_is_read_as_far_as_it_is_used() -> None:
    said = of(BOMB[:-1] + b',"name":"stderr","text":"t","status":"ok","execution_state":"idle","code":"c"}')
    fault = of(BOMB[:-1] + b',"ename":"E","traceback":["a"]}')
    with little_memory(1 << 20):
        assert messages.stream_of(said) == messages.StreamText("stderr", "t")
        assert messages.status_of(said).status == "ok"
        assert messages.code_of(said) == "c"
        assert messages.state_of(said) == ""
        assert messages.fault_of(fault) == messages.Fault("E", "", ("a",))


def test_what_is_shown_is_passed_on_as_it_was_sent() -> None:
    said = b'{"data":{"a/b+json":' + BOMB + b',"text/plain":"t\\u00e9","x":{"y": 1.10}},"metadata":{"m": 1}}'
    with little_memory(3 * len(said)):
        shown = messages.shown_of(of(said))
        assert shown is not None
        assert bytes(shown.pop("a/b+json")) == BOMB
    assert messages.text_of(shown["text/plain"]) == "t\u00e9"
    assert messages.text_of(shown["x"]) == ""
    changed = messages.with_shown(of(said), shown)
    assert json.loads(changed[3]) == {
        "data": {"text/plain": "t\u00e9", "x": {"y": 1.1}},
        "metadata": {"m": 1},
    }


def test_entries_without_an_end_are_left_out_and_that_is_said() -> None:
    entries = b",".join(b'"%d":1' % i for i in range(messages.MAX_ENTRIES + 1))
    parts = of(b'{"data":{' + entries + b"}}")
    with little_memory(8 << 20):
        assert messages.shown_of(parts) is None
    said = messages.left_out(parts, "display_data")
    assert (
        f"display_data of {len(parts[3])} bytes left out: it has, or may have, more than 200000 entries"
        in said
    )
    request = Message("shell", of(b'{"code":"1",' + entries + b"}"))
    with pytest.raises(RemoteProtocolError, match="more than 200000 entries"):
        messages.with_code(request, "2")
    text = json.dumps({"data": {"text/plain": '":' * (messages.MAX_ENTRIES + 1)}}).encode()
    assert messages.shown_of(of(text)) is not None, "what stands in a text is no entry"


def test_an_error_of_any_size_is_an_error() -> None:
    said = b'{"ename":"E","evalue":"' + b"x" * messages.MAX_WHOLE_BYTES + b'"}'
    assert messages.fault_of(of(said)) is None
    assert "error of 8388" in messages.left_out(of(said), "error")


def test_heads_without_an_end_are_not_read() -> None:
    raw = b'{"msg_id":"1","msg_type":"x","a":"' + b"x" * messages.MAX_HEADER_BYTES + b'"}'
    parts = of(header=raw, parent=raw)
    assert (messages.id_of(parts), messages.kind_of(parts), messages.parent_id(parts)) == ("", "", "")


def test_a_request_with_other_code_keeps_the_rest() -> None:
    message = Message("shell", of(b'{"code":"1","silent":true,"later":{"x": 1.10}}'))
    changed = messages.with_code(message, "2")
    assert (changed.channel, changed.parts[3]) == ("shell", b'{"code":"2","silent":true,"later":{"x": 1.10}}')


def test_an_error_is_shown_as_kernels_do_it() -> None:
    content = messages.error_content("RoleError", "no")
    assert content == {"ename": "RoleError", "evalue": "no", "traceback": ["RoleError: no"]}
