"""The kernel over the Engine frames: cells, languages, interrupts, and what front ends ask besides."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.forwarder.engine.conftest import API_KEY, DEADLINE_S, StartKernel
from tests.integration.forwarder.engine_peer import EnginePeer


async def test_a_cell_is_sent_as_published_and_its_output_shown(
    start_kernel: StartKernel, peer: EnginePeer
) -> None:
    front = await start_kernel()
    outcome = await front.run("import sys; print('héllo ✓'); print('to stderr', file=sys.stderr)")
    assert (outcome.stdout, outcome.stderr) == ("héllo ✓\n", "to stderr\n")
    assert outcome.reply["status"] == "ok" and outcome.reply["execution_count"] == 1
    receipt = outcome.metadata["embedenv"]
    assert receipt["exit_code"] == 0 and receipt["language"] == "python"
    assert 0 < receipt["execution_time_ms"] < 1000 * DEADLINE_S
    (request,) = peer.requests
    assert request == {
        "action": "execute", "language": "python", "api_key": API_KEY,
        "code": "import sys; print('héllo ✓'); print('to stderr', file=sys.stderr)",
    }  # fmt: skip


async def test_one_connection_serves_many_cells(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    assert [(await front.run(f"print({n})")).stdout for n in range(5)] == [f"{n}\n" for n in range(5)]
    assert peer.connections == 1


async def test_an_exit_code_is_an_error_with_the_output_before_it(start_kernel: StartKernel) -> None:
    front = await start_kernel()
    outcome = await front.run("print('before'); 1/0")
    assert outcome.stdout == "before\n" and "ZeroDivisionError" in outcome.stderr
    assert outcome.error.startswith("ExitCode: The program ended with exit code 1.")
    assert outcome.metadata["embedenv"]["exit_code"] == 1


async def test_a_cell_may_be_in_another_language(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    assert (await front.run("%%lang sh\necho $((6*7))")).stdout == "42\n"
    assert (await front.run("print('python again')")).stdout == "python again\n"
    assert [request["language"] for request in peer.requests] == ["bash", "python"]


@pytest.mark.parametrize("way", ["environment", "argument"])
async def test_the_language_of_a_kernel_is_chosen_when_it_starts(start_kernel: StartKernel, way: str) -> None:
    if way == "environment":
        front = await start_kernel(EMBEDENV_LANGUAGE="shell")
    else:
        front = await start_kernel("--language=bash", EMBEDENV_LANGUAGE="python")
    assert (await front.run("echo $0")).stdout == "bash\n"
    info = await front.reply(front.client.kernel_info())
    assert info["language_info"]["name"] == "bash" and info["language_info"]["file_extension"] == ".sh"
    assert info["banner"] == "Embedenv: Bash on 127.0.0.1" and info["supported_features"] == []


async def test_a_language_that_the_gateway_lacks_is_its_refusal(start_kernel: StartKernel) -> None:
    front = await start_kernel()
    error = (await front.run("%%lang befunge\nDISPLAY 1")).error
    assert error.startswith("GatewayRefusedError: The gateway refused: no such language; there are: python")
    assert (await front.run("print(1)")).stdout == "1\n"


async def test_a_magic_without_a_language_is_explained(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    assert "as in: %%lang bash" in (await front.run("%%lang\necho 1")).error
    assert peer.requests == []


async def test_a_blank_cell_is_not_sent(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    assert (await front.run(" \n\t")).reply["status"] == "ok"
    assert peer.requests == []


async def test_a_silent_cell_shows_nothing(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    outcome = await front.run("print(1); 1/0", silent=True)
    assert (outcome.stdout, outcome.stderr, outcome.errors) == ("", "", [])
    assert outcome.reply["status"] == "error" and len(peer.requests) == 1


@pytest.mark.parametrize("mode", ["message", "signal"])
async def test_an_endless_cell_is_interrupted(start_kernel: StartKernel, peer: EnginePeer, mode: str) -> None:
    front = await start_kernel(mode=mode)
    request = front.client.execute("while True: pass")
    async with asyncio.timeout(DEADLINE_S):
        await peer.running.wait()
    await front.manager.interrupt_kernel()
    assert (await front.outcome(request)).error.startswith("KeyboardInterrupt: ")
    async with asyncio.timeout(DEADLINE_S):
        await peer.killed.wait()
    after = await front.run("print('next')")
    assert after.stdout == "next\n" and peer.connections == 2


async def test_an_interrupt_of_nothing_does_nothing(start_kernel: StartKernel) -> None:
    front = await start_kernel()
    await front.manager.interrupt_kernel()
    assert front.manager.provisioner is not None
    await front.manager.provisioner.send_signal(signal.SIGINT)
    # Answered on the threads that take the signal and the message: afterwards neither can hit the cell.
    await front.reply(front.client.kernel_info())
    await front.control("kernel_info_request")
    assert (await front.run("print(1)")).stdout == "1\n"


async def test_an_error_stops_the_cells_that_wait(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    first, second = front.client.execute("1/0"), front.client.execute("print('never')")
    assert (await front.outcome(first)).reply["status"] == "error"
    aborted = await front.outcome(second)
    assert aborted.reply["status"] == "aborted" and "embedenv" not in aborted.metadata
    assert len(peer.requests) == 1


async def test_what_needs_a_local_interpreter_is_declined_politely(start_kernel: StartKernel) -> None:
    front = await start_kernel()
    client = front.client
    completed = await front.reply(client.complete("pri", 3))
    assert completed["status"] == "ok" and completed["matches"] == []
    assert (await front.reply(client.inspect("print", 3)))["found"] is False
    assert (await front.reply(client.is_complete("for x in y:")))["status"] == "unknown"
    assert (await front.reply(client.history()))["history"] == []
    assert (await front.reply(client.comm_info()))["comms"] == {}
    debug = await front.control("debug_request", type="request", seq=1, command="initialize")
    assert debug["success"] is False and debug["command"] == "initialize"
    assert (await front.control("create_subshell_request"))["ename"] == "NotSupported"
    outcome = await front.run("print(1)", user_expressions={"x": "1+1"})
    assert outcome.reply["user_expressions"]["x"]["ename"] == "NotSupported"


async def test_a_restart_and_a_shutdown_are_quick_while_a_cell_runs(
    start_kernel: StartKernel, peer: EnginePeer
) -> None:
    front = await start_kernel()
    front.client.execute("while True: pass")
    async with asyncio.timeout(DEADLINE_S):
        await peer.running.wait()
        await front.manager.restart_kernel()
        await front.client.wait_for_ready(timeout=DEADLINE_S)
        await peer.killed.wait()
    assert (await front.run("print('anew')")).stdout == "anew\n"
    assert (await front.control("shutdown_request", restart=False))["status"] == "ok"
    assert front.manager.provisioner is not None
    async with asyncio.timeout(DEADLINE_S):
        assert await front.manager.provisioner.wait() == 0


async def test_the_key_is_nowhere_to_be_seen(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel("--debug")
    assert (await front.run("print(1)")).stdout == "1\n"
    peer.api_key = "another"
    outcome = await front.run("print(1)")
    assert "bad key •••" in outcome.error
    assert f"set {'EMBEDENV_API_KEY'} where Jupyter is started" in outcome.error
    shown = json.dumps([outcome.reply, outcome.errors, outcome.metadata, outcome.stderr])
    provisioner: Any = front.manager.provisioner
    assert provisioner is not None
    command = psutil.Process(provisioner.pid).cmdline()
    log = await asyncio.to_thread(Path.read_text, front.log)
    assert "execute_request" in log, "the log has nothing to look through"
    assert not [text for text in (shown, log, *command) if API_KEY in text]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("EMBEDENV_API_KEY", "", "EMBEDENV_API_KEY is not set"),
        ("EMBEDENV_API_KEY", "two\nlines", "EMBEDENV_API_KEY holds characters"),
        ("EMBEDENV_URL", "", "EMBEDENV_URL is not set. Set EMBEDENV_URL (wss://HOST/ws)"),
        ("EMBEDENV_URL", "ftp://host", "'ftp' is not a scheme"),
        ("EMBEDENV_ANSWER_TIMEOUT_S", "soon", "a number of seconds above 0"),
        ("EMBEDENV_LANGUAGE", "a b", "cannot be a language"),
    ],
)
async def test_a_wrong_setting_is_said_in_the_notebook(
    start_kernel: StartKernel, peer: EnginePeer, name: str, value: str, told: str
) -> None:
    front = await start_kernel(**{name: value})
    assert told in (await front.run("print(1)")).error
    assert peer.connections == 0


async def test_the_usual_kernel_finds_out_that_a_gateway_has_no_rooms(
    start_kernel: StartKernel, peer: EnginePeer
) -> None:
    front = await start_kernel(mode="usual")
    assert (await front.run("print('published frames')")).stdout == "published frames\n"
    assert [request["action"] for request in peer.requests] == ["execute"]
