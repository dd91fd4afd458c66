"""The same room for programs without asyncio: every call delegates to one loop in a background thread.

    with connect_sync("https://host/", join=KEY) as room:
        print(room.shell("ls -la").text())

Ctrl+C while a run is waited for interrupts the program in the room first, then
raises ``KeyboardInterrupt`` here; the run can still be read afterwards.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, Self, TypeVar

from embedenv_jupyter.client.events import Event, State
from embedenv_jupyter.client.files import Files
from embedenv_jupyter.client.opening import open_room
from embedenv_jupyter.client.room import Room
from embedenv_jupyter.client.run import ExitStatus, Run
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import LocalProtocolError

A = TypeVar("A")
F = TypeVar("F")
T = TypeVar("T")
P = ParamSpec("P")

INTERRUPT_S = 5.0
"""How long Ctrl+C waits for the server to confirm that the program was interrupted."""
_END: Final = object()


class Background:
    """One event loop in one thread, owned by whoever made it."""

    def __init__(self) -> None:
        self._started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._stopped: asyncio.Event | None = None
        # A daemon: a program that ends without close() must end.
        self._thread = threading.Thread(target=self._main, name="embedenv client", daemon=True)
        self._thread.start()
        self._loop = self._started.result()

    def _main(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._stopped = asyncio.Event()
        self._started.set_result(asyncio.get_running_loop())
        await self._stopped.wait()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the loop.

        Raises:
            LocalProtocolError: the loop has ended.
        """
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise LocalProtocolError("this room was closed here; nothing can be asked of it") from None

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; when this thread is interrupted it is cancelled."""
        future = self.submit(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and everything in it; idempotent."""
        if self.is_alive:
            assert self._stopped is not None
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()


class Face(Generic[A]):
    """The blocking face of an object that lives on the background loop."""

    def __init__(self, inner: A, background: Background) -> None:
        self._inner = inner
        self._background = background

    def __repr__(self) -> str:
        return f"<sync {self._inner!r}>"


def blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Face[A], P], T]:
    """The same method, for the calling thread to wait for."""

    @wraps(method)
    def call(self: Face[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._background.call(method(self._inner, *args, **kwargs))

    return call


def at_once(method: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[Face[A], P], T]:
    """A method that does not wait, carried out on the loop's thread because its state lives there."""

    @wraps(method)
    def call(self: Face[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def carry_out() -> T:
            return method(self._inner, *args, **kwargs)

        return self._background.call(carry_out())

    return call


class BlockingIterator(Iterator[T]):
    """Iterates over what an async iterator yields. ``on_interrupt`` runs before Ctrl+C is passed on."""

    def __init__(
        self,
        source: AsyncIterator[T],
        background: Background,
        on_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._background = background
        self._on_interrupt = on_interrupt
        self._pending: concurrent.futures.Future[T | object] | None = None

    async def _advance(self) -> T | object:
        return await anext(self._source, _END)

    def __next__(self) -> T:
        # After Ctrl+C the item that was waited for is still waited for: cancelling might lose it.
        pending = self._pending = self._pending or self._background.submit(self._advance())
        try:
            item = pending.result()
        except KeyboardInterrupt:
            self._on_interrupt()
            raise
        except BaseException:
            self._pending = None
            raise
        self._pending = None
        if item is _END:
            raise StopIteration
        return item  # type: ignore[return-value]  # what is not _END is a T


class RunFace(Face[A]):
    """The blocking face of a run: Ctrl+C while it is waited for interrupts it first."""

    def _interrupting(self) -> Coroutine[Any, Any, None]:
        """Interrupt the run, and wait for that."""
        raise NotImplementedError

    def _interruptible(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return self._background.call(coroutine)
        except KeyboardInterrupt:
            self._interrupt_briefly()
            raise

    def _interrupt_briefly(self) -> None:
        async def interrupt() -> None:
            async with deadline(INTERRUPT_S):
                await self._interrupting()

        # A program that has just ended, or a lost connection, must not hide the user's Ctrl+C.
        with contextlib.suppress(Exception):
            self._background.call(interrupt())


class Closing(Protocol):
    """What can be closed."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=Closing)


class OwnerFace(Face[C]):
    """The blocking face of what owns the thread: closing it ends both."""

    def close(self) -> None:
        """Close it and end the thread; idempotent."""
        if not self._background.is_alive:
            return
        try:
            self._background.call(self._inner.close())
        finally:
            self._background.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def opened_blocking(
    opener: Callable[P, Coroutine[Any, Any, A]], face: Callable[[A, Background], F]
) -> Callable[P, F]:
    """Return the blocking form of a function that opens something; it brings the thread for it."""

    @wraps(opener)
    def open_blocking(*args: P.args, **kwargs: P.kwargs) -> F:
        background = Background()
        try:
            return face(background.call(opener(*args, **kwargs)), background)
        except BaseException:
            background.close()
            raise

    return open_blocking


class SyncFiles(Face[Files]):
    """See :class:`~embedenv_jupyter.client.files.Files`."""

    deploy = blocking(Files.deploy)
    write = blocking(Files.write)
    read = blocking(Files.read)
    read_text = blocking(Files.read_text)
    list = blocking(Files.list)
    make_dir = blocking(Files.make_dir)
    rename = blocking(Files.rename)
    delete = blocking(Files.delete)


class SyncRun(RunFace[Run]):
    """See :class:`~embedenv_jupyter.client.run.Run`; iterate over it for lines."""

    send = blocking(Run.send)
    send_eof = blocking(Run.send_eof)
    interrupt = blocking(Run.interrupt)
    signal = blocking(Run.signal)
    _discard = at_once(Run.discard)

    def __init__(self, inner: Run, background: Background) -> None:
        super().__init__(inner, background)
        self._lines = BlockingIterator(inner, background, self._interrupt_briefly)

    @property
    def command(self) -> str:
        return self._inner.command

    @property
    def is_running(self) -> bool:
        return self._inner.is_running

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def pieces(self) -> Iterator[str]:
        return BlockingIterator(self._inner.pieces(), self._background, self._interrupt_briefly)

    def text(self) -> str:
        return self._interruptible(self._inner.text())

    def wait(self) -> ExitStatus:
        return self._interruptible(self._inner.wait())

    def discard(self) -> Self:
        self._discard()
        return self

    def _interrupting(self) -> Coroutine[Any, Any, None]:
        return self._inner.interrupt()


class SyncRoom(OwnerFace[Room]):
    """See :class:`~embedenv_jupyter.client.room.Room`."""

    fetch = blocking(Room.fetch)
    keep = blocking(Room.keep)
    stop = blocking(Room.stop)
    _curl = at_once(Room.curl)
    _events = at_once(Room.events)

    def __init__(self, inner: Room, background: Background) -> None:
        super().__init__(inner, background)
        self.files = SyncFiles(inner.files, background)

    @property
    def id(self) -> str | None:
        return self._inner.id

    @property
    def join_key(self) -> str:
        return self._inner.join_key

    @property
    def role(self) -> str | None:
        return self._inner.role

    @property
    def remaining_credits(self) -> int | None:
        return self._inner.remaining_credits

    @property
    def last_n(self) -> int:
        return self._inner.last_n

    @property
    def state(self) -> State:
        return self._inner.state

    def shell(self, command: str) -> SyncRun:
        return SyncRun(self._background.call(self._inner.shell(command)), self._background)

    def curl(self, method: str, url: str, **options: Any) -> Iterator[str]:
        return BlockingIterator(self._curl(method, url, **options), self._background)

    def events(self) -> Iterator[Event]:
        return BlockingIterator(self._events(), self._background)


connect_sync = opened_blocking(open_room, SyncRoom)
"""Like :func:`~embedenv_jupyter.client.opening.open_room`; the room is also a context manager."""
