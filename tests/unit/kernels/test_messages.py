"""Jupyter messages as the gateway reads them: strict with clients, deaf to the nonsense of kernels."""

from __future__ import annotations

import json
from collections.abc import Callable

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
        messages.status_of, messages.input_request, messages.content_of, messages.count_of,
        messages.parent_id, messages.id_of, messages.kind_of,
    ],
)  # fmt: skip
def test_nonsense_of_a_kernel_is_read_as_nothing(
    read: Callable[[tuple[bytes, ...]], object], raw: bytes
) -> None:
    empty = read(of())
    assert read(of(raw, header=raw, parent=raw)) == empty


@given(parts)
def test_nothing_that_a_kernel_sends_fails(parts: tuple[bytes, ...]) -> None:
    for read in (messages.status_of, messages.input_request, messages.content_of, messages.parent_id):
        read(parts)
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


def test_an_error_is_shown_as_kernels_do_it() -> None:
    content = messages.error_content("RoleError", "no")
    assert content == {"ename": "RoleError", "evalue": "no", "traceback": ["RoleError: no"]}
