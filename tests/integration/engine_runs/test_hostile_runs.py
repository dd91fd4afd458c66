"""Hostile runs end with a named result, keep their partial output, and leave their neighbours alone."""

from __future__ import annotations

import asyncio

import pytest

from embedenv_jupyter.engine.engine import Engine
from embedenv_jupyter.engine.events import Output, Reason, Stage
from embedenv_jupyter.engine.execution import RunOptions
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.engine.trial import Seen, read
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.sandbox.spec import MIB, Limits
from tests.integration.engine_runs.conftest import OpenEngine

LANGUAGES = Languages.shipped()
BASH, C, PYTHON = (LANGUAGES.named(name) for name in ("bash", "c", "python"))
SMALL = Limits(memory_bytes=128 * MIB, pids=32, workspace_bytes=8 * MIB, file_bytes=4 * MIB, cpu_cores=None)


@pytest.fixture
async def engine(open_engine: OpenEngine) -> Engine:
    return await open_engine(limits=SMALL)


async def run(engine: Engine, language: Language, code: str, timeout_s: float = 20.0) -> Seen:
    return await read(await engine.start(language, Source(code), RunOptions(timeout_s, timeout_s)))


async def lives(engine: Engine) -> None:
    assert (await run(engine, PYTHON, "print('alive')")).stdout == "alive\n"


async def test_an_endless_loop_is_out_of_time_with_its_output_kept(engine: Engine) -> None:
    seen = await run(engine, BASH, "echo before; while :; do :; done", 1)
    assert (seen.stdout, seen.ended.reason) == ("before\n", Reason.TIME)
    assert seen.ended.detail == "Time is up after 1 s."


async def test_a_program_that_ignores_signals_is_out_of_time_all_the_same(engine: Engine) -> None:
    seen = await run(engine, BASH, "trap '' INT TERM; echo before; while :; do :; done", 1)
    assert (seen.stdout, seen.ended.reason, seen.ended.exit.signal) == ("before\n", Reason.TIME, 9)


async def test_endless_output_costs_no_memory_and_ends_in_time(engine: Engine) -> None:
    size = 0
    async with await engine.start(BASH, Source("exec yes"), RunOptions(timeout_s=1)) as execution:
        async for event in execution:
            if isinstance(event, Output):
                assert len(event.data) <= 64 << 10
                size += len(event.data)
    assert size > 0
    assert execution.outcome is not None and execution.outcome.reason is Reason.TIME


async def test_endless_output_that_nobody_reads_ends_in_time(engine: Engine) -> None:
    async with await engine.start(BASH, Source("exec yes"), RunOptions(timeout_s=1)) as execution:
        async with asyncio.timeout(20):
            await execution.stop()
    await lives(engine)


async def test_too_much_memory_is_named(engine: Engine) -> None:
    seen = await run(
        engine, PYTHON, "print('before', flush=True)\nheld = bytearray(400 << 20)\nprint(len(held))"
    )
    assert seen.stdout == "before\n"
    assert seen.ended.reason is Reason.OOM and "128 MiB" in seen.ended.detail
    await lives(engine)


async def test_a_fork_bomb_is_ended_and_named(engine: Engine) -> None:
    neighbour = asyncio.create_task(
        run(engine, BASH, "for n in 1 2 3 4 5 6 7 8; do sleep 0.3; echo $n; done")
    )
    seen = await run(engine, BASH, "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done", 2)
    assert seen.ended.reason in (Reason.TIME, Reason.PIDS)
    assert "32 processes" in seen.ended.detail
    await neighbour
    await engine.sandbox.reset()
    await lives(engine)


async def test_a_full_disk_is_named(engine: Engine) -> None:
    seen = await run(
        engine, BASH, "echo before; for n in 1 2 3 4; do head -c 3M /dev/zero > f$n || exit; done"
    )
    assert seen.stdout == "before\n"
    assert seen.ended.reason is Reason.DISK and "8 MiB" in seen.ended.detail
    await lives(engine)


async def test_a_file_that_is_too_large_is_named(engine: Engine) -> None:
    seen = await run(engine, BASH, "exec head -c 6M /dev/zero > big")
    assert seen.ended.reason is Reason.DISK and "4 MiB" in seen.ended.detail


async def test_a_compiler_that_is_led_astray_is_out_of_time_or_memory(engine: Engine) -> None:
    bomb = "#define A(x) x x x x x x x x\n#define B(x) A(A(A(A(x))))\nint main(void) { B(B(B(;))) }\n"
    seen = await run(engine, C, bomb, 5)
    assert seen.ended.stage is Stage.COMPILE
    assert seen.ended.reason in (Reason.OOM, Reason.TIME, Reason.DISK)
    await lives(engine)


async def test_output_in_no_encoding_arrives_as_it_is(engine: Engine) -> None:
    async with await engine.start(PYTHON, Source("import os; os.write(1, bytes(range(256)))")) as execution:
        data = b"".join([event.data async for event in execution if isinstance(event, Output)])
    assert data == bytes(range(256))
