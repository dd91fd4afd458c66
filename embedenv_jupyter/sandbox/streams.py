"""Bytes through the file descriptors that a supervisor hands out.

Thin on purpose: a terminal's master is read in the loop, at the reader's pace,
and nothing is buffered here. A terminal whose last program is gone answers
``EIO``; that is its end of file.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select

READ_BYTES = 64 << 10


class ByteSource:
    """The readable side of a pipe or terminal; one reader at a time."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._waiter: asyncio.Future[None] | None = None

    async def read(self, limit: int = READ_BYTES) -> bytes:
        """Return what is there, waiting for at least one byte; ``b""`` at the end."""
        while (data := self.read_now(limit)) is None:
            await self.readable()
        return data

    def read_now(self, limit: int = READ_BYTES) -> bytes | None:
        """Return what is there now, ``b""`` at the end, ``None`` when there is nothing yet."""
        if self._fd < 0:
            return b""
        try:
            return os.read(self._fd, limit)
        except BlockingIOError:
            return None
        except OSError as exc:
            if exc.errno == errno.EIO:
                return b""
            raise

    def wake(self) -> None:
        """Make a waiting :meth:`readable` return now."""
        if self._waiter is not None:
            _wake(self._waiter)

    def has_some(self) -> bool:
        """Tell whether :meth:`read_now` would return at once, with bytes or the end."""
        if self._fd < 0:
            return True
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))

    async def readable(self) -> None:
        """Wait until :meth:`read_now` may have something to say, or for :meth:`wake`."""
        if self._fd < 0:
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        loop.add_reader(self._fd, _wake, self._waiter)
        try:
            await self._waiter
        finally:
            if self._fd >= 0:
                loop.remove_reader(self._fd)
            self._waiter = None

    def close(self) -> None:
        """Close the descriptor and wake the reader, which then sees the end; idempotent."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if self._waiter is not None:
            asyncio.get_running_loop().remove_reader(fd)
            _wake(self._waiter)
        os.close(fd)


class ByteSink:
    """The writable side of a pipe or terminal; writes do not interleave."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._turn = asyncio.Lock()

    async def write(self, data: bytes) -> None:
        """Write everything, waiting while the program does not read.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        async with self._turn:
            view = memoryview(data)
            while view:
                try:
                    view = view[self._write_now(view) :]
                except BlockingIOError:
                    await self._writable()

    def _write_now(self, view: memoryview) -> int:
        if self._fd < 0:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        try:
            return os.write(self._fd, view)
        except OSError as exc:
            if exc.errno == errno.EIO:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from exc
            raise

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        # A descriptor of its own: the same terminal may have a reader in the loop.
        watched = os.dup(self._fd)
        loop.add_writer(watched, _wake, waiter)
        try:
            await waiter
        finally:
            loop.remove_writer(watched)
            os.close(watched)

    def close(self) -> None:
        """Close the descriptor; idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
