"""A request to a program and its answer, without a socket."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.rooms.curl import CurlError, Exchange, Response, TextPieces

ANSWER = (
    b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nX: \xe9\r\n\r\n3\r\none\r\n4\r\n two\r\n0\r\n\r\n"
)


def asked(method: str = "GET", **fields: object) -> tuple[Exchange, bytes]:
    exchange = Exchange(80, method)
    given = {"target": "/", "headers": {}, "body": b"", **fields}
    return exchange, exchange.request(**given)  # type: ignore[arg-type]


def test_a_request_has_what_http_needs_and_no_more() -> None:
    _, sent = asked("POST", headers={"X-A": "ü", "content-length": "9", "Connection": "x"}, body=b"ab")
    head, _, body = sent.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    assert line == b"POST / HTTP/1.1"
    assert sorted(header.lower() for header in headers) == [
        b"accept: */*", b"connection: close", b"content-length: 2", b"host: localhost:80",
        b"user-agent: embedenv", b"x-a: \xc3\xbc",
    ]  # fmt: skip
    assert body == b"ab"


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(CurlError, match="cannot be sent"):
        asked(headers={"X": "a\nb"})


@given(st.lists(st.integers(1, len(ANSWER) - 1), max_size=8))
def test_it_does_not_matter_how_an_answer_is_cut(cuts: list[int]) -> None:
    exchange, _ = asked()
    places = [0, *sorted(cuts), len(ANSWER)]
    pieces: list[Response | bytes] = []
    for start, end in itertools.pairwise(places):
        if start < end:
            exchange.receive(ANSWER[start:end])
            pieces += exchange.pieces()
    head, *body = pieces
    assert head == Response(200, "Fine", (("transfer-encoding", "chunked"), ("x", "é")))
    assert b"".join(piece for piece in body if isinstance(piece, bytes)) == b"one two"
    assert exchange.is_complete


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_an_error(data: bytes) -> None:
    exchange, _ = asked()
    try:
        take(exchange, data)
    except CurlError:
        return
    assert exchange.is_complete


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "without an answer"),
        (b"SSH-2.0-x\r\n\r\n", "did not answer as HTTP does"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na", "not whole"),
        (b"HTTP/1.1 101 Now\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "another protocol"),
    ],
)
def test_faults_are_told_apart(data: bytes, reason: str) -> None:
    exchange, _ = asked()
    with pytest.raises(CurlError, match=reason):
        take(exchange, data)


def take(exchange: Exchange, data: bytes) -> None:
    """Let an exchange have these bytes, then the end of the connection."""
    for piece in (data, b"") if data else (b"",):
        if not exchange.is_complete:
            exchange.receive(piece)
            list(exchange.pieces())


@given(st.binary(max_size=100), st.integers(0, 100))
def test_text_is_decoded_across_pieces(data: bytes, cut: int) -> None:
    text = TextPieces()
    assert text.feed(data[:cut]) + text.feed(data[cut:]) + text.finish() == data.decode(errors="replace")
