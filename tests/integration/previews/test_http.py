"""HTTP through a preview: what passes, what is repaired, what is kept back, both ways."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError

from embedenv_jupyter.previews.headers import SANDBOX
from tests.integration.previews.conftest import PORT, Shown, listening


async def test_page_with_assets_at_the_root(shown: Shown) -> None:
    page = await shown.get(headers={"Sec-Fetch-Dest": "document"})
    text = page.body.decode()
    assert page.code == 200
    assert 'href="./static/app.css"' in text and 'src="./static/app.js"' in text
    assert text.index("data-embedenv-port") < text.index("<title>"), "ours runs first"
    deep = (await shown.get("deep/er/")).body.decode()
    assert 'href="./../../static/app.css"' in deep
    css = (await shown.get("static/app.css")).body.decode()
    assert "url(./../static/x.woff)" in css and "url('./../static/bg.png')" in css


async def test_script_s_own_request_is_left_as_it_is(shown: Shown) -> None:
    fragment = await shown.get("next", headers={"Sec-Fetch-Dest": "empty"})
    assert fragment.body == b"<!doctype html><title>Next</title><p id=here>next page</p>"
    assert fragment.headers["Content-Length"] == str(len(fragment.body))


async def test_answer_harms_no_other_page_of_the_origin(shown: Shown) -> None:
    answer = await shown.get("api/x")
    assert answer.headers["Content-Security-Policy"] == SANDBOX
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Kept"] == "yes"
    assert not {"Set-Cookie", "Clear-Site-Data"} & set(answer.headers)


async def test_nothing_of_the_visitor_reaches_the_program(shown: Shown) -> None:
    asked = await shown.echo(
        "api/x?a=1&token=secret&b=%2F",
        headers={
            "Cookie": "_xsrf=secret; jupyter=secret", "Authorization": "token secret",
            "Referer": "http://secret/",
            "X-XSRFToken": "secret", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Access-Token": "secret",
            "X-Auth-Request-User": "secret", "Proxy-Authorization": "secret",
            "Cf-Access-Jwt-Assertion": "secret",
            "Connection": "X-Hop", "X-Hop": "secret", "X-Custom": "kept", "Origin": "null",
        },
    )  # fmt: skip
    assert "secret" not in json.dumps(asked)
    sent = dict(asked["headers"])
    assert sent["Host"] == f"localhost:{PORT}" and sent["Origin"] == f"http://localhost:{PORT}"
    assert sent["X-Custom"] == "kept" and "X-Forwarded-For" not in sent
    assert sent["X-Forwarded-Host"] == shown.served.host
    assert sent["X-Forwarded-Prefix"] + "/" == shown.path
    assert asked["uri"] == "/api/x?a=1&b=%2F"


async def test_token_of_the_server_is_no_key_and_sets_no_cookie(shown: Shown) -> None:
    answer = await shown.get("api/x", headers={"Authorization": shown.api.authorization})
    assert answer.code == 200 and "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_any_method(shown: Shown, method: str) -> None:
    body = b"a body" if method not in ("GET", "OPTIONS") else None
    asked = await shown.echo("api/deep/er?x=%20y", method=method, body=body)
    assert (asked["method"], asked["uri"]) == (method, "/api/deep/er?x=%20y")
    assert asked["size"] == len(body or b"")


async def test_head_has_a_length_and_no_body(shown: Shown) -> None:
    answer = await shown.get("api/x", method="HEAD")
    assert answer.headers["Content-Length"] == "12345" and answer.body == b""
    page = await shown.get(method="HEAD")
    assert page.code == 200 and "Content-Length" not in page.headers, (
        "its length is known once it is repaired"
    )


async def test_sandboxed_page_may_ask_anything_of_its_own_server(shown: Shown) -> None:
    asking = {
        "Origin": "null", "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-custom",
    }  # fmt: skip
    answer = await shown.get("api/x", method="OPTIONS", headers=asking)
    assert answer.code == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "PUT"
    assert answer.headers["Access-Control-Allow-Headers"] == "x-custom"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/next", "./next"), (f"http://localhost:{PORT}/next?a=/b", "./next?a=/b"), ("next", "next"),
        ("?a", "?a"),
        ("https://example.org/", "https://example.org/"), ("//example.org/x", "//example.org/x"),
    ],
)  # fmt: skip
async def test_redirect_stays_in_the_preview(shown: Shown, to: str, location: str) -> None:
    answer = await shown.get(f"redirect?to={to.replace('?', '%3F')}")
    assert (answer.code, answer.headers["Location"]) == (302, location)


async def test_address_without_its_slash_leads_to_the_page(shown: Shown) -> None:
    shown.path = shown.path.removesuffix("/")
    answer = await shown.get("?a=b")
    assert answer.code == 302
    assert answer.headers["Location"] == shown.previews[0]["capability"] + "/?a=b"


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_large_upload_is_streamed(shown: Shown, is_chunked: bool) -> None:
    piece, count = bytes(range(256)) * 4096, 40
    digest = hashlib.sha256(piece * count).hexdigest()

    async def produce(write: object) -> None:
        for _ in range(count):
            await write(piece)  # type: ignore[operator]

    options: dict[str, Any] = {} if is_chunked else {"headers": {"Content-Length": str(len(piece) * count)}}
    asked = await shown.echo(method="PUT", body_producer=produce, **options)
    assert (asked["size"], asked["sha256"]) == (len(piece) * count, digest)
    framing = {name for name, _ in asked["headers"]} & {"Content-Length", "Transfer-Encoding"}
    assert framing == {"Transfer-Encoding" if is_chunked else "Content-Length"}


async def test_program_that_refuses_a_body_is_heard(shown: Shown) -> None:
    answer = await shown.get("refuses", method="POST", body=b"x" * (20 << 20))
    assert answer.code in (400, 413, 502)


async def test_events_come_as_they_are_sent(shown: Shown) -> None:
    first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def heard(data: bytes) -> None:
        if not first.done():
            first.set_result(data)

    url = f"http://{shown.served.host}{shown.path}events?count=2&stop=1"
    request = HTTPRequest(url, streaming_callback=heard, request_timeout=60)
    stream = asyncio.ensure_future(AsyncHTTPClient().fetch(request, raise_error=False))  # noqa: TID251
    async with asyncio.timeout(30):
        assert await first == b"data: 0\n\n"
    await shown.api("DELETE", f"{shown.rest}/previews/{shown.previews[0]['capability']}")
    with pytest.raises(HTTPStreamClosedError):  # a preview that is taken back is cut off
        async with asyncio.timeout(30):
            await stream


async def test_slow_browser_holds_the_program(shown: Shown) -> None:
    host, _, port = shown.served.host.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET {shown.path}flood?mib=200 HTTP/1.1\r\nHost: {shown.served.host}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(60):
        before, now = -1, 0
        while now == 0 or now != before:
            await asyncio.sleep(0.5)
            before, now = now, json.loads((await shown.get("flooded")).body)["written"]
    assert now < 100 << 20, "nobody hoards what is not read"
    writer.close()
    async with asyncio.timeout(60):
        while not json.loads((await shown.get("flooded")).body)["is_cut"]:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("query", ["", "?chunked=1"])
async def test_program_that_dies_in_the_middle_leaves_no_whole_answer(shown: Shown, query: str) -> None:
    head = f"GET {shown.path}dies{query} HTTP/1.1\r\nHost: {shown.served.host}\r\n\r\n"
    answer = await shown.raw(head.encode())
    assert b"200 OK" in answer and b"begun" in answer
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("what", ["preflight", "redirect", "refusal"])
async def test_connection_that_ends_with_an_answer_is_said_to(shown: Shown, what: str) -> None:
    line, more = {
        "preflight": (
            f"OPTIONS {shown.path}api/x",
            "Origin: null\r\nAccess-Control-Request-Method: PUT\r\n",
        ),
        "redirect": (f"GET {shown.path.rstrip('/')}", ""),
        "refusal": (f"GET {shown.path}", "Service-Worker: script\r\n"),
    }[what]
    answer = await shown.raw(f"{line} HTTP/1.1\r\nHost: {shown.served.host}\r\n{more}\r\n".encode())
    assert b"\r\nConnection: close\r\n" in answer, "a proxy would send its next request there"


async def test_nothing_listens(shown: Shown) -> None:
    shown.path = await shown.make(port=5999)
    answer = await shown.get()
    assert answer.code == 502
    assert b"Nothing listens on port 5999" in answer.body and b'http-equiv="refresh"' in answer.body
    assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_what_is_no_http(shown: Shown) -> None:
    script = (
        "import socket; s = socket.create_server(('127.0.0.1', 5998))\n"
        "while 1: c, _ = s.accept(); c.sendall(b'SSH-2.0-x\\r\\n'); c.close()"
    )
    process = await shown.room.sandbox.spawn(["python3", "-c", script])
    await listening(shown.room, 5998)
    shown.path = await shown.make(port=5998)
    answer = await shown.get()
    assert answer.code == 502 and b"is not whole" in answer.body
    process.close()


@pytest.mark.parametrize(
    "head",
    [
        (
            "POST {path}api/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n"
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET {path}api/smuggled HTTP/1.1\r\n"
            "Host: {host}\r\n\r\n"
        ),
        "POST {path}api/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello",
        "POST {path}api/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET {path}api/x\x01y HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET {path}api/x HTTP/1.1\r\nHost: {host}\r\nX-Bad: a\x00b\r\n\r\n",
    ],
)
async def test_smuggled_request_reaches_nobody(shown: Shown, head: str) -> None:
    answer = await shown.raw(head.format(path=shown.path, host=shown.served.host).encode())
    assert b"smuggled" not in answer
    assert answer.startswith(b"HTTP/1.1 400") or answer == b""


async def test_one_request_in_the_body_of_another_stays_a_body(shown: Shown) -> None:
    inner = b"GET /api/inner HTTP/1.1\r\nHost: x\r\n\r\n"
    asked = await shown.echo(method="POST", body=inner, headers={"Connection": "Content-Length, keep-alive"})
    assert asked["size"] == len(inner) and asked["uri"] == "/api/x"


async def test_no_service_worker(shown: Shown) -> None:
    answer = await shown.get("static/app.js", headers={"Service-Worker": "script"})
    assert answer.code == 403
