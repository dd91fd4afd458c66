"""Blocking work on descriptors that outlives its caller."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from embedenv_jupyter.sandbox.contents import in_thread

DEADLINE_S = 10.0


async def test_a_thread_never_writes_to_what_got_its_callers_number(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    begun, may_go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work(own: int) -> None:
        begun.set()
        may_go_on.wait(DEADLINE_S)
        os.write(own, b"mine")
        done.set()

    task = asyncio.create_task(in_thread(writer, work))
    assert await asyncio.to_thread(begun.wait, DEADLINE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.close(writer)
    stranger = os.open(tmp_path / "stranger", os.O_RDWR | os.O_CREAT)
    assert stranger == writer, "the kernel gives the lowest free number"
    may_go_on.set()
    assert await asyncio.to_thread(done.wait, DEADLINE_S)
    try:
        assert await asyncio.to_thread(os.read, reader, 100) == b"mine"
        assert await asyncio.to_thread(os.read, reader, 100) == b"", "the thread's own is closed, too"
        assert os.fstat(stranger).st_size == 0
    finally:
        os.close(stranger)
        os.close(reader)


async def test_work_that_never_began_leaves_no_descriptor() -> None:
    reader, writer = os.pipe()
    task = asyncio.create_task(in_thread(writer, lambda own: None))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)
