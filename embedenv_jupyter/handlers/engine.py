"""WS ``ws`` and POST ``api/v1/execute``: the Engine protocol (docs/protocols/engine.md)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler
from msgspec import UNSET
from tornado.iostream import StreamClosedError

from embedenv_jupyter.accounts import LOCAL_ACCOUNT, Account
from embedenv_jupyter.accounts.tickets import is_ticket
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.access import BUSY_RETRY_S, OwnHandler, account_of_key, bearer
from embedenv_jupyter.handlers.base import ConversationHandler
from embedenv_jupyter.handlers.problems import ProblemError
from embedenv_jupyter.protocols.engine import codec, frames
from embedenv_jupyter.protocols.engine.server import error_frame
from embedenv_jupyter.rooms.events import EngineFrame
from embedenv_jupyter.rooms.log import Gap
from embedenv_jupyter.rooms.peer import SEND_TIMEOUT_S
from embedenv_jupyter.snippets.conversation import EngineConversation
from embedenv_jupyter.snippets.desk import Desk
from embedenv_jupyter.snippets.faults import EXPECTED, frame_of
from embedenv_jupyter.snippets.rates import Allowance

log = logging.getLogger(__name__)

EVENT_STREAM: Final = "text/event-stream"
REST_ID: Final = "rest"
"""The id of a run that REST streams: there is one in each request."""

_STATUS: Final = {
    "bad_frame": 400, "bad_request": 422, "unknown_language": 422, "missing_toolchain": 422, "blocked": 422,
    "unauthorized": 401, "insufficient_credits": 402, "unknown_session": 404, "busy": 429,
    "rate_limited": 429, "gone": 410, "unavailable": 503, "internal": 500,
}  # fmt: skip


class EngineHost:
    """Who takes requests in for one conversation."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._ticket = ""

    async def desk(self) -> Desk:
        """Wait until the gateway serves.

        Raises:
            SandboxUnavailableError: it does not.
        """
        await self._gateway.ready()
        return self._gateway.desk

    async def account(self, key: str) -> Account:
        """Return whose key this is.

        Raises:
            AuthenticationError: nobody's.
        """
        await self._gateway.ready()
        if not is_ticket(key):
            return await account_of_key(self._gateway, key)
        if key != self._ticket:
            self._gateway.tickets.redeem(key)
            self._ticket = key  # it goes on to stand for this connection, and for no other
        return LOCAL_ACCOUNT


class EngineHandler(ConversationHandler):
    """One peer of the Engine protocol."""

    hello_is = "send a request"

    def initialize(  # type: ignore[override]  # each handler has options of its own
        self,
        *,
        gateway: Gateway,
        allowed_origins: frozenset[str],
        hello_timeout_s: float,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        super().initialize(allowed_origins=allowed_origins, hello_timeout_s=hello_timeout_s)
        self._host = EngineHost(gateway)
        self._send_timeout_s = send_timeout_s

    @property
    def max_message_size(self) -> int:
        return frames.MAX_MESSAGE_BYTES

    def converse(self, **kwargs: str) -> EngineConversation:
        return EngineConversation(self._host, self, key=bearer(self), send_timeout_s=self._send_timeout_s)


class ExecuteHandler(OwnHandler):
    """Runs what a body asks, and answers when it has ended, or bit by bit as Server-Sent Events."""

    def check_xsrf_cookie(self) -> None:
        """Only a key in a header counts here, which no page of somebody else can make a browser send."""

    def compute_etag(self) -> None:
        """Answers are not kept anywhere."""

    def initialize(self, *, gateway: Gateway) -> None:
        super().initialize(gateway=gateway)
        self._work: asyncio.Future[Any] | None = None
        self._is_gone = False

    def on_connection_close(self) -> None:
        """End what runs for a peer that has gone."""
        self._is_gone = True
        if self._work is not None:
            self._work.cancel()

    async def prepare(self) -> None:  # type: ignore[override]
        """Leave it to :meth:`post` to wait for the gateway: what it cannot have is answered in one form."""
        await APIHandler.prepare(self)

    @allow_unauthenticated
    async def post(self) -> None:
        """Run, and answer."""
        host, key = EngineHost(self.gateway), bearer(self)
        try:
            if key is None:
                raise ProblemError(401, "Send an API key as `Authorization: Bearer KEY`.", "unauthorized")
            account = await host.account(key)
            await self._run(await host.desk(), account)
        except EXPECTED as exc:
            self._refuse(exc)
        except (StreamClosedError, TimeoutError):
            log.info("a client of the engine has gone, or takes no data")
            self.detach().close()

    async def _while_here(self, work: Coroutine[Any, Any, frames.Answer]) -> frames.Answer:
        """Do something for the peer, as long as it waits.

        Raises:
            StreamClosedError: it does not any more.
        """
        if self._is_gone:
            work.close()
            raise StreamClosedError
        task = asyncio.create_task(work, name="engine request")
        self._work = task
        try:
            return await task
        except asyncio.CancelledError:
            if not self._is_gone:
                task.cancel()
                raise
            raise StreamClosedError from None

    async def _run(self, desk: Desk, account: Account) -> None:
        works, is_batch = self._works()
        rates = desk.sessions.rates
        try:
            rates.take(account.id, len(works))
        finally:  # a refusal says so, too (draft-ietf-httpapi-ratelimit-headers, section 4)
            self._allow(rates.left(account.id))
        if EVENT_STREAM in self.request.headers.get("Accept", ""):
            await self._stream(desk, account, works[0])
        elif is_batch:
            self.answer({"results": [await self._batched(desk, account, work) for work in works]})
        else:
            answer = await self._while_here(desk.answer_alone(account, works[0]))
            self.answer(as_rest(answer))

    def _works(self) -> tuple[list[frames.Work], bool]:
        """Read the body.

        Raises:
            FrameError: naming what is wrong with it.
            ProblemError: it has more runs than are taken at once, or none.
        """
        body = self.request.body
        if len(body) > frames.MAX_MESSAGE_BYTES:
            raise ProblemError(
                413, f"The body has {len(body)} bytes, {frames.MAX_MESSAGE_BYTES} are allowed.", "too_large"
            )
        if not codec.is_batch(body):
            return [codec.decode_work(body)], False
        works = codec.decode_batch(body).runs
        if EVENT_STREAM in self.request.headers.get("Accept", ""):
            raise ProblemError(
                422, "One run is streamed at a time; send each in a request of its own.", "bad_request"
            )
        return works, True

    async def _batched(self, desk: Desk, account: Account, work: frames.Work) -> Any:
        try:
            return as_rest(await self._while_here(desk.answer_alone(account, work)))
        except EXPECTED as exc:
            return frame_of(exc)

    def _allow(self, allowance: Allowance | None) -> None:
        for name, value in (allowance.headers if allowance is not None else {}).items():
            self.set_header(name, value)

    # Server-Sent Events.

    async def _stream(self, desk: Desk, account: Account, work: frames.Work) -> None:
        """Send a run's frames as events; the peer's going away ends a run that no session keeps."""
        name = work.session if work.session is not UNSET else None
        job = await desk.job(work, is_fresh=name is None)
        session = await desk.sessions.enter(account, name, desk.limits(work), price=desk.price(job))
        try:
            watcher = session.log.watch(session.log.last)
            run = session.begin(f"{REST_ID}-{id(self):x}", job)
            if name is None:
                self._work = run.task
            if job.stdin is None:
                run.end_input()
            self.set_header("Content-Type", EVENT_STREAM)
            self.set_header("Cache-Control", "no-store")
            self.set_header("X-Accel-Buffering", "no")  # nginx would keep events until it has many
            async with watcher:
                async for records in watcher:
                    for record in records:
                        if await self._sent(record, run.id):
                            return
        finally:
            desk.sessions.leave(session)

    async def _sent(self, record: Any, id: str) -> bool:
        """Send what belongs to a run as an event; tell whether it was its last."""
        if isinstance(record, Gap):
            frame: frames.StreamFrame = frames.Gap(missing=record.events, n=record.last)
        else:
            assert isinstance(record.event, EngineFrame), "a session's log has nothing else"
            frame = codec.decode_stream_frame(record.event.frame)
            if getattr(frame, "id", None) != id:
                return False
        name = str(type(frame).__struct_config__.tag)
        data = codec.encode(frame).decode()
        self.write(f"event: {name}\nid: {record.last}\ndata: {data}\n\n")
        async with deadline(SEND_TIMEOUT_S):
            await self.flush()
        return isinstance(frame, frames.Result | frames.Error)

    # Refusals.

    def _refuse(self, exc: Exception) -> None:
        """Answer with an error; one that cannot be helped now says when to try again."""
        if isinstance(exc, ProblemError):
            raise exc
        error = frame_of(exc)
        status = 400 if isinstance(exc, RemoteProtocolError) else _STATUS.get(error.error, 500)
        log.info("refused POST %s: %s", self.request.path, exc)
        self.advise(status, error.retry_after if error.retry_after is not UNSET else BUSY_RETRY_S)
        self.answer(error, status)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write an error as the refusal of a run is written."""
        exc = kwargs.get("exc_info", (None, None, None))[1]
        name, message = "internal", "The gateway failed; its log says why."
        if isinstance(exc, ProblemError):
            name, message = exc.problem, exc.message
        elif status_code < 500:
            name, message = "bad_request", self._reason
        self.advise(status_code, BUSY_RETRY_S)
        self.answer(error_frame(name, message), status_code)


def as_rest(answer: frames.Answer) -> frames.Answer:
    """Return an answer as the page shows it for REST: the time is a text with its unit."""
    return msgspec.structs.replace(answer, execution_time=f"{float(answer.execution_time):.0f}ms")
