"""The iopub socket: what the kernel tells everybody, at the pace of those who listen.

ZeroMQ drops what a slow subscriber has not read, or, when told not to, refuses to
take more. Here what it refuses waits in a bounded queue, and whoever publishes waits
for the queue. A subscriber that takes nothing at all for ``PATIENCE_S`` holds nobody
up any longer: ZeroMQ leaves it out, as it always does with a local kernel, until it
reads again, and our log says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import zmq

from embedenv_jupyter.deadlines import deadline

log = logging.getLogger(__name__)

QUEUE_BYTES: Final = 16 << 20
PATIENCE_S: Final = 60.0
HEARD_WITHIN_S: Final = 1.0
"""So long the first messages are held for the first subscriber: what nobody hears, ZeroMQ drops."""

SETTLE_S: Final = 0.25
"""So long they are held after a restart: each client is back within 0.2 s, twice the interval of ZeroMQ."""

_LOOK_AGAIN_S: Final = 0.05

Frames = list[bytes]


class Publisher:
    """Sends on an XPUB socket; welcomes who subscribes. One task runs :meth:`run`."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        *,
        welcome: Callable[[bytes], Frames],
        patience_s: float = PATIENCE_S,
        settle_s: float = 0.0,
    ) -> None:
        self._socket = socket
        self._welcome = welcome
        self._patience_s = patience_s
        self._queue: deque[Frames] = deque()
        self._queued_bytes = 0
        self._is_moving = asyncio.Event()  # set when there is something to do: to send, or a socket that can
        self._has_space = asyncio.Event()
        self._has_space.set()
        self._stalled_at_s: float | None = None
        self._settle_s = settle_s
        self._is_heard = False
        self._began_s: float | None = None

    def put(self, frames: Frames) -> None:
        """Send now, or when it is possible."""
        if self._is_heard and not self._queue and self._sent(frames):
            return
        self._append(frames)
        self._is_moving.set()

    def _append(self, frames: Frames) -> None:
        self._queue.append(frames)
        self._queued_bytes += sum(map(len, frames))
        if self._queued_bytes > QUEUE_BYTES:
            self._has_space.clear()

    async def publish(self, frames: Frames) -> None:
        """Send, and wait while too much of what came before has not been sent."""
        self.put(frames)
        await self._has_space.wait()

    async def run(self) -> None:
        """Welcome subscribers, and send what could not be sent at once; until cancelled."""
        loop = asyncio.get_running_loop()
        descriptor = self._socket.FD
        loop.add_reader(descriptor, self._is_moving.set)
        try:
            while True:
                self._is_moving.clear()
                self._greet()
                self._send_queued(loop.time())
                try:
                    async with deadline(_LOOK_AGAIN_S if self._queue or not self._is_heard else None):
                        await self._is_moving.wait()
                except TimeoutError:
                    continue
        finally:
            loop.remove_reader(descriptor)

    def _greet(self) -> None:
        """Read who has subscribed, which also lets ZeroMQ do the work that its descriptor announces."""
        while self._has_news():
            event = self._socket.recv(zmq.NOBLOCK)
            if event[:1] == b"\x01":
                self._greeted(self._welcome(event[1:]))

    def _greeted(self, welcome: Frames) -> None:
        """Welcome a subscriber, before anything that is held for it."""
        self._append(welcome)
        if not self._is_heard:
            self._queue.rotate(1)
            self._is_heard = not self._settle_s

    def _is_early(self, now_s: float) -> bool:
        """Tell whether what is to be said waits for those who are to hear it."""
        if self._began_s is None:
            self._began_s = now_s
        if not self._is_heard and now_s - self._began_s >= (self._settle_s or HEARD_WITHIN_S):
            self._is_heard = True
        return not self._is_heard

    def _send_queued(self, now_s: float) -> None:
        if self._is_early(now_s):
            return
        while self._queue:
            frames = self._queue[0]
            if not self._sent(frames) and not self._given_up(frames, now_s):
                return
            self._queue.popleft()
            self._queued_bytes -= sum(map(len, frames))
        if self._queued_bytes <= QUEUE_BYTES:
            self._has_space.set()

    def _sent(self, frames: Frames) -> bool:
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._stalled_at_s = None
        # Sending takes in the news that the descriptor would announce, which then stays silent.
        if self._has_news():
            self._is_moving.set()
        return True

    def _has_news(self) -> bool:
        return bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    def _given_up(self, frames: Frames, now_s: float) -> bool:
        """Send to those who take it, once the others have had their time."""
        if self._stalled_at_s is None:
            self._stalled_at_s = now_s
        if now_s - self._stalled_at_s < self._patience_s:
            return False
        log.warning("a client took no output for %g s and is left out until it reads again", self._patience_s)
        self._stalled_at_s = None
        self._socket.setsockopt(zmq.XPUB_NODROP, 0)
        self._socket.send_multipart(frames, zmq.NOBLOCK)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        return True
