"""Sessions: state from run to run, what ends it, and what says so."""

from __future__ import annotations

import asyncio

import pytest

from embedenv_jupyter.engine.engine import SESSIONS, Engine
from embedenv_jupyter.engine.events import Output, Reason, SessionState
from embedenv_jupyter.engine.execution import Execution, RunOptions
from embedenv_jupyter.engine.session import LanguageSession
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.engine.trial import Seen, read
from embedenv_jupyter.errors import SandboxRequestError, SessionError, SourceError
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.languages.registry import Languages
from tests.integration.engine_runs.conftest import OpenEngine
from tests.lacking import lacking

LANGUAGES = Languages.shipped()
PYTHON, BASH, C = (LANGUAGES.named(name) for name in ("python", "bash", "c"))


async def cell(session: LanguageSession, code: str, timeout_s: float | None = 20.0, **more: object) -> Seen:
    source = Source(code, **more)  # type: ignore[arg-type]
    return await read(await session.start(source, RunOptions(timeout_s=timeout_s)))


async def open_session(engine: Engine, language: Language) -> LanguageSession:
    if not await engine.found(language):
        lacking(language.name, " ".join(language.packages["apt"]))
    return await engine.open_session(language)


class TestTiers:
    """The drivers reach every kind of sandbox."""

    @pytest.fixture(params=["ns", "bwrap", "landlock", "unsafe"])
    def tier_name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.mark.parametrize("name", ["python", "bash", "perl"])
    async def test_state_is_kept(self, engine: Engine, name: str) -> None:
        language = LANGUAGES.named(name)
        assert language.cells is not None
        session = await open_session(engine, language)
        assert (await cell(session, language.cells.define)).ended.session is SessionState.KEPT
        assert (await cell(session, language.cells.use)).stdout == "42\n"


async def test_an_error_is_an_exit_code_and_keeps_the_state(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    await cell(session, "x = 41")
    seen = await cell(session, "print(x)\nraise ValueError('boom')")
    assert (seen.ended.exit.code, seen.ended.reason, seen.ended.session) == (
        1,
        Reason.EXIT,
        SessionState.KEPT,
    )
    assert seen.stdout == "41\n"
    assert seen.stderr.endswith("ValueError: boom\n") and "driver.py" not in seen.stderr
    assert (await cell(session, "x + 1")).stdout == "42\n", "the value of a last expression is shown"


async def test_a_cell_asks_and_is_answered(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    for answer in ("Ada", "Grace"):
        execution = await session.start(Source("name = input('name> '); print('got', name)"))

        async def give(execution: Execution = execution, answer: str = answer) -> None:
            await execution.write_stdin(f"{answer}\n".encode())

        seen = await read(execution, lambda seen: seen.stdout == "name> ", give)
        assert seen.stdout == f"name> got {answer}\n"


async def test_a_time_out_keeps_the_state_where_it_can_be_kept(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    await cell(session, "x = 41")
    seen = await cell(session, "print('before')\nwhile True: pass", 1)
    assert (seen.stdout, seen.ended.reason, seen.ended.session) == (
        "before\n",
        Reason.TIME,
        SessionState.KEPT,
    )
    seen = await cell(session, "print(x + 1)")
    assert (seen.stdout, seen.ended.restarted) == ("42\n", False)


async def test_a_time_out_that_costs_the_state_says_so_and_the_next_run_too(engine: Engine) -> None:
    session = await open_session(engine, BASH)
    await cell(session, "x=41")
    seen = await cell(session, "trap '' INT TERM; while :; do :; done", 1)
    assert (seen.ended.reason, seen.ended.session) == (Reason.TIME, SessionState.LOST)
    seen = await cell(session, 'echo "[$x]"')
    assert (seen.stdout, seen.ended.restarted, seen.ended.session) == ("[]\n", True, SessionState.KEPT)
    assert not (await cell(session, "true")).ended.restarted


async def test_stopping_a_cell_keeps_the_state(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    await cell(session, "x = 41")
    execution = await session.start(Source("print('ready')\nwhile True: pass"))
    seen = await read(execution, lambda seen: "ready" in seen.stdout, execution.stop)
    assert (seen.ended.reason, seen.ended.session) == (Reason.STOPPED, SessionState.KEPT)
    assert (await cell(session, "print(x)")).stdout == "41\n"


async def test_who_stops_at_the_first_event_stops_the_cell(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    await cell(session, "x = 41")
    execution = await session.start(Source("while True: pass"), RunOptions(timeout_s=60))
    seen = await read(execution, lambda seen: seen.is_running, execution.stop)
    assert (seen.ended.reason, seen.ended.session) == (Reason.STOPPED, SessionState.KEPT)
    assert (await cell(session, "print(x)")).stdout == "41\n"


async def test_a_cell_that_ends_the_process_ends_the_state(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    seen = await cell(session, "import os; print('last', flush=True); os._exit(7)")
    assert (seen.stdout, seen.ended.exit.code, seen.ended.session) == ("last\n", 7, SessionState.LOST)
    assert (await cell(session, "print(1)")).ended.restarted


async def test_a_driver_that_ends_between_two_runs_is_started_anew(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    await cell(session, "import os, threading; x = 1; threading.Timer(0.2, lambda: os._exit(3)).start()")
    await read(
        await engine.start(BASH, Source("while grep -q driver.py /proc/[0-9]*/cmdline; do sleep 0.05; done"))
    )
    seen = await cell(session, "print('x' in globals())")
    assert (seen.stdout, seen.ended.restarted, seen.ended.session) == ("False\n", True, SessionState.KEPT)


async def test_the_end_of_the_sandbox_is_an_outcome(open_engine: OpenEngine) -> None:
    engine = await open_engine()
    session = await open_session(engine, PYTHON)
    execution = await session.start(Source("print('ready')\nwhile True: pass"))
    seen = await read(execution, lambda seen: "ready" in seen.stdout, engine.sandbox.aclose)
    assert (seen.ended.reason, seen.ended.session) == (Reason.GONE, SessionState.LOST)


async def test_a_cell_that_forges_answers_harms_its_own_session_only(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    await cell(session, "import os; [os.write(4, b'ok\\n' * 1000) for _ in range(2)]")
    other = await open_session(engine, PYTHON)
    assert (await cell(other, "print('fine')")).stdout == "fine\n"
    await cell(session, "import os; os.write(4, b'x' * 60000)", 2)
    async with asyncio.timeout(30):
        await session.aclose()


async def test_one_run_at_a_time(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    async with await session.start(Source("print('ready')\nwhile True: pass")) as execution:
        async for event in execution:
            if isinstance(event, Output):
                break
        with pytest.raises(SessionError, match="has a run that has not ended"):
            await session.start(Source("1"))
    seen = await cell(session, "print(1)")
    assert seen.stdout == "1\n" and seen.ended.restarted, "who closes a run early ends what it ran in"


async def test_files_stay_and_arguments_are_refused(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    await cell(session, "open('own.txt', 'w').write('kept')", files={"module.py": b"value = 42\n"})
    assert (
        await cell(session, "import module; print(module.value, open('own.txt').read())")
    ).stdout == "42 kept\n"
    for source in (Source("1", arguments=("a",)), Source("1", env={"A": "b"})):
        with pytest.raises(SourceError, match="cannot be given to a cell"):
            await session.start(source)


async def test_a_language_without_state_keeps_its_folder(engine: Engine) -> None:
    session = await open_session(engine, LANGUAGES.named("awk"))
    assert not session.keeps_state
    await cell(session, 'BEGIN { print "kept" > "own.txt" }')
    seen = await cell(session, 'BEGIN { getline line < "own.txt"; print line }')
    assert (seen.stdout, seen.ended.session) == ("kept\n", SessionState.NONE)


async def test_a_whole_program_is_run_as_one(engine: Engine) -> None:
    if not await engine.found(C):
        lacking("C", "gcc")
    session = await engine.open_session(C)
    seen = await cell(session, C.samples.hello)
    assert seen.stdout == "Hello, World!\n"


async def test_a_closed_session_takes_no_run_and_leaves_no_folder(engine: Engine) -> None:
    session = await open_session(engine, PYTHON)
    folder = (await cell(session, "import os; print(os.getcwd())")).stdout.strip()
    await session.aclose()
    await session.aclose()
    with pytest.raises(SessionError, match="was closed"):
        await session.start(Source("1"))
    with pytest.raises(SandboxRequestError):
        await engine.sandbox.files.stat(f"{SESSIONS}/{folder.rpartition('/')[2]}")
