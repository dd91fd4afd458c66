"""State: what one run leaves is there in the next, of this connection or of another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.conftest import DEADLINE_S, Served
from tests.integration.snippets.conftest import Dial, EnginePeer

DEAF = """
import time
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print('no')
"""
FAST = {"session_idle_s": 1.0}


async def test_state_lives_as_long_as_the_connection(peer: EnginePeer, dial_engine: Dial) -> None:
    await peer.ask("import math\nx = 41\ndef f():\n    return x + 1")
    assert (await peer.ask("f()"))["stdout"] == "42\n"
    failed = await peer.ask("x = 43\n1 / 0")
    assert (failed["exit_code"], "ZeroDivisionError: division by zero" in failed["stderr"]) == (1, True)
    assert "\x1b" not in failed["stderr"]
    assert (await peer.ask("print(x, math.pi > 3)"))["stdout"] == "43 True\n"
    other = await dial_engine()
    assert "NameError" in (await other.ask("x"))["stderr"]


async def test_a_room_ends_with_the_connection_of_a_session_without_a_name(
    served: Served, dial_engine: Dial
) -> None:
    peer = await dial_engine()
    await peer.ask("1")
    (room,) = served.gateway.rooms
    await peer.socket.close()
    async with asyncio.timeout(DEADLINE_S):
        await room.ended.wait()
    assert len(served.gateway.desk.sessions) == 0


async def test_a_named_session_is_there_for_another_connection(dial_engine: Dial) -> None:
    first, second = await dial_engine(), await dial_engine()
    await first.ask("x = 5", session="lesson")
    await first.socket.close()
    assert (await second.ask("x * 2", session="lesson"))["stdout"] == "10\n"
    assert "NameError" in (await second.ask("x"))["stderr"], "it is not the connection's own"


async def test_sessions_of_other_accounts_are_others(served: Served, dial_engine: Dial) -> None:
    ada = await dial_engine()
    ben = await dial_engine((await served.gateway.accounts.create_key("Ben", credits=100)).api_key)
    await ada.ask("x = 5", session="lesson")
    assert "NameError" in (await ben.ask("x", session="lesson"))["stderr"]
    await ben.send("resume", session="unheard-of", after=0)
    assert (await ben.receive())["error"] == "unknown_session"


async def test_a_fresh_run_finds_nothing_and_leaves_nothing(peer: EnginePeer) -> None:
    await peer.ask("x = 5")
    fresh = await peer.ask("open('left.txt', 'w').write('a')\nprint('x' in globals(), __name__)", fresh=True)
    assert fresh["stdout"] == "False __main__\n"
    assert (await peer.ask("import os\nprint(x, os.path.exists('left.txt'))"))["stdout"] == "5 False\n"


async def test_files_arguments_and_variables_come_with_a_run(peer: EnginePeer) -> None:
    code = (
        "import os, sys\n"
        "print(open('in/a.txt').read(), open('b.bin', 'rb').read(), sys.argv[1:], os.environ['LEVEL'])"
    )
    given: dict[str, Any] = {
        "files": {"in/a.txt": "ä", "b.bin": {"base64": "AP8="}},
        "args": ["one", "two words"],
        "env": {"LEVEL": "3"},
    }  # fmt: skip
    expected = "ä b'\\x00\\xff' ['one', 'two words'] 3\n"
    assert (await peer.ask(code, **given, fresh=True))["stdout"] == expected
    assert (await peer.ask(code, **given))["stdout"] == expected


@pytest.mark.parametrize("embedenv_config", [FAST])
async def test_a_named_session_ends_when_nobody_uses_it(served: Served, dial_engine: Dial) -> None:
    peer = await dial_engine()
    await peer.ask("x = 1", session="short")
    await peer.ask("import time\ntime.sleep(1.5)", session="short")
    (room,) = served.gateway.rooms
    assert room.end_reason is None, "somebody is there"
    await peer.socket.close()
    async with asyncio.timeout(DEADLINE_S):
        await room.ended.wait()
    again = await dial_engine()
    assert "NameError" in (await again.ask("x", session="short"))["stderr"]


async def test_a_session_can_be_closed(served: Served, peer: EnginePeer) -> None:
    await peer.ask("x = 1", session="a")
    (room,) = served.gateway.rooms
    await peer.send("close", session="a")
    told = {"type": "closed", "session": "a", "reason": "closed", "room": room.id}
    assert await peer.receive() == told
    async with asyncio.timeout(DEADLINE_S):
        await room.ended.wait()
    assert "NameError" in (await peer.ask("x", session="a"))["stderr"]


async def test_limits_are_those_of_the_sessions_room(peer: EnginePeer) -> None:
    code = "x = bytearray(200 << 20)"
    answer = await peer.ask(code, session="small", limits={"memory_mib": 96})
    assert (answer["exit_code"], answer["ended_by"], answer["state"]) == (137, "oom", "lost")
    assert (await peer.ask("print('again')", session="small"))["stdout"] == "again\n"
    too_much = await peer.ask("1", session="big", limits={"memory_mib": 1 << 19})
    assert (too_much["error"], "limits.memory_mib" in too_much["message"]) == ("bad_request", True)
    other = await peer.ask("1", session="small", limits={"memory_mib": 128})
    assert (other["error"], "first run" in other["message"]) == ("bad_request", True)
    assert (await peer.ask("1", session="small", limits={"memory_mib": 96}))["exit_code"] == 0


async def test_the_state_is_lost_only_when_nothing_else_helps(peer: EnginePeer) -> None:
    await peer.ask("x = 1")
    late = await peer.ask("import time\ntime.sleep(60)", timeout=0.3)
    assert (late["exit_code"], late["ended_by"], "state" in late) == (124, "time", False)
    assert (await peer.ask("x"))["stdout"] == "1\n"
    stubborn = await peer.ask(DEAF, timeout=0.3)
    assert (stubborn["ended_by"], stubborn["state"], "no" in stubborn["stdout"]) == ("time", "lost", True)
    assert "NameError" in (await peer.ask("x"))["stderr"]


@pytest.mark.parametrize("embedenv_config", [{"max_rooms": 2}])
async def test_a_gateway_that_is_full_says_so(dial_engine: Dial) -> None:
    peers = [await dial_engine() for _ in range(3)]
    await asyncio.gather(*(peer.ask("1") for peer in peers[:2]))
    refused = await peers[2].ask("1")
    assert (refused["error"], "2 rooms" in refused["message"]) == ("busy", True)


async def test_a_cell_of_a_client_that_has_gone_keeps_nobody_waiting(dial_engine: Dial) -> None:
    first = await dial_engine()
    await first.ask("x = 1", session="lesson")
    await first.send(
        "execute", language="python", code="while True: pass", session="lesson", api_key=first.key
    )
    await first.send(
        "execute", language="python", code="print('queued')", session="lesson", api_key=first.key
    )
    first.socket.transport.abort()
    second = await dial_engine()
    assert (await second.ask("x", session="lesson"))["stdout"] == "1\n"


async def test_a_kernel_that_dies_again_and_again_is_replaced(peer: EnginePeer) -> None:
    answers = [await peer.ask("import os\nos._exit(1)") for _ in range(8)]
    assert {answer["state"] for answer in answers} == {"lost"}
    assert (await peer.ask("print('alive')"))["stdout"] == "alive\n"
