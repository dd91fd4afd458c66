"""What one client may make a gateway hold, and that nothing stays when it has gone."""

from __future__ import annotations

import asyncio
import json

import pytest

from embedenv_jupyter.errors import CloseCode
from tests.integration.conftest import DEADLINE_S, Served
from tests.integration.snippets.conftest import Dial, EnginePeer, Post


async def until_no_session(served: Served) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(served.gateway.desk.sessions) or len(served.gateway.rooms):
            await asyncio.sleep(0.01)


async def test_a_client_that_goes_with_frames_on_their_way_leaves_nothing(
    served: Served, dial_engine: Dial
) -> None:
    """More frames than may wait are behind each other when the connection is cut."""
    peer = await dial_engine()
    await peer.ask("1")
    frame = json.dumps({"action": "eof", "id": "x"})
    for _ in range(400):
        await peer.socket.send(frame)
    peer.socket.transport.abort()
    await until_no_session(served)


async def test_an_account_without_credits_gets_no_room(served: Served, dial_engine: Dial, post: Post) -> None:
    poor = await served.gateway.accounts.create_key("Poor", credits=0)
    peer = await dial_engine(poor.api_key)
    for number in range(5):
        assert (await peer.ask("1", session=f"s{number}"))["error"] == "insufficient_credits"
    assert (await post({"language": "python", "code": "1"}, poor.api_key)).code == 402
    assert (len(served.gateway.rooms), len(served.gateway.desk.sessions)) == (0, 0)


@pytest.mark.parametrize("embedenv_config", [{"max_sessions": 2}])
async def test_an_account_has_a_bounded_number_of_sessions(dial_engine: Dial, served: Served) -> None:
    peer = await dial_engine()
    for number in range(2):
        assert (await peer.ask("1", session=f"s{number}"))["exit_code"] == 0
    refused = await peer.ask("1", session="one more")
    assert refused["error"] == "bad_frame", "that is no name"
    refused = await peer.ask("1", session="one-more")
    assert (refused["error"], "2 sessions" in refused["message"]) == ("busy", True)
    ben = await dial_engine((await served.gateway.accounts.create_key("Ben", credits=9)).api_key)
    assert (await ben.ask("1"))["exit_code"] == 0, "another account has its own"
    await peer.send("close", session="s0")
    assert (await peer.receive())["type"] == "closed"
    assert (await peer.ask("1", session="one-more"))["exit_code"] == 0


async def test_a_connection_forgets_the_sessions_that_have_ended(peer: EnginePeer) -> None:
    for number in range(40):
        assert (await peer.ask("exit 3", "bash", session=f"job-{number}", fresh=True))["exit_code"] == 3
        await peer.send("close", session=f"job-{number}")
        assert (await peer.receive())["type"] == "closed"


async def test_only_so_many_runs_wait_in_a_session(dial_engine: Dial) -> None:
    first, second = await dial_engine(), await dial_engine()
    id = await first.begin("input()", session="lesson")
    await first.until(id, "prompt")
    last = ""
    for number in range(40):
        await first.begin("1", session="lesson", id=f"first-{number}")
        last = await second.begin("1", session="lesson", id=f"second-{number}")
    refused = await second.of(last)
    assert (refused["error"], "runs wait" in refused["message"]) == ("busy", True)
    await first.send("stdin", id=id, data="go on\n")
    assert (await first.until(id, "result")).end["exit_code"] == 0


async def test_magics_of_notebooks_are_none_here(peer: EnginePeer) -> None:
    """A cell is charged before the kernel has it, so nothing in it may run elsewhere, or cost more."""
    for code in ("%embedenv new", "%%lang bash\nwget http://127.0.0.1:9/", "%%room other\nprint(1)"):
        answer = await peer.ask(code)
        assert answer["exit_code"] == 1, answer
    assert (await peer.ask("print('here')"))["stdout"] == "here\n"


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_file_in_the_place_of_a_folder_is_the_clients_mistake(
    peer: EnginePeer, *, fresh: bool
) -> None:
    await peer.ask("import os\nos.makedirs('there', exist_ok=True)")
    files = {"there": "x"} if not fresh else {"x/" + "y" * 250 + "/z": "", "x": ""}
    answer = await peer.ask("1", files=files, fresh=fresh)
    assert (answer["error"], "files" in answer["message"]) == ("bad_request", True), answer


async def test_what_is_shown_has_its_text_in_the_answer(peer: EnginePeer) -> None:
    assert (await peer.ask("display('x'); display({'a': 1})"))["stdout"] == "'x'\n{'a': 1}\n"


async def test_what_a_kernel_says_beyond_all_bounds_is_left_out_and_named(peer: EnginePeer) -> None:
    code = (
        "kernel = get_ipython().kernel\n"
        "def say(kind, content):\n"
        "    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent('shell'))\n"
        "say('odd', {'a': [{}] * 1_000_000})\n"
        "say('display_data', {'data': {str(n): 1 for n in range(200_001)}, 'metadata': {}})\n"
        "say('stream', {'name': 'stdout', 'text': 'heard\\n', 'a': [{}] * 1_000_000})\n"
        "say('display_data', {'data': {'text/plain': 'seen', 'a/b': [{}] * 1_000_000}, 'metadata': {}})\n"
    )
    answer = await peer.ask(code)
    assert (answer["exit_code"], answer["stdout"]) == (0, "heard\nseen\n"), answer["stderr"]
    assert "[display_data of " in answer["stderr"]
    assert "more than 200000 entries in its objects" in answer["stderr"]
    failed = await peer.ask("raise ValueError('x' * (9 << 20))")
    assert (failed["exit_code"], "[error of " in failed["stderr"]) == (1, True)
    assert (await peer.ask("print('still here')"))["stdout"] == "still here\n"


@pytest.mark.parametrize("embedenv_config", [{"hello_timeout_s": 0.2}])
async def test_who_says_nothing_is_closed(dial_engine: Dial) -> None:
    peer = await dial_engine()
    async with asyncio.timeout(DEADLINE_S):
        await peer.socket.wait_closed()
    assert (peer.socket.close_code, peer.socket.close_reason) == (
        CloseCode.HELLO_TIMEOUT,
        "send a request first, and sooner",
    )
