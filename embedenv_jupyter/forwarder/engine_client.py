"""A gateway's Engine WebSocket, kept for one kernel: opened when a cell needs it, closed when in doubt.

Answers carry no number, so a connection on which a request went wrong (no answer in
time, interrupted, an answer that cannot be read) is closed: a late answer could
otherwise be taken for that of the next cell. The next cell opens a new one.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from embedenv_jupyter.client.address import (
    API_KEY_VARIABLE,
    URL_VARIABLE,
    Endpoint,
    engine_endpoint,
)
from embedenv_jupyter.client.backoff import Backoff, Retry
from embedenv_jupyter.client.dialling import MAX_FRAME_BYTES, Heartbeat, Transport, open_socket
from embedenv_jupyter.client.refusal import AddressError, RefusedError
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import CloseCode, ConnectionLostError, EmbedEnvError, RemoteProtocolError
from embedenv_jupyter.protocols.engine.client import Answer, CodeTooLargeError, EngineSession, Refusal

TIMEOUT_VARIABLE: Final = "EMBEDENV_ANSWER_TIMEOUT_S"
DEFAULT_TIMEOUT_S: Final = 600.0
RETRY: Final = Retry(give_up_s=30.0, first_s=10.0)

_OPEN_S: Final = 10.0
_CLOSE_S: Final = 0.5
"""How long a gateway may take to say goodbye: somebody waits for the next cell."""
_PING_EVERY_S: Final = 15.0
_PONG_S: Final = 15.0
_IDLE_S: Final = 5.0
"""A connection that was silent for so long is asked whether it lives before a cell is sent on it."""
_IDLE_PONG_S: Final = 3.0


class EngineError(EmbedEnvError):
    """A cell has no answer; ``str()`` says why and what to do next."""

    advice = "Run the cell again."

    def __init__(self, reason: str, advice: str = "", *, stdout: str = "", stderr: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice or self.advice
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        reason = self.reason if self.reason.endswith((".", "!", "?", "…")) else f"{self.reason}."
        return f"{reason} {self.advice}"


class SettingsError(EngineError):
    """The kernel was started without what it needs."""

    advice = "Set it where Jupyter is started, and restart the kernel."


class UnreachableError(EngineError):
    """No connection came about; the cell was not sent."""

    advice = f"Nothing was run. Check {URL_VARIABLE} and the network, then run the cell again."


class GatewayRefusedError(EngineError):
    """The gateway said no."""

    advice = f"If it is about the key, set {API_KEY_VARIABLE} where Jupyter is started; else change the cell."


class BadAnswerError(EngineError):
    """What came is not an answer as published."""

    advice = (
        "The code may have run. If this comes again, the gateway does not speak the Engine protocol as"
        f" published: check {URL_VARIABLE}, or ask who runs it."
    )


class NoAnswerError(EngineError):
    """The gateway is there and says nothing."""

    advice = (
        "The code may still run there. If it needs longer, set"
        f" {TIMEOUT_VARIABLE} to more seconds where Jupyter is started, and restart the kernel."
    )


class ConnectionCutError(EngineError):
    """The connection ended before the answer came."""

    advice = "The code may have run or not: run the cell again if running it twice does no harm."


class CellTooLargeError(EngineError):
    """The cell is longer than is sent."""

    advice = "Split the cell; nothing was run."


@dataclass(frozen=True)
class Settings:
    """Where to connect and how; the key is in no ``repr``."""

    endpoint: Endpoint
    api_key: str = field(repr=False)
    timeout_s: float = DEFAULT_TIMEOUT_S

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            SettingsError: one is missing or cannot be used.
        """
        try:
            endpoint = engine_endpoint(None, environment)
        except AddressError as exc:
            advice = f"Set {URL_VARIABLE} (wss://HOST/ws) where Jupyter is started, and restart the kernel."
            raise SettingsError(f"There is no gateway to connect to: {exc}", advice) from None
        api_key = environment.get(API_KEY_VARIABLE, "").strip()
        if not api_key:
            raise SettingsError(f"{API_KEY_VARIABLE} is not set, and {endpoint} asks for an API key")
        if not api_key.isprintable():
            raise SettingsError(f"{API_KEY_VARIABLE} holds characters that no key has")
        return cls(endpoint, api_key, _timeout_s(environment.get(TIMEOUT_VARIABLE, "")))


def _timeout_s(text: str) -> float:
    try:
        timeout_s = float(text or DEFAULT_TIMEOUT_S)
    except ValueError:
        timeout_s = math.nan
    if not 0 < timeout_s < math.inf:
        raise SettingsError(f"{TIMEOUT_VARIABLE} is a number of seconds above 0, not {text!r:.40}")
    return timeout_s


class EngineClient:
    """Runs code on a gateway, one request at a time; ``say`` tells the user what happens meanwhile."""

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        *,
        retry: Retry = RETRY,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._say = say
        self._retry = retry
        self._dice = dice
        self._transport = Transport(
            settings.endpoint, {}, None, Heartbeat(), greeting_s=_OPEN_S, open_s=_OPEN_S, close_s=_CLOSE_S
        )
        self._socket: ClientConnection | None = None
        self._session = EngineSession(settings.api_key)
        self._heard_s = 0.0
        self._was_connected = False
        self._has_run = False
        """Whether cells ran on the connection that was lost, so that their variables are gone with it."""

    async def execute(self, language: str, code: str) -> Answer:
        """Run code and return what it wrote. Cancelled, it closes the connection.

        Raises:
            EngineError: there is no answer.
        """
        socket = await self._connected()
        is_answered = False
        try:
            answer = await self._exchange(socket, language, code)
            is_answered = True
        finally:
            if not is_answered:
                await self._drop()
        self._has_run = True
        if isinstance(answer, Refusal):
            reason = f"The gateway refused: {answer.message}"
            raise GatewayRefusedError(reason, stdout=answer.stdout, stderr=answer.stderr)
        return answer

    async def aclose(self) -> None:
        """Close the connection; idempotent."""
        await self._drop()

    async def _exchange(self, socket: ClientConnection, language: str, code: str) -> Answer | Refusal:
        try:
            frame = self._session.execute(language, code).decode()
            async with deadline(self._settings.timeout_s):
                await socket.send(frame)
                return await self._answer(socket)
        except CodeTooLargeError as exc:
            raise CellTooLargeError(str(exc)) from None
        except TimeoutError:
            raise NoAnswerError(self._silence()) from None
        except ConnectionClosed as exc:
            raise _cut(exc) from None
        except RemoteProtocolError as exc:
            raise BadAnswerError(f"What the gateway sent cannot be used: {exc}") from None

    async def _answer(self, socket: ClientConnection) -> Answer | Refusal:
        while True:
            try:
                async with deadline(_PING_EVERY_S):
                    data = await socket.recv()
            except TimeoutError:
                if not await _responds(socket, _PONG_S):
                    raise ConnectionCutError("The gateway does not respond any more") from None
                continue
            self._heard_s = time.monotonic()
            answer = self._session.receive_frame(data)
            if answer is not None:
                return answer

    def _silence(self) -> str:
        reason = f"The gateway has not answered within {self._settings.timeout_s:g} s"
        if self._session.strays:
            reason += f"; it sent {self._session.strays} frames that answer nothing, at last "
            reason += self._session.last_stray
        return reason

    async def _connected(self) -> ClientConnection:
        """Return a connection that lives; open one where there is none."""
        if self._socket is not None and not await self._lives(self._socket):
            await self._drop()
        if self._socket is None:
            self._socket = await self._open()
            self._session = EngineSession(self._settings.api_key)
            self._heard_s = time.monotonic()
            self._greet()
        return self._socket

    def _greet(self) -> None:
        endpoint = self._settings.endpoint
        if not self._was_connected and not (endpoint.is_encrypted or endpoint.is_loopback):
            self._say(f"the API key and all code go to {endpoint} unencrypted; use wss:// if you can")
        if self._has_run:
            self._say("connected anew; what earlier cells defined is gone, unless the gateway kept it")
        self._was_connected, self._has_run = True, False

    async def _lives(self, socket: ClientConnection) -> bool:
        try:
            # What came while nothing waited answers nothing; the next cell must not get it.
            while True:
                async with deadline(0):
                    await socket.recv()
        except TimeoutError:
            pass
        except ConnectionClosed:
            return False
        if time.monotonic() - self._heard_s < _IDLE_S:
            return socket.state is State.OPEN
        return await _responds(socket, _IDLE_PONG_S)

    async def _open(self) -> ClientConnection:
        """Open a connection, with growing pauses between attempts.

        Raises:
            UnreachableError, GatewayRefusedError: it is not possible.
        """
        budget_s = self._retry.give_up_s if self._was_connected else self._retry.first_s
        backoff = Backoff(self._retry, self._dice, time.monotonic(), budget_s)
        while True:
            try:
                return await open_socket(self._transport)
            except RefusedError as exc:
                refused = GatewayRefusedError if exc.code in (401, 403) else UnreachableError
                raise refused(str(exc)) from None
            except ConnectionLostError as exc:
                delay_s = backoff.next_delay_s(time.monotonic())
                if delay_s is None:
                    reason = f"{self._settings.endpoint} cannot be reached ({exc.reason})"
                    raise UnreachableError(reason) from None
                if backoff.attempts == 1:
                    self._say(f"{self._settings.endpoint} is not there; trying again for {budget_s:g} s")
            await asyncio.sleep(delay_s)

    async def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()


async def _responds(socket: ClientConnection, timeout_s: float) -> bool:
    try:
        async with deadline(timeout_s):
            await (await socket.ping())
    except (TimeoutError, ConnectionClosed):
        return False
    return True


def _cut(exc: ConnectionClosed) -> EngineError:
    """Say what a close before the answer means."""
    if exc.rcvd is None:
        if exc.sent is not None and exc.sent.code == CloseCode.TOO_BIG:
            advice = "The code has run. Let the cell write less, or write to a file there."
            return BadAnswerError(
                f"The answer is larger than {MAX_FRAME_BYTES >> 20} MiB, and was not read", advice
            )
        if exc.sent is not None and exc.sent.code in (CloseCode.PROTOCOL_ERROR, 1007):
            return BadAnswerError(f"The gateway broke the WebSocket protocol: {exc.sent.reason}")
        return ConnectionCutError("The connection was cut before the answer came")
    told = f" ({exc.rcvd.reason})" if exc.rcvd.reason else ""
    reason = f"The gateway closed the connection with code {exc.rcvd.code}{told} before it answered"
    if exc.rcvd.code == CloseCode.POLICY_VIOLATION:
        return GatewayRefusedError(reason)
    return ConnectionCutError(reason)
