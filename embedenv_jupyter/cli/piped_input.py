"""Input that is not a person's, for a program on a terminal: it gets the bytes on a pipe, as they are.

A terminal takes lines of 4095 bytes at most and acts on control characters in
them. So :func:`encoded` turns what is piped into ``embedenv run --url`` into lines
of base64, and this file, sent along and run inside the room as ``piped_input.py
PROGRAM ARGUMENT…``, decodes them: it becomes the program, whose standard input is
a pipe that a process of its own fills. The end of the terminal's input ends the pipe.

Standard library only, and nothing from this package: it is read by the room's own Python.
"""

from __future__ import annotations

import binascii
import os
import select
import signal
import sys
from collections.abc import Sequence

LINE_BYTES = 3000
"""What one line holds before it is encoded: 4000 characters then, which a terminal takes."""
READ_BYTES = 1 << 16


def encoded(data: bytes) -> str:
    """Encode for the terminal: lines that :func:`pass_on` decodes one by one."""
    starts = range(0, len(data), LINE_BYTES)
    return b"".join(binascii.b2a_base64(data[start : start + LINE_BYTES]) for start in starts).decode()


def main(argv: Sequence[str]) -> None:
    """Become the program ``argv``, with a pipe for its standard input."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        # Twice, so that the program has no child that it did not start itself.
        if os.fork() == 0:
            os.close(reader)
            pass_on(0, writer)
        os._exit(0)
    os.wait()
    os.dup2(reader, 0)
    os.close(reader)
    os.close(writer)
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606  # the program is what the user asks for
    except OSError as exc:
        sys.exit(f"{argv[0]}: {exc.strerror}")


def pass_on(terminal: int, writer: int) -> None:
    """Decode what comes from the terminal into the pipe, up to the end of either; then end the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the program
    os.closerange(1, min(writer, 3))
    with select.epoll() as source, select.epoll() as both:
        source.register(terminal, select.EPOLLIN)
        # One epoll in the other: who waits for a terminal directly is taken for a program that asks
        # for input (sandbox/foreground.py), and what stands in its line for a prompt.
        both.register(source, select.EPOLLIN)
        both.register(writer, 0)  # reports an error once nobody reads the pipe any more
        rest = b""
        while all(fd != writer for fd, _ in both.poll()):
            try:
                data = os.read(terminal, READ_BYTES)
                *lines, rest = (rest + data).split(b"\n")
                _write_all(writer, b"".join(map(binascii.a2b_base64, lines)))
            except OSError:  # the program takes no more, or its terminal is gone
                break
            if not data:
                break
    os._exit(0)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


if __name__ == "__main__":
    main(sys.argv[1:])
