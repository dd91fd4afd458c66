"""The Python client for the Engine: code in any language, run in a session on a gateway.

    async with Engine("https://host/", api_key=...) as engine:
        print((await engine.execute("python", "print('hello')")).stdout)

See docs/client.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import random
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Final, Self, Unpack

from embedenv_jupyter.client.address import engine_endpoint
from embedenv_jupyter.client.answer import Answer
from embedenv_jupyter.client.backoff import Retry
from embedenv_jupyter.client.dialling import Heartbeat
from embedenv_jupyter.client.engine_dialogue import EngineDialogue
from embedenv_jupyter.client.engine_faults import fault_of, fault_of_loss
from embedenv_jupyter.client.engine_request import RunOptions, api_key_of, request_of, session_of
from embedenv_jupyter.client.engine_run import EngineRun
from embedenv_jupyter.client.exchange import answered_within
from embedenv_jupyter.client.flow import Buffering, Gate
from embedenv_jupyter.client.link import Link
from embedenv_jupyter.client.opening import ANSWER_S, transport_to, warn_of_plain_text
from embedenv_jupyter.client.refusal import StalledError
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import BusyError, ConnectionLostError, LocalProtocolError
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.reports import (
    Failed,
    Receipt,
    Report,
    SessionEnded,
    Told,
    TooLate,
    Unsure,
    Welcomed,
)
from embedenv_jupyter.protocols.engine.streams import EngineStreams

log = logging.getLogger(__name__)

MAX_RUNS: Final = 256
"""How many runs of one engine may be without an end; ``stream`` waits for one of them beyond."""

END_S: Final = 5.0
"""How long :meth:`Engine.close` waits until its session has ended."""


class Engine:
    """Runs code. All methods may be used by many tasks at once.

    Without ``session`` the engine makes a name for a session of its own, so that a cut loses
    nothing, and ends that session when it is closed. A session with a name of yours stays, until
    nobody has used it for a while: whoever has the account's key may come back to it.
    With ``resume=False`` the session has no name and ends with the connection, and a cut
    ends what runs in it with ``ConnectionLostError``.

    What is not given is taken from ``EMBEDENV_URL`` and ``EMBEDENV_API_KEY``. ``environment`` and
    ``dice`` stand in for ``os.environ`` and ``random.random``.

    Raises:
        AddressError: the address, the key or the name of the session cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        session: str | None = None,
        resume: bool = True,
        retry: Retry | None = None,
        buffering: Buffering | None = None,
        heartbeat: Heartbeat | None = None,
        answer_s: float = ANSWER_S,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        environment: Mapping[str, str] | None = None,
        dice: Callable[[], float] | None = None,
    ) -> None:
        environment = os.environ if environment is None else environment
        self._target = engine_endpoint(url, environment)
        self._ends_session = session is None
        self._streams = EngineStreams(api_key_of(api_key, environment), session_of(session, resume=resume))
        self._gate = Gate(buffering or Buffering())
        self._link = Link(
            transport_to(self._target, headers, tls, answer_s, heartbeat),
            EngineDialogue(self._streams, self),
            self._gate,
            retry or Retry(),
            dice or random.random,
            of="an engine",
        )
        self._answer_s = answer_s
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)
        self._runs: dict[str, EngineRun] = {}
        self._places = asyncio.Semaphore(MAX_RUNS)
        self._receipts: dict[int, asyncio.Future[frames.Error | None]] = {}
        self._welcomed = asyncio.Event()
        self._endings: list[asyncio.Future[None]] = []
        self._failure: Exception | None = LocalProtocolError("this engine is not open")
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "not connected"
        return f"<Engine {self._target} session {self.session!r} {state}>"

    @property
    def session(self) -> str | None:
        """The name of the session, given or generated; ``None`` with ``resume=False``."""
        return self._streams.session

    @property
    def is_connected(self) -> bool:
        return self._welcomed.is_set()

    # Its life

    async def open(self) -> Self:
        """Connect; ``async with`` does it. The first connection is tried once, or for ``Retry.first_s``.

        Raises:
            UnreachableError: no connection came about.
            AuthenticationError: the key is not valid.
            RefusedError: the gateway said no.
            LocalProtocolError: it was opened before.
        """
        if self._task is not None or self.is_connected:
            raise LocalProtocolError("an engine is opened once")
        warn_of_plain_text(self._target)
        await self._link.open()
        self._failure = None
        self._task = asyncio.create_task(self._link.run(), name="connection of an engine")
        return self

    async def close(self) -> None:
        """End the session that was made for this engine, and the connection. Idempotent."""
        try:
            if self._ends_session and self._failure is None:
                await self._end_within(END_S)
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
            self.ended(LocalProtocolError("this engine was closed here; nothing can be asked of it"))

    async def end_session(self) -> None:
        """End the session now, with everything that runs in it; the next run begins a new one.

        Raises:
            TimeoutError: the gateway did not confirm it.
            EmbedEnvError: what ended this engine.
        """
        self._check()
        await self._connected()
        async with answered_within(self._answer_s):
            await self._end()

    async def _end_within(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError, StalledError):
            async with deadline(limit_s):
                await self._end()

    async def _end(self) -> None:
        if self._streams.end_session():
            self._link.wake()
            ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._endings.append(ending)
            await self._gate.demand(ending)

    def _session_ended(self) -> None:
        endings, self._endings = self._endings, []
        for ending in endings:
            if not ending.done():
                ending.set_result(None)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # Running

    async def execute(
        self, language: str, code: str, *, stdin: str = "", **options: Unpack[RunOptions]
    ) -> Answer:
        """Run code to its end; ``stdin`` is its whole input. Whoever cancels this interrupts the run.

        Raises:
            SourceError, UnknownLanguageError, BlockedError, NoCreditsError, TooManyRunsError, RefusedError:
                it was not run; the text says why.
            ConnectionLostError: its end will not be known.
            TimeoutError: too many runs of this engine have no end.
        """
        run = await self.stream(language, code, stdin=stdin, **options)
        try:
            return await run.result()
        finally:
            if run.is_running:
                run.cancel()

    async def stream(
        self,
        language: str,
        code: str,
        *,
        stdin: str | None = None,
        pty: tuple[int, int] | None = None,
        **options: Unpack[RunOptions],
    ) -> EngineRun:
        """Begin to run code; the run tells what happens meanwhile, and takes input unless ``stdin`` is given.

        ``pty`` is the size (rows, columns) of a terminal for the program, which then runs as with ``fresh``.
        Read the run to its end, or ``discard()`` it: what nobody reads holds up what is behind it.

        Raises:
            SourceError: a value is not acceptable; nothing was sent.
            TimeoutError: too many runs of this engine have no end.
            EmbedEnvError: what ended this engine. What the gateway refuses is raised by the run.
        """
        self._check()
        id = f"{self._prefix}-{next(self._numbers)}"
        request = request_of(id, self.session, language, code, stdin=stdin, pty=pty, **options)
        async with answered_within(self._answer_s):
            await self._places.acquire()
        try:
            self._check()
            self._streams.begin(request)
        except BaseException:
            self._places.release()
            raise
        run = self._runs[id] = EngineRun(self, self._gate, id, language)
        self._link.wake()
        return run

    async def ping(self) -> float:
        """Return how many seconds the way to the gateway and back takes.

        Raises:
            ConnectionLostError: the connection was lost meanwhile.
            TimeoutError: no answer came.
            EmbedEnvError: what ended this engine.
        """
        self._check()
        await self._connected()
        clock = asyncio.get_running_loop().time
        began_s = clock()
        await self._receipt(self._streams.ping())
        return clock() - began_s

    async def _connected(self) -> None:
        async with answered_within(self._answer_s):
            await self._welcomed.wait()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    # What runs ask

    async def tell(self, frame: frames.Input) -> None:
        """Send an input and wait for its receipt; see :class:`EngineRun`."""
        self._check()
        error = await self._receipt(self._streams.tell(frame))
        if error is not None:
            raise fault_of(error)

    async def _receipt(self, number: int) -> frames.Error | None:
        future: asyncio.Future[frames.Error | None] = asyncio.get_running_loop().create_future()
        self._receipts[number] = future
        self._link.wake()
        try:
            async with answered_within(self._answer_s):
                return await self._gate.demand(future)
        finally:
            del self._receipts[number]

    def withdraw(self, run: EngineRun) -> None:
        """Call a run off, or interrupt it."""
        for report in self._streams.withdraw(run.id):
            self.reported(report)
        if run.id in self._runs and not self._streams.has(run.id):
            self._over(run.id, ConnectionLostError("it was withdrawn before it was sent"))
        self._link.wake()

    # What the link reports

    def reported(self, report: Report) -> None:
        """Pass a report on to whom it concerns."""
        match report:
            case Welcomed():
                self._welcomed.set()
            case Told(run=id, frame=frame):
                if id in self._runs:
                    self._runs[id].told(frame)
                    if report.is_last:
                        self._over(id)
            case Failed(run=id, loss=loss):
                self._over(id, fault_of_loss(loss, self.session, self._streams.last_n or 0))
            case Receipt(number=number, error=error):
                self._settle(number, error)
            case TooLate(number=number):
                self._settle(number, BusyError("The run had ended before its input was sent."))
            case Unsure(number=number):
                reason = "a cut came before the receipt: whether the gateway got it is not known"
                self._settle(number, ConnectionLostError(reason, self._streams.last_n or 0))
            case SessionEnded(reason=reason):
                log.info("session %s has ended: %s", self.session, reason)
                self._session_ended()

    def lost(self, reason: str) -> None:
        """The connection is gone; another one is tried."""
        log.info("the connection to %s was lost: %s", self._target, reason)
        self._welcomed.clear()
        self._session_ended()  # nobody could confirm it any more

    def ended(self, failure: Exception) -> None:
        """There will be no other connection. Idempotent, the first failure counts."""
        self._failure = self._failure or failure
        for id in list(self._runs):
            self._over(id, failure)
        for number in list(self._receipts):
            self._settle(number, failure)
        self._session_ended()
        self._welcomed.set()  # whoever waits for it finds the failure

    def _over(self, id: str, failure: Exception | None = None) -> None:
        run = self._runs.pop(id, None)
        if run is not None:
            self._places.release()
            if failure is not None:
                run.failed(failure)

    def _settle(self, number: int, outcome: frames.Error | Exception | None) -> None:
        future = self._receipts.get(number)
        if future is None or future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
