"""One-shot runs: stages, files, input, signals, and a reader that is slow."""

from __future__ import annotations

import asyncio
import dataclasses
import signal

import pytest

from embedenv_jupyter.engine.engine import RUNS, Engine
from embedenv_jupyter.engine.events import Outcome, Output, Reason, Stage, StageBegan, StageEnded, Stream
from embedenv_jupyter.engine.execution import Execution, RunOptions
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.engine.stages import within
from embedenv_jupyter.engine.trial import Seen, read
from embedenv_jupyter.errors import MissingToolchainError, SandboxRequestError, SourceError
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.languages.registry import Languages
from tests.integration.engine_runs.conftest import OpenEngine

DEADLINE_S = 30.0
LANGUAGES = Languages.shipped()
BASH, C, PYTHON = (LANGUAGES.named(name) for name in ("bash", "c", "python"))

LOUD = '#include <stdio.h>\nint main(void) { puts("out"); fputs("err\\n", stderr); return 3; }\n'


async def _ended(execution: Execution) -> None:
    while not execution.has_ended:
        await asyncio.sleep(0.01)


async def run(engine: Engine, language: Language, code: str, **more: object) -> Seen:
    return await read(await engine.start(language, Source(code, **more)))  # type: ignore[arg-type]


async def test_the_stages_are_told_apart_with_their_ends(engine: Engine) -> None:
    async with await engine.start(C, Source(LOUD)) as execution:
        events = [event async for event in execution]
    outputs = {event.stream: event.data for event in events if isinstance(event, Output)}
    assert outputs == {Stream.STDOUT: b"out\n", Stream.STDERR: b"err\n"}
    stages = [event for event in events if not isinstance(event, Output)]
    assert [type(event) for event in stages] == [StageBegan, StageEnded, StageBegan, StageEnded, Outcome]
    assert [event.stage for event in stages] == [
        Stage.COMPILE, Stage.COMPILE, Stage.RUN, Stage.RUN, Stage.RUN,
    ]  # fmt: skip
    outcome = events[-1]
    assert isinstance(outcome, Outcome)
    assert (outcome.reason, outcome.exit.code, outcome.ok) == (Reason.EXIT, 3, False)
    assert outcome.cpu_ms is not None and outcome.cpu_ms > 0
    assert execution.outcome is outcome


async def test_a_compiler_that_fails_ends_the_run_with_its_complaint(engine: Engine) -> None:
    async with await engine.start(C, Source("int main( {")) as execution:
        events = [event async for event in execution]
    assert all(event.stage is Stage.COMPILE for event in events)
    complaint = b"".join(event.data for event in events if isinstance(event, Output))
    assert b"main.c:1" in complaint
    assert events[-1].reason is Reason.EXIT  # type: ignore[union-attr]


async def test_the_same_content_is_compiled_once(engine: Engine) -> None:
    cached = []
    for source in (Source(LOUD), Source(LOUD), Source(LOUD + "\n"), Source(LOUD, files={"a.h": b""})):
        async with await engine.start(C, source) as execution:
            events = [event async for event in execution]
        cached += [
            event.cached for event in events if isinstance(event, StageEnded) and event.stage is Stage.COMPILE
        ]
        assert events[-1].exit.code == 3  # type: ignore[union-attr]
    assert cached == [False, True, False, False]


async def test_a_result_that_the_room_has_broken_is_compiled_again(engine: Engine) -> None:
    await run(engine, C, LOUD)
    await run(engine, BASH, "rm -rf ~/.engine/builds")
    seen = await run(engine, C, LOUD)
    assert (seen.stdout, seen.ended.exit.code) == ("out\n", 3)


async def test_files_arguments_and_environment_reach_the_program(engine: Engine) -> None:
    seen = await run(
        engine, BASH, 'cat data/a.txt; echo "$1|$2|$WHO"; pwd',
        files={"data/a.txt": b"one\n"}, arguments=("a b", "*"), env={"WHO": "Ada $HOME"},
    )  # fmt: skip
    *lines, folder = seen.stdout.splitlines()
    assert lines == ["one", "a b|*|Ada $HOME"]
    assert f"/{RUNS}/" in folder


async def test_the_folder_of_a_run_is_gone_after_it(engine: Engine) -> None:
    seen = await run(engine, BASH, "touch left; pwd")
    await engine.aclose()
    with pytest.raises(SandboxRequestError):
        await engine.sandbox.files.stat(f"{RUNS}/{seen.stdout.strip().rpartition('/')[2]}")


async def test_a_file_may_not_take_the_place_of_the_code(engine: Engine) -> None:
    with pytest.raises(SourceError, match=r"files\['main\.sh'\]: is the file of the code itself"):
        await engine.start(BASH, Source("true", files={"main.sh": b""}))


async def test_a_missing_toolchain_is_named_with_what_brings_it(engine: Engine) -> None:
    strange = dataclasses.replace(C, needs=("gcc", "no-such-compiler"))
    with pytest.raises(MissingToolchainError) as caught:
        await engine.start(strange, Source(LOUD))
    assert caught.value.missing == ("no-such-compiler",)
    assert "apt: gcc libc6-dev" in str(caught.value)


async def test_input_and_its_end_are_read(engine: Engine) -> None:
    execution = await engine.start(BASH, Source('read line; echo "got $line"; cat'))
    await execution.write_stdin(b"one\ntwo\n")
    await execution.close_stdin()
    await execution.close_stdin()
    seen = await read(execution)
    assert (seen.stdout, seen.ended.ok) == ("got one\ntwo\n", True)


async def test_input_that_nobody_can_read_is_refused_and_late_input_is_ignored(engine: Engine) -> None:
    code = "import os, time; os.close(0); os.write(1, b'ready'); time.sleep(60)"
    execution = await engine.start(PYTHON, Source(code))

    async def write() -> None:
        with pytest.raises(BrokenPipeError):
            await execution.write_stdin(b"x" * (1 << 20))
        await execution.stop()

    seen = await read(execution, lambda seen: seen.stdout == "ready", write)
    assert seen.ended.reason is Reason.STOPPED
    await execution.write_stdin(b"late")
    await execution.close_stdin()


async def test_a_signal_reaches_the_program(engine: Engine) -> None:
    execution = await engine.start(
        BASH, Source("trap 'echo told; exit 4' USR1; echo ready; while :; do sleep 0.1; done")
    )
    seen = await read(
        execution, lambda seen: "ready" in seen.stdout, lambda: execution.send_signal(signal.SIGUSR1)
    )
    assert (seen.stdout, seen.ended.exit.code, seen.ended.reason) == ("ready\ntold\n", 4, Reason.EXIT)
    with pytest.raises(ValueError, match="99 is no signal"):
        await execution.send_signal(99)


async def test_stopping_climbs_until_the_program_ends(engine: Engine) -> None:
    execution = await engine.start(BASH, Source("trap '' INT TERM; echo ready; while :; do sleep 0.1; done"))
    seen = await read(execution, lambda seen: "ready" in seen.stdout, execution.stop)
    assert (seen.ended.reason, seen.ended.exit.signal) == (Reason.STOPPED, signal.SIGKILL)


async def test_who_stops_at_the_first_event_stops_the_program(engine: Engine) -> None:
    execution = await engine.start(BASH, Source("sleep 1000"), RunOptions(timeout_s=60))
    seen = await read(execution, lambda seen: seen.is_running, execution.stop)
    assert seen.ended.reason is Reason.STOPPED and seen.ended.wall_ms < 20_000


async def test_a_program_on_a_terminal_knows_its_size(engine: Engine) -> None:
    options = RunOptions(terminal=(30, 100))
    code = "trap 'stty size; exit' WINCH; test -t 0 -a -t 1 && stty size; while :; do sleep 0.1; done"
    execution = await engine.start(BASH, Source(code), options)

    async def resize() -> None:
        execution.resize(40, 120)

    seen = await read(execution, lambda seen: seen.stdout == "30 100\n", resize)
    assert seen.stdout == "30 100\n40 120\n"
    with pytest.raises(ValueError, match="0 rows"):
        execution.resize(0, 80)


async def test_a_slow_reader_holds_the_program_up_and_loses_nothing(engine: Engine) -> None:
    code = "import sys\nfor n in range(200_000): print(f'{n:09}')\nprint('done', file=sys.stderr)"
    execution = await engine.start(PYTHON, Source(code), RunOptions(timeout_s=None))
    events = aiter(execution)
    first = await anext(events)
    assert isinstance(first, StageBegan)
    # The program cannot end before its output is read.
    assert not await within(_ended(execution), 1)
    text = b"".join([e.data async for e in events if isinstance(e, Output) and e.stream is Stream.STDOUT])
    assert text == b"".join(b"%09d\n" % n for n in range(200_000))
    assert execution.outcome is not None and execution.outcome.ok


async def test_runs_beside_each_other_do_not_mix(engine: Engine) -> None:
    async def one(number: int) -> str:
        return (await run(engine, BASH, f"echo {number} > own; sleep 0.1; cat own")).stdout

    assert await asyncio.gather(*map(one, range(6))) == [f"{number}\n" for number in range(6)]


async def test_what_a_program_leaves_behind_ends_with_it(engine: Engine) -> None:
    async with asyncio.timeout(DEADLINE_S):
        seen = await run(engine, BASH, "sleep 1000 & echo started")
    assert (seen.stdout, seen.ended.ok) == ("started\n", True)
    assert "sleep" not in (await run(engine, BASH, "cat /proc/[0-9]*/comm")).stdout.split()


async def test_closing_early_ends_the_program(engine: Engine) -> None:
    async with await engine.start(BASH, Source("echo started; sleep 1000")) as execution:
        async for event in execution:
            if isinstance(event, Output):
                break
    assert execution.has_ended and execution.outcome is None
    assert "sleep" not in (await run(engine, BASH, "cat /proc/[0-9]*/comm")).stdout.split()


async def test_the_end_of_the_sandbox_is_an_outcome(open_engine: OpenEngine) -> None:
    engine = await open_engine()
    execution = await engine.start(BASH, Source("echo started; sleep 1000"))
    seen = await read(execution, lambda seen: "started" in seen.stdout, engine.sandbox.aclose)
    assert seen.ended.reason is Reason.GONE and "has ended" in seen.ended.detail
