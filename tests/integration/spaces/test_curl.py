"""HTTP to programs of the room: every shape of an answer, and nothing beyond the room."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from embedenv_jupyter.rooms import curl
from tests.integration.conftest import Dial, Peer, Served
from tests.integration.spaces.conftest import JoinRaw
from tests.integration.spaces.peers import Asking, Frame

MIB = 1 << 20

SERVER = r"""
import http.server, json, socket, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        path = self.path.partition("?")[0]
        if path == "/refuse":
            self.raw(b"HTTP/1.1 413 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
            return
        body = self.rfile.read(length)
        if path == "/echo":
            self.whole(json.dumps({"method": self.command, "path": self.path,
                "headers": list(self.headers.items()), "body": body.decode()}).encode())
        elif path == "/none":
            self.send_response(204)
            self.end_headers()
        elif path == "/head":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
        elif path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for word in (b"one", b" two", " dr\u00fc".encode()[:-1], " dr\u00fc".encode()[-1:], b"ben"):
                self.wfile.write(b"%x;ext=1\r\n%s\r\n" % (len(word), word))
                self.wfile.flush()
            self.wfile.write(b"0\r\nTrailer: x\r\n\r\n")
        elif path == "/early":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
            self.whole(b"after the hints")
        elif path == "/old":
            self.raw(b"HTTP/1.0 200 OK\r\n\r\nuntil the close")
        elif path == "/big":
            self.send_response(200)
            self.send_header("Content-Length", str(50 << 20))
            self.end_headers()
            for number in range(50 << 10):
                self.wfile.write(b"%08d" % number * 128)
        elif path == "/short":
            self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbroken off")
        elif path == "/bytes":
            self.whole(bytes(range(256)))
        elif path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            for letter in b"slow":
                self.wfile.write(bytes([letter]))
                time.sleep(0.05)
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                open("cancelled", "w").close()
        elif path == "/silent":
            time.sleep(1000)
        elif path == "/switch":
            self.raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\0\1")
        elif path == "/garbage":
            self.raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        elif path == "/nothing":
            self.raw(b"")
        else:
            self.send_error(404)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = do_BREW = answer

    def whole(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def raw(self, data):
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, *_):
        pass

class Six(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

four = http.server.ThreadingHTTPServer(("127.0.0.1", 3000), Handler)
threading.Thread(target=Six(("::1", 3006), Handler).serve_forever, daemon=True).start()
print("serving", flush=True)
four.serve_forever()
"""


@pytest.fixture
async def server(member: Asking) -> Asking:
    """A room in which the server runs."""
    await member.command("write", path="server.py", content=SERVER)
    await member.shell("exec python3 server.py")
    await member.until(type="terminal-data", data="serving")
    return member


async def fetch(member: Asking, path: str, method: str = "GET", **fields: Any) -> tuple[str, list[Frame]]:
    """Request a path; return the body and the other frames."""
    url = path if path.startswith("http") else f"http://localhost:3000{path}"
    id = await member.command("curl", method=method, url=url, **fields)
    frames = [frame for frame in await member.until(type="end", id=id) if frame.get("id") == id]
    body = "".join(frame["content"] for frame in frames if frame["type"] == "chunk")
    return body, [frame for frame in frames[:-1] if frame["type"] != "chunk"]


async def test_methods_headers_and_bodies_arrive_as_sent(server: Asking) -> None:
    sent = {"X-One": "1", "x-two": "tab\there", "Accept": "text/x", "X-Wide": "naïve 日本"}
    for method, data in (
        ("GET", ""), ("POST", "a=1"), ("PUT", "ü" * 40_000), ("PATCH", "{}"), ("DELETE", ""), ("OPTIONS", ""),
        ("BREW", "coffee"), ("POST", ""), ("GET", "a body"),
    ):  # fmt: skip
        body, others = await fetch(server, "/echo?q=%20x&y=ü#no", method, headers=sent, data=data)
        assert others == []
        seen = json.loads(body)
        assert (seen["method"], seen["path"]) == (method, "/echo?q=%20x&y=%C3%BC")
        assert seen["body"] == data
        headers = {name.lower(): value for name, value in seen["headers"]}
        assert headers["host"] == "localhost:3000"
        assert headers["x-one"] == "1" and headers["x-two"] == "tab\there"
        assert headers["accept"] == "text/x"
        assert headers["x-wide"].encode("latin-1").decode() == "naïve 日本"
        assert headers["connection"] == "close"
        assert headers.get("content-length", "0") == str(len(data.encode()))


async def test_headers_that_frame_the_request_are_ours(server: Asking) -> None:
    headers = {
        "Content-Length": "3",
        "Transfer-Encoding": "chunked",
        "Connection": "upgrade",
        "Host": "elsewhere",
    }
    body, others = await fetch(server, "/echo", "POST", headers=headers, data="four")
    assert others == []
    seen = {name.lower(): value for name, value in json.loads(body)["headers"]}
    assert json.loads(body)["body"] == "four"
    assert (seen["content-length"], seen["connection"], seen["host"]) == ("4", "close", "elsewhere")
    assert "transfer-encoding" not in seen


async def test_every_shape_of_an_answer(server: Asking) -> None:
    for path, method, expected in (
        ("/none", "GET", ""),
        ("/head", "HEAD", ""),
        ("/chunked", "GET", "one two drüben"),
        ("/early", "GET", "after the hints"),
        ("/old", "GET", "until the close"),
        ("/slow", "GET", "slow"),
        ("/refuse", "GET", "large"),
        ("http://[::1]:3006/early", "GET", "after the hints"),
        ("http://127.0.0.1:3000/early", "GET", "after the hints"),
    ):
        assert await fetch(server, path, method) == (expected, []), path
    body, _ = await fetch(server, "/bytes")
    assert body == bytes(range(256)).decode(errors="replace")
    body, _ = await fetch(server, "/else")
    assert "404" in body, "a status is no error: the page comes as it is"


async def test_what_is_no_answer_is_an_error_with_a_reason(server: Asking) -> None:
    for path, reason in (
        ("/garbage", "did not answer as HTTP does"),
        ("/nothing", "without an answer"),
        ("/short", "not whole"),
        ("/switch", "another protocol"),
        ("http://localhost:3999/", "nothing listens on port 3999"),
        ("http://localhost/", "nothing listens on port 80"),
    ):
        body, others = await fetch(server, path)
        (error,) = others
        assert error["type"] == "error"
        assert reason in error["message"], (path, error)
        assert body == ("broken off" if path == "/short" else "")


async def test_what_is_no_request_to_this_room_is_refused(member: Asking) -> None:
    for url, reason in {
        "https://localhost:3000/": "'https'",
        "http://10.0.0.1/": "10.0.0.1",
        "http://localhost:0/": "port",
        "http://localhost:99999/": "port",
        "http://u:p@localhost:3000/": "user",
        "file:///etc/passwd": "file",
        "http://localhost:3000/a b": "space",
        "http://localhost:3000/\r\nX: y": "space or control",
    }.items():
        answer = await member.ask("curl", method="GET", url=url)
        assert answer["type"] == "error"
        assert reason in answer["message"], (url, answer)
    faulty: dict[str, dict[str, Any]] = {
        "no HTTP method": {"method": "GET\r\nX: y"},
        "no header's name": {"headers": {"A\r\nB": "c"}},
        "line end": {"headers": {"A": "b\r\nC: d"}},
        "control character": {"headers": {"A": "b\0"}},
    }
    for reason, fields in faulty.items():
        answer = await member.ask("curl", url="http://localhost:3000/", **fields)
        assert answer["type"] == "error"
        assert reason in answer["message"], (fields, answer)


async def test_a_body_that_the_program_does_not_want_blocks_nothing(server: Asking) -> None:
    body, others = await fetch(server, "/refuse", "POST", data="x" * (16 * MIB))
    assert body == "large" or "cut the connection" in others[0]["message"]
    assert await fetch(server, "/early") == ("after the hints", [])


async def test_fifty_megabytes_come_in_order_and_are_not_gathered(server: Asking, join_raw: JoinRaw) -> None:
    raw = await join_raw(server.join_key)
    await server.peer.socket.close()
    before = psutil.Process().memory_info().rss
    raw.send(type="cmd", command={"type": "curl"}, method="GET", url="http://localhost:3000/big")
    digest, grown = hashlib.sha256(), 0
    async for frame in until_end(raw.batches()):
        if frame["type"] == "chunk":
            assert len(frame["content"]) <= 16 << 10
            digest.update(frame["content"].encode())
            grown = max(grown, psutil.Process().memory_info().rss - before)
    expected = hashlib.sha256()
    for number in range(50 << 10):
        expected.update(b"%08d" % number * 128)
    assert digest.digest() == expected.digest()
    assert grown < 32 * MIB, f"{grown / MIB:.0f} MiB"


async def until_end(batches: AsyncIterator[list[Frame]]) -> AsyncIterator[Frame]:
    async for frames in batches:
        for frame in frames:
            yield frame
            if frame["type"] == "end":
                return


async def test_a_download_ends_with_the_client_that_asked_for_it(
    served: Served, server: Asking, dial: Dial, join_raw: JoinRaw
) -> None:
    room, _ = served.gateway.rooms.redeem(server.join_key)
    raw = await join_raw(server.join_key)
    raw.send(type="cmd", command={"type": "curl"}, method="GET", url="http://localhost:3000/endless")
    async for frame in until_end(raw.batches()):
        if frame["type"] == "chunk":
            break
    await raw.aclose()
    # The program sees it, and the member is gone.
    async with asyncio.timeout(20):
        while (await server.ask("list", path="."))["entries"][0]["name"] != "cancelled":
            pass
        while len(room.members.present) > 1:
            await asyncio.sleep(0.01)


async def test_a_frozen_client_holds_the_program_and_nothing_else(
    served: Served, server: Asking, join_raw: JoinRaw
) -> None:
    raw = await join_raw(server.join_key)
    before = psutil.Process().memory_info().rss
    raw.send(type="cmd", command={"type": "curl"}, method="GET", url="http://localhost:3000/endless")
    for _ in range(20):
        assert await fetch(server, "/early") == ("after the hints", [])
    assert psutil.Process().memory_info().rss - before < 32 * MIB
    await raw.aclose()


async def test_requests_of_one_connection_are_answered_in_turn(server: Asking) -> None:
    for number in range(10):
        await server.command("curl", id=f"q{number}", url=f"http://localhost:3000/echo?{number}")
    seen: list[str] = []
    while len(seen) < 10:
        frame = await server.peer.receive()
        if frame["type"] == "end":
            seen.append(frame["id"])
        elif frame["type"] == "chunk":
            assert frame["id"] == f"q{len(seen)}"
            assert f"/echo?{len(seen)}" in frame["content"]
    assert seen == [f"q{number}" for number in range(10)]


async def test_too_many_requests_at_once_are_refused(server: Asking) -> None:
    ids = [await server.command("curl", url="http://localhost:3000/silent") for _ in range(20)]
    answer = await server.answer(ids[-1])
    assert answer["type"] == "error" and "wait" in answer["message"]


async def test_a_program_that_says_nothing_is_given_up(
    server: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curl, "HEAD_TIMEOUT_S", 0.2)
    body, (error,) = await fetch(server, "/silent")
    assert body == "" and "sent nothing for 0.2 s" in error["message"]


async def test_ports_of_other_rooms_and_of_the_host_are_out_of_reach(
    served: Served, server: Asking, dial: Dial
) -> None:
    other = await Asking.init(served, dial)
    gateway_port = served.host.rpartition(":")[2]
    for port in ("3000", "3006", gateway_port):
        body, (error,) = await fetch(other, f"http://localhost:{port}/early")
        assert body == "" and "nothing listens" in error["message"]


async def test_published_clients_get_error_and_end(host: Peer) -> None:
    await host.command("curl", method="GET", url="http://localhost:3000", headers={}, data="")
    assert [frame["type"] for frame in await host.until("end")] == ["error", "end"]
