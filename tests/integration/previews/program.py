"""A web program as people write them, run inside a room: a page with assets, an API, streams, a WebSocket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler

PAGE = """<!doctype html>
<html><head><title>App</title>
<link rel="stylesheet" href="/static/app.css">
<script type="module" src="/static/app.js"></script>
</head><body><h1 id="title">Hello</h1><p id="api"></p><p id="socket"></p><p id="store"></p>
<a id="next" href="/next">next</a><div id="made"></div></body></html>
"""
CSS = """@font-face { font-family: x; src: url(/static/x.woff) }
h1 { color: rgb(1, 2, 3); background: url('/static/bg.png') }"""
JS = """import { name } from '/static/lib.js';
const show = (id, text) => { document.getElementById(id).textContent = text; };
const answer = await fetch('/api/echo', { method: 'PUT', body: name, headers: { 'X-Custom': 'yes' } });
show('api', `${(await answer.json()).method} ${name}`);
localStorage.setItem('kept', '1');
show('store', `${localStorage.getItem('kept')} ${document.cookie.length}`);
document.getElementById('made').innerHTML = '<a id="made-link" href="/next">made</a>';
const socket = new WebSocket(`ws://${location.host}/ws`, ['chat']);
socket.onopen = () => socket.send('from the page');
socket.onmessage = event => show('socket', `${event.data} ${socket.protocol}`);
"""
LIB = "export const name = 'module';"


class Text(RequestHandler):
    def initialize(self, text: str, kind: str) -> None:
        self.text, self.kind = text, kind

    def get(self) -> None:
        self.set_header("Content-Type", self.kind)
        self.finish(self.text)

    head = get


@stream_request_body
class Echo(RequestHandler):
    """Says what it was asked, and how much came along."""

    SUPPORTED_METHODS = (*RequestHandler.SUPPORTED_METHODS, "PROPFIND")

    def prepare(self) -> None:
        self.digest, self.size = hashlib.sha256(), 0
        self.request.connection.set_max_body_size(1 << 40)  # type: ignore[union-attr]

    def data_received(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.size += len(chunk)

    def answer(self) -> None:
        self.set_header("Set-Cookie", "session=of-the-app; Path=/")
        self.set_header("Clear-Site-Data", '"*"')
        self.set_header("X-Kept", "yes")
        self.finish(
            {
                "method": self.request.method, "uri": self.request.uri, "size": self.size,
                "sha256": self.digest.hexdigest(), "headers": list(self.request.headers.get_all()),
            }
        )  # fmt: skip

    get = post = put = patch = delete = options = propfind = answer

    def head(self) -> None:
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Length", "12345")


class Events(RequestHandler):
    """Server-sent events, one for each that is let through."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        for number in range(int(self.get_argument("count"))):
            self.write(f"data: {number}\n\n")
            await self.flush()
            if number == 0 and self.get_argument("stop", ""):
                await asyncio.Event().wait()


class Flood(RequestHandler):
    """As much as is taken; the program knows how much it got rid of."""

    written = 0
    is_cut = False

    async def get(self) -> None:
        try:
            for _ in range(int(self.get_argument("mib")) * 16):
                self.write(b"x" * 65536)
                await self.flush()
                Flood.written += 65536
        except StreamClosedError:
            Flood.is_cut = True


class Flooded(RequestHandler):
    def get(self) -> None:
        self.finish({"written": Flood.written, "is_cut": Flood.is_cut})


class Dies(RequestHandler):
    """Breaks off in the middle."""

    async def get(self) -> None:
        if self.get_argument("chunked", ""):
            self.write("begun")
            await self.flush()
        else:
            self.set_header("Content-Length", "1000")
            self.write("begun")
            await self.flush()
        assert self.request.connection is not None
        self.request.connection.stream.close()  # type: ignore[attr-defined]


class Redirect(RequestHandler):
    def get(self) -> None:
        self.set_status(302)
        self.set_header("Location", self.get_argument("to"))


class Refuses(RequestHandler):
    """Answers before it has read the body."""

    def post(self) -> None:
        self.send_error(413)


class Socket(WebSocketHandler):
    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return "chat" if "chat" in subprotocols else None

    def check_origin(self, origin: str) -> bool:
        return origin in (f"http://{self.request.host}", "https://elsewhere.example")

    async def on_message(self, message: str | bytes) -> None:
        if message == "close":
            self.close(4321, "as asked")
        elif message == "headers":
            await self.write_message(json.dumps(list(self.request.headers.get_all())))
        elif message == "flood":
            for _ in range(400):
                await self.write_message(b"x" * 65536, binary=True)
        else:
            await self.write_message(message, binary=isinstance(message, bytes))


async def main(port: int) -> None:
    texts: list[tuple[str, Any, dict[str, str]]] = [
        (path, Text, {"text": text, "kind": kind})
        for path, text, kind in (
            ("/", PAGE, "text/html; charset=utf-8"),
            ("/deep/er/", PAGE, "text/html"),
            ("/next", "<!doctype html><title>Next</title><p id=here>next page</p>", "text/html"),
            ("/static/app.css", CSS, "text/css"),
            ("/static/app.js", JS, "text/javascript"),
            ("/static/lib.js", LIB, "text/javascript"),
        )
    ]
    Application(
        [
            *texts, (r"/api/.*", Echo), ("/events", Events), ("/flood", Flood), ("/flooded", Flooded),
            ("/dies", Dies), ("/redirect", Redirect), ("/refuses", Refuses), ("/ws", Socket),
        ]
    ).listen(port, "127.0.0.1")  # fmt: skip
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
