"""Requests to a supervisor and what comes back: answers, ends of programs, nothing else.

One object for each channel. It numbers the requests, gives each answer to whom
it is for, and closes descriptors that nobody waits for any more, because the
deadline passed or the caller was cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable, Sequence
from typing import Any

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxGoneError, SandboxRequestError, SandboxTimeoutError
from embedenv_jupyter.sandbox import channel
from embedenv_jupyter.sandbox.received import close_all, request_error
from embedenv_jupyter.sandbox.spec import ExitStatus

TIMEOUT_S = 10.0
MAX_STRAYS = 1000
"""How many messages that nobody asked for one sandbox may send, beyond one for each request."""

_MAX_AMOUNT = 1 << 60

Answer = tuple[dict[str, Any], list[int]]


class Requests:
    """The gateway's end of one channel.

    ``on_ready`` gets the descriptor of the workspace when the supervisor serves,
    ``on_exit`` is called after each end of a program with how it ended, and ``on_end`` when the
    channel is no more, with what was wrong with it ("" for nothing).
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        on_ready: Callable[[int], None],
        on_exit: Callable[[ExitStatus], None],
        on_end: Callable[[str], None],
    ) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._on_end = on_end
        self._is_ready = False
        self._cause: str | None = None
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        self._exits: dict[int, asyncio.Future[ExitStatus]] = {}
        self._next_id = 1
        self._strays = 0
        self._sending = asyncio.Lock()
        self._loop.add_reader(connection.fileno(), self._receive)

    @property
    def running(self) -> int:
        """How many programs have not ended."""
        return sum(not ended.done() for ended in self._exits.values())

    async def request(
        self, op: str, fds: Sequence[int] = (), *, timeout_s: float = TIMEOUT_S, **fields: Any
    ) -> Answer:
        """Ask the supervisor; return its answer and the descriptors, which are now the caller's."""
        if self._cause is not None:
            raise SandboxGoneError(self._cause)
        number = self._next_id
        self._next_id += 1
        try:
            data = channel.encode({"op": op, "id": number, **fields})
        except channel.ChannelError as exc:
            raise SandboxRequestError(op, errno.EMSGSIZE, detail=str(exc)) from exc
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._pending[number] = future
        try:
            async with deadline(timeout_s):
                await self._send(data, fds)
                message, received = await future
        except BaseException as exc:
            # The answer may have come in the same turn of the loop as the deadline or a cancellation.
            if future.done() and not future.cancelled() and future.exception() is None:
                close_all(future.result()[1])
            if isinstance(exc, TimeoutError):
                raise SandboxTimeoutError(op, timeout_s) from None
            raise
        finally:
            self._pending.pop(number, None)
        error = message.get("error")
        if error is None:
            return message, received
        close_all(received)
        raise request_error(op, error)

    async def _send(self, data: bytes, fds: Sequence[int]) -> None:
        async with self._sending:
            while True:
                try:
                    socket.send_fds(self._connection, [data], list(fds))
                    return
                except BlockingIOError:
                    await self._writable()
                except OSError as exc:
                    if exc.errno == errno.ETOOMANYREFS:  # too many descriptors of our user are on their way
                        raise SandboxRequestError("send", exc.errno) from exc
                    raise SandboxGoneError(self._cause or "channel closed") from exc

    async def _writable(self) -> None:
        waiter = self._loop.create_future()
        watched = os.dup(self._connection.fileno())
        self._loop.add_writer(watched, lambda: None if waiter.done() else waiter.set_result(None))
        try:
            await waiter
        finally:
            self._loop.remove_writer(watched)
            os.close(watched)

    def _receive(self) -> None:
        for _ in range(64):  # then let others have the loop
            try:
                received = channel.receive(self._connection)
            except BlockingIOError:
                return
            except (channel.ChannelError, OSError) as exc:
                self._end(str(exc))
                return
            if received is None:
                self._end("")
                return
            if not self._dispatch(*received):
                self._strays += 1
                if self._strays > MAX_STRAYS + self._next_id:
                    self._end("it floods the gateway with messages")
                    return

    def _end(self, fault: str) -> None:
        self._loop.remove_reader(self._connection.fileno())
        self._on_end(fault)

    def _dispatch(self, message: dict[str, Any], fds: list[int]) -> bool:
        """Give a message to whom it is for; tell whether somebody waited for it."""
        match message:
            case {"event": "ready"} if len(fds) == 1 and not self._is_ready:
                if stat.S_ISDIR(os.fstat(fds[0]).st_mode):
                    self._is_ready = True
                    self._on_ready(fds.pop())
                    return True
            case {"event": "exit", "job": int(job), "status": int(status)}:
                close_all(fds)
                waited_for = job in self._exits
                ended = self.exit_of(job)
                how = ExitStatus.from_returncode(
                    status, cpu_s=_amount(message.get("cpu_s")), peak_bytes=_whole(message.get("peak_bytes"))
                )
                if not ended.done():
                    ended.set_result(how)
                self._on_exit(how)
                return waited_for
            case {"id": int(number)} if number in self._pending:
                future = self._pending.pop(number)
                if not future.done():
                    future.set_result((message, fds))
                    return True
        close_all(fds)
        return False

    def exit_of(self, job: int) -> asyncio.Future[ExitStatus]:
        """Return what will hold how a job ended."""
        future = self._exits.get(job)
        if future is None:
            future = self._exits[job] = self._loop.create_future()
            future.add_done_callback(lambda _: self._exits.pop(job, None))
        return future

    def close(self, cause: str) -> None:
        """Close the channel; who waits learns that the sandbox is gone for ``cause``. Idempotent."""
        if self._cause is not None:
            return
        self._cause = cause
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        gone = SandboxGoneError(cause)
        futures: list[asyncio.Future[Any]] = [*self._pending.values(), *self._exits.values()]
        for future in futures:
            if not future.done():
                future.set_exception(gone)
                future.exception()  # retrieved: nobody has to wait for it
        self._pending.clear()


def _amount(value: object) -> float | None:
    """Take a number that a supervisor sent, if it is one that can be."""
    is_one = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MAX_AMOUNT
    return float(value) if is_one else None  # type: ignore[arg-type]


def _whole(value: object) -> int | None:
    amount = _amount(value)
    return None if amount is None else int(amount)
