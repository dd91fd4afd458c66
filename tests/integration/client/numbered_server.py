"""A small server of one room that speaks the Spaces protocol with our additions, and nothing loosely.

It sends exactly the frames of docs/architecture.md section 6 from a log that
keeps everything (or, with ``keeps``, only the newest events), and it writes down
whatever a client does that the page does not allow: see ``complaints``.
Its shell has a handful of scripted programs instead of a sandbox.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]
PUBLIC, SECRET, KEY, TOKEN, ROOM = "public", "secret", "join-key", "member-token", "room-1"
CMD_FIELDS = {
    "type", "project_name", "command", "id", "path", "rpath", "name", "root", "targetElementData", "content",
    "encoding", "file_structure", "method", "url", "headers", "data", "signal", "seconds", "run",
}  # fmt: skip


class Log:
    """Numbered frames, and a way to wait for more. Of each, the number is its place in the list plus one."""

    def __init__(self, keeps: int | None) -> None:
        self.frames: list[Frame] = []
        self.grown = asyncio.Condition()
        self._keeps = keeps

    @property
    def oldest(self) -> int:
        """The number of the oldest event that is still there."""
        return 1 if self._keeps is None else max(1, len(self.frames) - self._keeps + 1)

    async def append(self, **frame: Any) -> None:
        async with self.grown:
            self.frames.append({**frame, "n": len(self.frames) + 1})
            self.grown.notify_all()

    async def after(self, n: int) -> list[Frame]:
        """Wait for events beyond ``n``; what is gone is one gap frame."""
        async with self.grown:
            await self.grown.wait_for(lambda: len(self.frames) > n)
        if n + 1 >= self.oldest:
            return self.frames[n : n + 50]
        last = self.oldest - 1
        gap = {
            "type": "gap",
            "from": n + 1,
            "to": last,
            "events": last - n,
            "bytes": 10 * (last - n),
            "n": last,
        }
        return [gap]


class NumberedServer:
    """See the module's text."""

    def __init__(self, *, keeps: int | None = None, names_runs: bool = True) -> None:
        self.log = Log(keeps)
        self.complaints: list[str] = []
        self.files: dict[str, bytes] = {}
        self.carried_out: list[str] = []
        self.greetings: list[Frame] = []
        self.connections: set[ServerConnection] = set()
        self.port = 0
        self._answers: dict[str, asyncio.Task[list[Frame]]] = {}
        self._requests: dict[str, Frame] = {}
        self._names_runs = names_runs
        self._end_reason: str | None = None
        self._consumed = 0
        self._progress = asyncio.Condition()
        self._runs = itertools.count(1)
        self._run: str | None = None
        self._input: asyncio.Queue[str | None] = asyncio.Queue()
        self._signal: asyncio.Future[str] | None = None
        self._programs: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[NumberedServer]:
        async with serve(self._connection, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield self
            tasks = [*self._programs, *self._answers.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # Connections

    async def _connection(self, socket: ServerConnection) -> None:
        self.connections.add(socket)
        try:
            hello = await self._read(socket)
            self.greetings.append(hello)
            if not await self._greet(socket, hello):
                return
            async with asyncio.TaskGroup() as group:
                carrier = group.create_task(self._carry(socket, hello["resume"]))
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        await self._command(socket, await self._read(socket))
                carrier.cancel()
        except ConnectionClosed:
            pass
        finally:
            async with self._progress:
                self.connections.discard(socket)
                self._progress.notify_all()

    async def _read(self, socket: ServerConnection) -> Frame:
        data = await socket.recv()
        if not isinstance(data, str):
            self.complaints.append("a binary message")
        frame: Frame = json.loads(data)
        return frame

    async def _greet(self, socket: ServerConnection, hello: Frame) -> bool:
        resume = hello.get("resume")
        if not isinstance(resume, int) or resume < 0:
            self.complaints.append(f"a greeting that does not ask: {hello}")
        match hello:
            case {"type": "init", "public_key": str(), "secret_key": secret, **rest}:
                answer: Frame = {"type": "init", "join": KEY, "remaining_credits": 999}
                refusal = None if secret == SECRET else "These keys are not valid."
                extra = set(rest) - {"resume"}
            case {"type": "join", "join": key, "user": str(user), "color": str(color), **rest}:
                answer = {"type": "join", "join": KEY, "user": user, "color": color}
                refusal = None if key == KEY else "This join key opens no room."
                extra = set(rest) - {"resume", "member"}
                if rest.get("member", TOKEN) != TOKEN:
                    self.complaints.append("a member token that was never given out")
            case _:
                self.complaints.append(f"no greeting: {hello}")
                return False
        if extra:
            self.complaints.append(f"fields that no page has: {extra}")
        if refusal is not None:
            await self._send(socket, {"type": "error", "message": refusal})
            await socket.close(1008, refusal)
            return False
        newest = len(self.log.frames)
        await self._send(socket, answer | {"room": ROOM, "role": "own", "member": TOKEN, "n": newest})
        hello["resume"] = min(hello["resume"], newest)
        return True

    async def _send(self, socket: ServerConnection, frame: Frame) -> None:
        await socket.send(json.dumps(frame))

    async def _carry(self, socket: ServerConnection, n: int) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                for frame in await self.log.after(n):
                    await self._send(socket, frame)
                    n = frame["n"]
                if self._end_reason is not None and n == len(self.log.frames):
                    await socket.close(4000, self._end_reason)

    async def consume(self, lines: int) -> None:
        """Tell the program ``pace`` how many lines have arrived at the reader."""
        async with self._progress:
            self._consumed = lines
            self._progress.notify_all()

    async def empty(self) -> None:
        """Wait until nobody is connected."""
        async with asyncio.timeout(10), self._progress:
            await self._progress.wait_for(lambda: not self.connections)

    def cut(self) -> None:
        """Cut all connections without a word."""
        for socket in self.connections:
            socket.transport.abort()

    async def end_room(self, reason: str) -> None:
        self._end_reason = reason
        await self.log.append(type="event", event="post-mortem", reason=reason)

    # Commands

    async def _command(self, socket: ServerConnection, frame: Frame) -> None:
        id_ = frame.get("id")
        if frame.get("type") != "cmd" or not isinstance(id_, str) or not 0 < len(id_) <= 64:
            self.complaints.append(f"no command of a client that asks: {frame}")
            return
        if extra := set(frame) - CMD_FIELDS:
            self.complaints.append(f"fields that no page has: {extra}")
        if self._requests.setdefault(id_, frame) != frame:
            self.complaints.append(f"the id {id_} was used for two commands")
        if id_ not in self._answers:
            # A task, not an await: the same id may come again on another connection meanwhile.
            self._answers[id_] = asyncio.create_task(self._carry_out(frame))
        for answer in await asyncio.shield(self._answers[id_]):
            await self._send(socket, answer | {"id": id_})

    async def _carry_out(self, frame: Frame) -> list[Frame]:
        self.carried_out.append(frame["id"])
        kind = frame["command"]["type"]
        if kind in ("project", "write", "create", "rename", "delete", "read", "list"):
            return self._files_command(kind, frame, frame.get("path") or frame["command"].get("path", ""))
        match frame["command"]:
            case {"type": "curl"}:
                if frame["url"].endswith("/refused"):
                    return [{"type": "error", "message": "nothing listens on port 1"}, {"type": "end"}]
                body = f"{frame['method']} {frame['url']} {frame['headers']} {frame['data']}" * 20
                return [*_chunks(body, 50), {"type": "end"}]
            case {"type": "shell", "command": command}:
                return await self._shell(command)
            case {"type": "stdin", "data": data}:
                if frame.get("run") != self._run:
                    return [{"type": "error", "message": "that run is over"}]
                self._input.put_nowait(data)
            case {"type": "eof"}:
                self._input.put_nowait(None)
            case {"type": "signal", "signal": name}:
                self._interrupt(f"SIG{name}")
            case {"type": "keep"}:
                pass
            case {"type": "stop"}:
                await self.end_room("stopped")
            case other:
                self.complaints.append(f"no such command: {other}")
        return [{"type": "done"}]

    def _files_command(self, kind: str, frame: Frame, path: str) -> list[Frame]:
        if kind in ("delete", "read") and path not in self.files:
            return [{"type": "error", "message": f"{path!r}: there is no such file or folder"}]
        match kind:
            case "project":
                self._deploy(json.loads(frame["file_structure"]), "")
                return [{"type": "msg", "message": "project created"}]
            case "write":
                is_base64 = frame.get("encoding") == "base64"
                content = frame["content"]
                self.files[path] = base64.b64decode(content) if is_base64 else content.encode()
            case "create":
                self.files[f"{path}/"] = b""
            case "rename":
                self.files[f"{path.rpartition('/')[0]}/{frame['name']}"] = self.files.pop(path)
            case "delete":
                del self.files[path]
            case "read":
                return [*_chunks(base64.b64encode(self.files[path]).decode(), 64), {"type": "end"}]
            case "list":
                return [{"type": "listing", "path": path, "entries": self._entries(path)}]
        return [{"type": "done"}]

    def _entries(self, path: str) -> list[Frame]:
        return [
            {"name": name.removeprefix(f"{path}/"), "type": "file", "size": len(content), "modified": 1.5}
            for name, content in sorted(self.files.items())
        ]

    def _deploy(self, node: Frame, above: str) -> None:
        path = f"{above}{node['name']}"
        if node["type"] == "file":
            self.files[path] = node["content"].encode()
        for child in node.get("children", ()):
            self._deploy(child, f"{path}/")

    # Programs

    async def _shell(self, command: str) -> list[Frame]:
        if command == "Ctrl+C":
            self._interrupt("SIGINT")
            return [{"type": "done"}]
        if command == "forbidden":
            return [{"type": "error", "message": "This costs 5 credits and 1 are left."}]
        if self._run is not None:
            self._input.put_nowait(f"{command}\n")
        else:
            await self._start(command)
        return [{"type": "done", "run": self._run} if self._names_runs else {"type": "done"}]

    async def _start(self, command: str) -> None:
        self._run = f"r{next(self._runs)}"
        self._input = asyncio.Queue()
        self._signal = asyncio.get_running_loop().create_future()
        await self.log.append(type="event", event="run", run=self._run, command=command, user="host")
        self._programs.add(asyncio.create_task(self._execute(self._run, command)))

    async def _execute(self, run: str, command: str) -> None:
        program, *arguments = command.split()
        main: Callable[..., Coroutine[Any, Any, int]] = getattr(self, f"_program_{program}")
        assert self._signal is not None
        task = asyncio.create_task(main(run, *arguments))
        waiting: set[asyncio.Future[Any]] = {task, self._signal}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            await asyncio.wait([task])
        code = None if task.cancelled() else task.result()
        signal = self._signal.result() if task.cancelled() else None
        self._run = None
        await self.log.append(type="terminal-data-end", run=run)
        await self.log.append(type="exit", run=run, code=code, signal=signal)

    def _interrupt(self, name: str) -> None:
        if self._signal is not None and not self._signal.done():
            self._signal.set_result(name)

    async def print(self, run: str, text: str) -> None:
        await self.log.append(type="terminal-data", data=text, run=run)
        await self.log.append(type="terminal-newline", data="", run=run)

    async def _program_echo(self, run: str, *words: str) -> int:
        await self.print(run, " ".join(words))
        return 0

    async def _program_count(self, run: str, upto: str) -> int:
        for number in range(int(upto)):
            await self.print(run, str(number))
            if number % 100 == 0:
                await asyncio.sleep(0)
        return 0

    async def _program_pace(self, run: str, upto: str, ahead: str) -> int:
        """Print numbers, at most so many lines ahead of what :meth:`consume` was told."""
        for number in range(int(upto)):
            await self.print(run, str(number))
            async with self._progress:
                while number >= self._consumed + int(ahead):
                    await self._progress.wait()
        return 0

    async def _program_exit(self, run: str, code: str) -> int:
        return int(code)

    async def _program_wait(self, run: str) -> int:
        await self.print(run, "waiting")
        await asyncio.Event().wait()
        return 0

    async def _program_ask(self, run: str) -> int:
        await self.print(run, "name?")
        await self.log.append(type="event", event="prompt", run=run, text="name?")
        answer = await self._input.get()
        await self.print(run, f"hello {answer!r}")
        return 0

    async def _program_cat(self, run: str) -> int:
        while (line := await self._input.get()) is not None:
            await self.log.append(type="terminal-data", data=line.rstrip("\n"), run=run)
            if line.endswith("\n"):
                await self.log.append(type="terminal-newline", data="", run=run)
        return 0


def _chunks(text: str, size: int) -> list[Frame]:
    return [{"type": "chunk", "content": text[i : i + size]} for i in range(0, len(text), size)]
