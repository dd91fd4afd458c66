"""Programs in a sandbox: pipes, terminals, signals, the clock. The same for every tier."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from embedenv_jupyter.errors import SandboxGoneError, SandboxRequestError
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, ExitStatus
from tests.integration.sandbox.programs import DEADLINE_S, OpenSandbox, output, read_all, read_until

SILENCE_S = 0.3


async def wait(process: Process) -> ExitStatus:
    async with asyncio.timeout(DEADLINE_S):
        return await process.wait()


async def becomes_true(process: Process) -> bool:
    """Ask until the program waits for input; what it does before takes a moment."""
    async with asyncio.timeout(DEADLINE_S):
        while await process.awaiting_input() is not True:
            assert process.status is None
    return True


async def test_pipes_are_three_separate_streams(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["sh", "-c", "read line; echo out $line; echo err $line >&2; exit 3"])
    assert process.stdin is not None
    assert process.stderr is not None
    await process.stdin.write(b"hello\n")
    assert await read_until(process, b"\n") == b"out hello\n"
    assert await process.stderr.read() == b"err hello\n"
    assert await wait(process) == ExitStatus(code=3)
    assert process.status == ExitStatus(code=3)
    process.close()


async def test_closed_input_is_end_of_file(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["cat"])
    assert process.stdin is not None
    await process.stdin.write(b"x" * 10)
    process.stdin.close()
    assert await read_all(process) == b"x" * 10


async def test_a_driver_has_two_pipes_beside_its_streams(sandbox: Sandbox) -> None:
    script = 'while read -r line <&3; do echo "took $line" >&4; done; cat; echo heard >&2'
    process, cells, answers = await sandbox.spawn_driver(["bash", "-c", script])
    assert process.stdin is not None
    await cells.write(b"one\n")
    assert await answers.read() == b"took one\n"
    await process.stdin.write(b"typed\n")
    cells.close()
    process.stdin.close()
    assert process.stderr is not None
    assert await process.stderr.read() == b"heard\n"
    assert await read_all(process) == b"typed\n"
    assert await answers.read() == b""
    answers.close()


async def test_what_a_program_cost_is_told_with_its_end(sandbox: Sandbox) -> None:
    code = "held = bytearray(150 << 20)\nwhile __import__('time').process_time() < 0.3: pass"
    process = await sandbox.spawn(["python3", "-c", code])
    status = await process.wait()
    process.close()
    assert status == ExitStatus(code=0)
    assert status.cpu_s is not None and 0.3 <= status.cpu_s < DEADLINE_S
    assert status.peak_bytes is not None and 150 * MIB <= status.peak_bytes < 400 * MIB
    small = await sandbox.spawn(["true"])
    status = await small.wait()
    small.close()
    assert status.cpu_s is not None and status.cpu_s < 0.3
    assert status.peak_bytes is None, "it is hidden below what the supervisor itself holds"


async def test_output_of_megabytes_arrives_whole(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["sh", "-c", "head -c 20000000 /dev/zero"])
    assert len(await read_all(process)) == 20_000_000


async def test_many_programs_run_at_once(sandbox: Sandbox) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(output(sandbox, f"echo {n}")) for n in range(30)]
    assert [task.result() for task in tasks] == [b"%d\n" % n for n in range(30)]
    assert sandbox.running_jobs == 0


async def test_environment_and_folder_are_given(sandbox: Sandbox) -> None:
    await sandbox.files.make_dir("deep/er")
    process = await sandbox.spawn(
        ["sh", "-c", 'echo "$PWD|$HOME|$COLOUR"'], cwd="deep/er", env={"COLOUR": "red"}
    )
    assert (await read_all(process)).decode() == f"{sandbox.home}/deep/er|{sandbox.home}|red\n"


async def test_gateway_secrets_are_not_in_the_environment(
    open_sandbox: OpenSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_GATEWAY", "hunter2")
    sandbox = await open_sandbox()
    everything = await output(sandbox, "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'")
    assert b"SECRET_OF_THE_GATEWAY" not in everything or sandbox.tier_name == "unsafe"
    await sandbox.aclose()


async def test_programs_inherit_nothing_but_their_streams(sandbox: Sandbox) -> None:
    lister = "import os; print(sorted(fd for fd in os.listdir('/dev/fd') if os.path.exists(f'/dev/fd/{fd}')))"
    for start in (sandbox.spawn, sandbox.spawn_pty):
        process = await start(["python3", "-c", lister])
        assert (await read_all(process)).strip() == b"['0', '1', '2']"


@pytest.mark.parametrize(
    ("argv", "options", "named"),
    [
        (["no-such-program"], {}, "no-such-program: no such program in the room"),
        (["true"], {"cwd": "no/such/folder"}, "no/such/folder: No such file or directory"),
        ([], {}, "spawn: "),
        (["true", "a\0b"], {}, "spawn: "),
        (["true"], {"env": {"A\0": "b"}}, "spawn: "),
    ],
)
async def test_what_cannot_start_is_named(
    sandbox: Sandbox, argv: list[str], options: dict[str, str], named: str
) -> None:
    for start in (sandbox.spawn, sandbox.spawn_pty):
        with pytest.raises(SandboxRequestError) as caught:
            await start(argv, **options)  # type: ignore[arg-type]
        assert str(caught.value).replace("spawn_pty", "spawn").startswith(named)


async def test_signal_ends_the_whole_group(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["sh", "-c", "sleep 1000 & echo $!; wait"])
    child = int(await read_until(process, b"\n"))
    await process.signal(signal.SIGTERM)
    assert await wait(process) == ExitStatus(signal=signal.SIGTERM)
    assert await read_all(process) == b""
    async with asyncio.timeout(DEADLINE_S):
        # Its end is sure, but until the supervisor has collected it, it can be signalled.
        while await output(sandbox, f"kill -0 {child} 2>/dev/null && echo alive") != b"":
            assert sandbox.is_alive


async def test_signal_to_the_process_spares_its_group(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["sh", "-c", "sleep 1000 & echo $!; wait"])
    child = int(await read_until(process, b"\n"))
    await process.signal(signal.SIGKILL, "process")
    assert await wait(process) == ExitStatus(signal=signal.SIGKILL)
    assert await output(sandbox, f"kill -0 {child} && echo alive") == b"alive\n"
    await process.signal(signal.SIGKILL)  # the group outlives its leader
    await read_all(process)


async def test_signal_after_the_end_is_an_error(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["true"])
    await wait(process)
    for target in ("process", "group", "foreground"):
        with pytest.raises(ProcessLookupError):
            await process.signal(signal.SIGTERM, target)
    process.close()


async def test_program_may_signal_its_supervisor_in_vain(sandbox: Sandbox) -> None:
    for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "PIPE", "TSTP", "CHLD"):
        await output(sandbox, f"kill -{name} $PPID")
    await sandbox.request("ping")


# Terminals.


async def test_terminal_echoes_and_translates_line_ends_by_default(sandbox: Sandbox) -> None:
    process = await sandbox.spawn_pty(["sh", "-c", "read line; echo got $line"])
    assert process.stdin is not None
    await process.stdin.write(b"hi\n")
    assert await read_all(process) == b"hi\r\ngot hi\r\n"


async def test_terminal_without_echo_and_translation(sandbox: Sandbox) -> None:
    process = await sandbox.spawn_pty(["sh", "-c", "read line; echo got $line"], echo=False, cooked=False)
    assert process.stdin is not None
    await process.stdin.write(b"hi\n")
    assert await read_all(process) == b"got hi\n"


async def test_terminal_has_a_size_that_changes(sandbox: Sandbox) -> None:
    script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.02; done"
    process = await sandbox.spawn_pty(["sh", "-c", script], size=(40, 132))
    await read_until(process, b"40 132")
    process.resize(50, 90)
    await read_until(process, b"50 90")
    await wait(process)
    process.close()


async def test_terminal_is_the_controlling_one(sandbox: Sandbox) -> None:
    process = await sandbox.spawn_pty(["sh", "-c", "tty; echo by name > /dev/tty"])
    seen = await read_all(process)
    assert seen.startswith(b"/dev/pts/")
    assert b"by name" in seen


async def test_interrupt_reaches_the_foreground_group_only(sandbox: Sandbox) -> None:
    process = await sandbox.spawn_pty(["bash", "--norc", "-i"], env={"PS1": "ready "})
    assert process.stdin is not None
    await read_until(process, b"ready ")
    await process.stdin.write(b"echo begin; sleep 1000; echo end $?\n")
    await read_until(process, b"begin\r\n")
    while (await output(sandbox, "ps -eo stat,args")).find(b"S+   sleep 1000") < 0:
        assert process.status is None
    await process.signal(signal.SIGINT, "foreground")
    await read_until(process, b"ready ")
    await process.stdin.write(b"echo $((6 * 7)); exit 5\n")
    await read_until(process, b"42")
    assert await wait(process) == ExitStatus(code=5)
    process.close()


async def test_control_c_typed_on_the_terminal_interrupts(sandbox: Sandbox) -> None:
    program = (
        "import time\ntry:\n print('begin')\n time.sleep(1000)\nexcept KeyboardInterrupt:\n print('caught')"
    )
    process = await sandbox.spawn_pty(["python3", "-c", program])
    assert process.stdin is not None
    await read_until(process, b"begin")
    await process.stdin.write(b"\x03")
    await read_until(process, b"caught")
    assert await wait(process) == ExitStatus(code=0)
    process.close()


async def test_waiting_for_input_is_seen(sandbox: Sandbox) -> None:
    process = await sandbox.spawn_pty(["python3", "-c", "print(input('name? '))"], echo=False)
    assert process.stdin is not None
    await read_until(process, b"name? ")
    assert await becomes_true(process)
    await process.stdin.write(b"Ada\n")
    assert b"Ada" in await read_all(process)
    assert await process.awaiting_input() is False


async def test_sleeping_is_not_waiting_for_input(sandbox: Sandbox) -> None:
    process = await sandbox.spawn_pty(["sh", "-c", "echo begin; exec sleep 1000"])
    await read_until(process, b"begin")
    assert await process.awaiting_input() is False
    await process.signal(signal.SIGKILL)
    await read_all(process)


async def test_background_job_outlives_its_shell_and_terminal(sandbox: Sandbox) -> None:
    process = await sandbox.spawn_pty(["bash", "-c", "sleep 1000 > /dev/null 2>&1 < /dev/null & echo $!"])
    child = int(await read_all(process))
    assert await output(sandbox, f"kill -0 {child} && echo alive") == b"alive\n"


# The whole room.


async def test_pause_stops_the_clock_and_resume_starts_it(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["cat"])
    assert process.stdin is not None
    assert process.stdout is not None
    await sandbox.pause()
    await process.stdin.write(b"tick\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENCE_S):
            await process.stdout.read()
    await sandbox.resume()
    await read_until(process, b"tick\n")
    process.stdin.close()
    await read_all(process)


async def test_reset_kills_programs_and_keeps_files(sandbox: Sandbox) -> None:
    await sandbox.files.write("kept.txt", b"kept")
    script = "setsid sleep 1000 & sleep 1000 & echo begin; wait"
    process = await sandbox.spawn(["sh", "-c", script])
    await read_until(process, b"begin")
    await sandbox.reset()
    assert await wait(process) == ExitStatus(signal=signal.SIGKILL)
    await read_all(process)
    assert b"sleep 1000" not in await output(sandbox, "ps -eo args -u $(id -u)")
    assert await sandbox.files.read("kept.txt") == b"kept"


async def test_reset_ends_a_fork_bomb(sandbox: Sandbox) -> None:
    bomb = "import os\nprint('begin', flush=True)\nfor _ in range(20): os.fork()\nos.pause() if 0 else None"
    limited = f'ulimit -u 60 2>/dev/null; exec python3 -c "{bomb}\nimport signal; signal.pause()"'
    process = await sandbox.spawn(["sh", "-c", f"(ulimit -Su 60; {limited})"])
    await read_until(process, b"begin")
    await sandbox.reset()
    await wait(process)
    await read_all(process)
    assert await output(sandbox, "echo usable") == b"usable\n"


BUSY = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
"""Some tenths of a second: a watchdog counts in hundredths."""

HOLD = "held=$(head -c 1000000 /dev/zero | tr '\\0' x)"
"""Memory of the program's own: a watchdog does not count what the supervisor has."""


async def test_usage_is_plausible(sandbox: Sandbox) -> None:
    """Every tier tells all of it, by a cgroup of its own or the engine's, or by the watchdog."""
    before = await sandbox.usage()
    assert before.disk_bytes is not None
    process = await sandbox.spawn(
        ["sh", "-c", f"head -c 3000000 /dev/zero > big; {HOLD}; {BUSY}; echo begin; sleep 1000; echo $held"]
    )
    await read_until(process, b"begin")
    usage = await sandbox.usage()
    assert usage.cpu_s is not None
    assert 0 < usage.cpu_s < 60
    assert usage.memory_bytes is not None
    assert 1 << 18 < usage.memory_bytes < 1 << 30
    assert usage.pids is not None
    assert 2 <= usage.pids < 100, "the supervisor and the program, and who guards them"
    assert usage.disk_bytes is not None
    assert 3_000_000 <= usage.disk_bytes - before.disk_bytes < 4_000_000
    await process.signal(signal.SIGKILL)
    await read_all(process)


async def test_end_takes_everything_along(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["sh", "-c", "setsid sleep 1000 & sleep 1000 & echo begin; wait"])
    await read_until(process, b"begin")
    await sandbox.aclose()
    assert sandbox.cause == "closed"
    assert await read_all_that_is_left(process) == b""  # nobody holds the other end any more


async def read_all_that_is_left(process: Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        data = await process.stdout.read()
    process.close()
    return data


async def test_death_of_the_supervisor_is_noticed_at_once(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["sh", "-c", "setsid sleep 1000 & echo begin; wait"])
    await read_until(process, b"begin")
    assert sandbox.keeper.pid is not None
    os.kill(sandbox.keeper.pid, signal.SIGKILL)
    async with asyncio.timeout(1.0):
        assert await sandbox.wait_gone() == "died: signal SIGKILL"
    assert await read_all_that_is_left(process) == b""
    with pytest.raises(SandboxGoneError, match="died: signal SIGKILL"):
        await process.wait()


async def test_everything_after_the_end_says_so(sandbox: Sandbox) -> None:
    await sandbox.aclose("idle")
    calls = [
        sandbox.spawn(["true"]), sandbox.spawn_pty(["true"]), sandbox.files.open("x"), sandbox.files.list(),
        sandbox.files.write("x", b""), sandbox.connect(80), sandbox.ports(), sandbox.files.snapshot(),
        sandbox.reset(), sandbox.files.make_dir("x"), sandbox.files.rename("x", "y"),
        sandbox.files.remove("x"), sandbox.files.stat("x"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(SandboxGoneError) as caught:
            await call
        assert caught.value.cause == "idle"
    await sandbox.aclose()
    assert sandbox.cause == "idle"


# Load and abuse.


async def test_two_hundred_requests_at_once(sandbox: Sandbox) -> None:
    await sandbox.files.write("x", b"x")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sandbox.files.open("x")) for _ in range(200)]
    for task in tasks:
        os.close(task.result())


async def test_cancelled_requests_leak_no_descriptor(sandbox: Sandbox) -> None:
    await sandbox.files.write("x", b"x")
    before = len(os.listdir("/proc/self/fd"))
    for turns in range(8):
        tasks = [asyncio.create_task(sandbox.files.open("x")) for _ in range(50)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, int):
                os.close(result)
    await sandbox.request("ping")  # what was asked before is answered by now
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("no such operation", {}),
        ("connect", {"port": 70_000}),
        ("connect", {"port": "http"}),
        ("connect", {}),
        ("spawn", {"argv": "not a list"}),
        ("spawn", {"argv": [1, 2]}),
        ("spawn", {"argv": ["true"], "env": ["no"]}),
        ("spawn_pty", {"argv": ["true"], "size": [1 << 20, 1]}),
        ("spawn_pty", {"argv": ["true"], "size": "large"}),
        ("signal", {"job": 99, "signal": 9}),
        ("signal", {"job": [], "signal": 9}),
        ("signal_all", {"signal": 1 << 40}),
        ("signal_all", {"signal": 65}),
        ("open", {"path": 7}),
        ("open", {"path": "a\0b"}),
        ("open", {"path": "\ud800"}),
        ("open", {"path": "x", "flags": -1}),
        ("write", {"path": "no descriptor came along"}),
        ("rename", {"path": "a", "to": None}),
        ("restore", {}),
    ],
)  # fmt: skip
async def test_senseless_request_is_refused_and_harmless(
    sandbox: Sandbox, op: str, fields: dict[str, object]
) -> None:
    with pytest.raises(SandboxRequestError):
        await sandbox.request(op, **fields)  # type: ignore[arg-type]
    await sandbox.request("ping")
