"""The engine's client against a real gateway: real sandboxes, real programs, real cuts."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from embedenv_jupyter.client import (
    BlockedError,
    Buffering,
    Engine,
    EngineRun,
    Heartbeat,
    NoCreditsError,
    RefusedError,
    Retry,
    TooManyRunsError,
    UnknownLanguageError,
    UnreachableError,
    engine_sync,
)
from embedenv_jupyter.errors import (
    AuthenticationError,
    BusyError,
    ConnectionLostError,
    LocalProtocolError,
    SourceError,
    UnknownSessionError,
)
from embedenv_jupyter.protocols.engine.frames import Display, Prompt, Result, Stage, Stdout
from tests.integration.client.cutting_proxy import CuttingProxy
from tests.integration.client.tcp_proxy import TcpProxy, copy
from tests.integration.conftest import DEADLINE_S, Served

NOWHERE: dict[str, str] = {}
QUICK = Retry(base_s=0.005, cap_s=0.05, give_up_s=30)
ECHO = "name = input('name> ')\nprint(f'got: {name}')"
WAITING = "import time\nprint('on', flush=True)\nwhile True:\n    time.sleep(0.1)"
COUNTING = "import time\nfor n in range(2000):\n    print(n, flush=True)\n    time.sleep(0.0005)"

Make = Callable[..., Engine]


class Gate(TcpProxy):
    """A proxy that can cut all of its connections at once, and take no others for a while."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.is_shut = False
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    end = cut

    def freeze(self) -> None:
        """Carry nothing more, and tell nobody."""
        for writer in self._writers:
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport reads, too

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_shut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as group:
                upward = group.create_task(copy(reader, far_writer))
                await copy(far_reader, writer)
                upward.cancel()
        finally:
            self._writers -= {writer, far_writer}
            for side in (writer, far_writer):
                side.close()
                with contextlib.suppress(OSError):
                    await side.wait_closed()


@pytest.fixture
async def api_key(served: Served) -> str:
    return (await served.gateway.accounts.create_key("Ada", credits=100_000)).api_key


@pytest.fixture
def make(served: Served, api_key: str) -> Make:
    def make(url: str = served.http_url, **options: object) -> Engine:
        options = {"api_key": api_key, "retry": QUICK, "environment": NOWHERE, **options}
        return Engine(url, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
async def engine(make: Make) -> AsyncIterator[Engine]:
    async with asyncio.timeout(DEADLINE_S), make() as engine:
        yield engine


@pytest.fixture
async def gate(served: Served) -> AsyncIterator[Gate]:
    gate = Gate(int(served.host.rpartition(":")[2]))
    async with asyncio.timeout(DEADLINE_S), gate.serving():
        yield gate


def through(proxy: TcpProxy, served: Served) -> str:
    return f"http://127.0.0.1:{proxy.port}{served.base_url}"


async def printed(run: EngineRun, text: str) -> str:
    """Read a run until it has printed this."""
    seen = ""
    async for event in run:
        if isinstance(event, Stdout):
            seen += event.data
            if text in seen:
                return seen
    raise AssertionError(f"{run} printed {seen!r}, not {text!r}")


async def disconnected(engine: Engine) -> None:
    """Wait until an engine has found out that its connection is gone."""
    async with asyncio.timeout(DEADLINE_S):
        while engine.is_connected:
            await asyncio.sleep(0)


# Running


async def test_code_is_run_in_two_languages_with_all_that_it_needs(engine: Engine) -> None:
    await engine.execute("python", "x = 6")
    answer = await engine.execute("python", "print(x * 7)")
    assert (answer.stdout, answer.stderr, answer.exit_code, answer.ok) == ("42\n", "", 0, True)
    assert answer.execution_time_ms > 0
    shell = await engine.execute("bash", "read name; echo hello $name; exit 3", stdin="ada\n", fresh=True)
    assert (shell.stdout, shell.exit_code, shell.ok) == ("hello ada\n", 3, False)
    code = (
        "import os, sys\nprint(open('a.txt').read(), open('b', 'rb').read(), sys.argv[1:], os.environ['V'])"
    )
    answer = await engine.execute(
        "python", code, files={"a.txt": "ä", "b": b"\xff\0"}, args=["1", "2"], env={"V": "v"}, fresh=True
    )
    assert answer.stdout == "ä b'\\xff\\x00' ['1', '2'] v\n"


async def test_events_come_in_their_order_and_what_is_shown_is_in_the_answer(engine: Engine) -> None:
    run = await engine.stream("python", "from IPython.display import HTML\nprint(1)\nHTML('x')")
    kinds = [type(event) for event in [event async for event in run]]
    assert kinds[1] is Stage and kinds.index(Stdout) < kinds.index(Display) < kinds.index(Result)
    assert kinds[-1] is Result
    shown = await engine.execute("python", "from IPython.display import HTML, display\ndisplay(HTML('<b>'))")
    assert shown.displays[0]["text/html"] == "<b>"
    late = await engine.execute("python", WAITING, timeout=0.3, fresh=True)
    assert (late.exit_code, late.ended_by, late.stdout, late.ok) == (124, "time", "on\n", False)


async def test_a_compiler_is_told_apart_and_runs_beyond_what_a_gateway_takes_wait(engine: Engine) -> None:
    code = '#include <stdio.h>\nint main(void) { puts("hi"); return 0; }'
    answer = await engine.execute("c", code)
    assert answer.compile is not None
    assert (answer.stdout, answer.compile.exit_code) == ("hi\n", 0)
    broken = await engine.execute("c", "int main(void) { return x; }")
    assert broken.compile is not None
    assert "undeclared" in broken.stderr
    assert (broken.ok, broken.stderr) == (False, broken.compile.stdout + broken.compile.stderr)
    answers = await asyncio.gather(*(engine.execute("python", f"print({n})") for n in range(40)))
    assert [answer.stdout for answer in answers] == [f"{n}\n" for n in range(40)]


async def test_a_prompt_is_answered(engine: Engine) -> None:
    run = await engine.stream("python", ECHO)
    prompts = []
    async for event in run:
        if isinstance(event, Prompt):
            prompts.append(event.text)
            await run.stdin("Ada\n")
        if isinstance(event, Result):
            assert event.exit_code == 0
    assert prompts == ["name> "]
    assert not run.is_running
    with pytest.raises(BusyError, match="has ended"):
        await run.stdin("more")


async def test_input_may_be_given_before_the_run_has_begun_and_ends(engine: Engine) -> None:
    run = await engine.stream("python", "import sys\nprint(repr(sys.stdin.read()))", fresh=True)
    text = "a\nb" * 40_000
    await run.stdin(text)
    await run.eof()
    assert (await run.result()).stdout == f"{text!r}\n"


async def test_a_signal_ends_a_run_or_calls_it_off(engine: Engine) -> None:
    run = await engine.stream("python", WAITING)
    await printed(run, "on")
    with pytest.raises(RefusedError, match="'NONE' is no signal"):
        await run.signal("NONE")
    await run.signal("INT")
    answer = await run.result()
    assert (answer.exit_code, answer.signal) == (128 + signal.SIGINT, "SIGINT")
    first, second = await engine.stream("python", ECHO), await engine.stream("python", "print('never')")
    await second.signal()
    assert (await second.result()).ended_by == "stopped"
    await first.stdin("x\n")
    assert (await first.result()).ok


async def test_a_terminal_is_resized(engine: Engine) -> None:
    code = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.05; done"
    run = await engine.stream("bash", code, pty=(30, 90))
    await printed(run, "30 90")
    await run.resize(40, 120)
    assert "40 120" in (await run.result()).stdout


async def test_runs_at_once_keep_apart_and_cancelling_interrupts(engine: Engine) -> None:
    waiting = [await engine.stream("python", ECHO, fresh=True) for _ in range(3)]
    for run in waiting:
        await printed(run, "name> ")
    other, ping_s = await asyncio.gather(engine.execute("bash", "echo 1"), engine.ping())
    assert other.stdout == "1\n" and 0 < ping_s < DEADLINE_S
    for number, run in reversed(list(enumerate(waiting))):
        await run.stdin(f"{number}\n")
    assert [(await run.result()).stdout for run in waiting] == [f"got: {number}\n" for number in range(3)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await engine.execute("python", WAITING)
    assert (await engine.execute("python", "print('free')")).stdout == "free\n"


async def test_a_slow_reader_loses_nothing_and_others_get_through(make: Make) -> None:
    async with asyncio.timeout(DEADLINE_S), make(buffering=Buffering(soft_bytes=10_000)) as engine:
        slow = await engine.stream("python", "for n in range(100_000): print(n)", fresh=True)
        assert (await engine.execute("bash", "echo quick")).stdout == "quick\n"
        assert (await slow.result()).stdout == "".join(f"{n}\n" for n in range(100_000))


# Refusals


async def test_refusals_have_their_types(engine: Engine, make: Make, served: Served) -> None:
    with pytest.raises(UnknownLanguageError, match="klingon"):
        await engine.execute("klingon", "1")
    with pytest.raises(BlockedError, match="rule"):
        await engine.execute("bash", ":(){ :|:& };:")
    poor = (await served.gateway.accounts.create_key("Poor", credits=0)).api_key
    async with make(api_key=poor) as other:
        with pytest.raises(NoCreditsError):
            await other.execute("bash", "echo 1")
    with pytest.raises(SourceError, match="at most"):
        await engine.execute("python", "#" * (17 << 20))
    with pytest.raises(SourceError, match="limits"):
        await engine.execute("python", "1", limits={"speed": 1})
    assert (await engine.execute("python", "print(1)")).ok


@pytest.mark.parametrize("embedenv_config", [{"runs_per_minute": 2}])
async def test_too_many_runs_are_told_when_to_come_back(engine: Engine) -> None:
    for _ in range(2):
        await engine.execute("python", "1")
    with pytest.raises(TooManyRunsError) as caught:
        await engine.execute("python", "1")
    assert 0 < caught.value.retry_after_s <= 60


async def test_a_wrong_key_is_refused_and_not_shown(make: Make) -> None:
    engine = make(api_key="wrong-secret")
    with pytest.raises(AuthenticationError):
        await engine.open()
    assert "wrong-secret" not in repr(engine)
    with pytest.raises(LocalProtocolError):
        await engine.execute("python", "1")
    await engine.close()


# Cuts


async def test_cuts_lose_and_double_nothing(served: Served, make: Make) -> None:
    dice = random.Random(8)
    proxy = CuttingProxy(int(served.host.rpartition(":")[2]), dice, cuts=8, up_to_bytes=16_000)
    async with asyncio.timeout(DEADLINE_S), proxy.serving():
        async with make(through(proxy, served), retry=Retry(base_s=0.005, cap_s=0.05, first_s=20)) as engine:
            runs = [await engine.stream("python", COUNTING, fresh=True) for _ in range(2)]
            answers = [await run.result() for run in runs]
    for answer in answers:
        assert answer.ok, answer
        assert answer.stdout == "".join(f"{n}\n" for n in range(2000))
    assert proxy.cuts == 8


async def test_cuts_type_nothing_twice_and_swallow_nothing(served: Served, make: Make) -> None:
    dice = random.Random(9)
    proxy = CuttingProxy(int(served.host.rpartition(":")[2]), dice, cuts=8, up_to_bytes=4000)
    retry = Retry(base_s=0.005, cap_s=0.05, first_s=20)
    async with asyncio.timeout(DEADLINE_S), proxy.serving():
        async with make(through(proxy, served), retry=retry) as engine:
            run = await engine.stream("bash", "cat", fresh=True)
            for n in range(200):
                await run.stdin(f"{n}\n")
            await run.eof()
            answer = await run.result()
    assert answer.stdout == "".join(f"{n}\n" for n in range(200))
    assert proxy.cuts == 8


async def test_a_run_goes_on_while_the_connection_is_away(gate: Gate, served: Served, make: Make) -> None:
    async with make(through(gate, served)) as engine:
        run = await engine.stream("python", ECHO)
        await printed(run, "name> ")
        gate.is_shut = True
        gate.cut()
        await disconnected(engine)
        answering = asyncio.create_task(run.stdin("Ben\n"))
        later = asyncio.create_task(engine.execute("python", "print(name)"))
        await asyncio.sleep(0)
        gate.is_shut = False
        assert (await run.result()).stdout == "got: Ben\n"
        await answering
        assert (await later).stdout == "Ben\n"


async def test_without_resuming_a_cut_ends_the_run(gate: Gate, served: Served, make: Make) -> None:
    async with make(through(gate, served), resume=False) as engine:
        assert engine.session is None
        run = await engine.stream("python", WAITING)
        await printed(run, "on")
        gate.cut()
        with pytest.raises(ConnectionLostError, match="without a name"):
            await run.result()
        assert (await engine.execute("python", "print('again')")).stdout == "again\n"


async def test_a_session_that_ended_meanwhile_is_told(gate: Gate, served: Served, make: Make) -> None:
    async with make(through(gate, served), session="lesson") as engine, make(session="lesson") as other:
        run = await engine.stream("python", WAITING)
        await printed(run, "on")
        gate.is_shut = True
        gate.cut()
        await other.execute("bash", "true")
        await other.end_session()
        gate.is_shut = False
        with pytest.raises(UnknownSessionError):
            await run.result()
        assert (await engine.execute("python", "print('new')")).stdout == "new\n"


@pytest.mark.parametrize("leave", [Gate.cut, Gate.freeze])
async def test_a_gateway_that_goes_away_is_told_within_the_deadline(
    gate: Gate, served: Served, make: Make, leave: Callable[[Gate], None]
) -> None:
    retry, heartbeat = Retry(base_s=0.01, cap_s=0.05, give_up_s=0.5), Heartbeat(every_s=0.2, deadline_s=0.5)
    engine = await make(through(gate, served), retry=retry, heartbeat=heartbeat).open()
    run = await engine.stream("python", WAITING)
    await printed(run, "on")
    gate.is_shut = True
    leave(gate)
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionLostError):
            await run.result()
        with pytest.raises(ConnectionLostError):
            await engine.ping()
        with pytest.raises(ConnectionLostError):
            await engine.stream("python", "1")
        await engine.close()
    with pytest.raises(UnreachableError):
        await make(through(gate, served)).open()


# Sessions


async def test_a_named_session_stays_and_a_generated_one_ends(make: Make) -> None:
    async with make(session="lesson") as engine:
        await engine.execute("python", "x = 7")
    async with make(session="lesson") as engine:
        assert (await engine.execute("python", "print(x)")).stdout == "7\n"
        await engine.end_session()
        assert "NameError" in (await engine.execute("python", "print(x)")).stderr
        await engine.end_session()
    async with make() as engine:
        await engine.execute("python", "x = 7")
    async with make(session=engine.session) as engine:
        assert "NameError" in (await engine.execute("python", "print(x)")).stderr


# Without asyncio


def use_blocking(url: str, key: str) -> None:
    with engine_sync(url, api_key=key, environment=NOWHERE) as engine:
        assert engine.is_connected
        assert engine.execute("python", "print(input())", stdin="x\n").stdout == "x\n"
        run = engine.stream("python", ECHO)
        for event in run:
            if isinstance(event, Prompt):
                run.stdin("Ada\n")
        assert run.result().ok
        waiting = engine.stream("python", WAITING)
        assert any(isinstance(event, Stdout) for event in waiting)
        waiting.signal("INT")
        assert waiting.result().signal == "SIGINT"
        assert engine.ping() > 0
    engine.close()
    with pytest.raises(LocalProtocolError):
        engine.ping()


async def test_the_blocking_face(served: Served, api_key: str) -> None:
    await asyncio.to_thread(use_blocking, served.http_url, api_key)
    with pytest.raises(AuthenticationError):
        await asyncio.to_thread(engine_sync, served.http_url, api_key="wrong", environment=NOWHERE)
