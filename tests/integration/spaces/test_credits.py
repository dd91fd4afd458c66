"""What a room and a shell line cost, and who gets credits back."""

from __future__ import annotations

from typing import Any

import pytest

from embedenv_jupyter.accounts import LOCAL_ACCOUNT, Account
from embedenv_jupyter.errors import SandboxUnavailableError
from tests.integration.conftest import Dial, Peer, Served, text_of


async def balance(served: Served) -> int:
    account = await served.gateway.accounts.authenticate(served.public_key, served.secret_key)
    total = (await served.gateway.accounts.balance(account.id)).total
    assert total is not None
    return total


async def greet(served: Served, dial: Dial, credits: int) -> Peer:
    keys = await served.gateway.accounts.create_key("poor", credits=credits)
    peer = await dial()
    await peer.send(type="init", public_key=keys.public_key, secret_key=keys.secret_key)
    return peer


@pytest.mark.parametrize(
    ("line", "cost"),
    [
        ("ls && pwd", 0),
        ("true", 1),
        ("cd / && echo x | cat", 0),
        ("echo 'pip install x'", 0),
        ("pip install --help > /dev/null", 5),
        ("ls; FOO=1 true", 1),
    ],
)
async def test_a_shell_line_costs_its_dearest_part(served: Served, host: Any, line: str, cost: int) -> None:
    before = await balance(served)
    await host.output(line)
    assert before - await balance(served) == cost


async def test_input_interrupts_and_files_are_free(served: Served, host: Any) -> None:
    await host.shell('echo ready; read line; echo "got $line"; sleep 100')
    await host.until("terminal-newline")
    before = await balance(served)
    await host.shell("pip install everything")
    await host.until("terminal-newline")
    await host.send(type="cmd", command={"type": "write"}, path="project/a", content="x")
    await host.shell("Ctrl+C")
    await host.until("terminal-data-end")
    assert await balance(served) == before


async def test_without_credits_free_lines_run_and_others_are_refused(served: Served, dial: Dial) -> None:
    peer = await greet(served, dial, credits=1)
    assert (await peer.receive())["remaining_credits"] == 0
    await peer.shell("sort /dev/null")
    refused = await peer.until("terminal-data-end")
    assert [frame["type"] for frame in refused] == ["error", "terminal-data-end"]
    assert refused[0]["message"] == "This costs 1 credits and 0 are left."
    assert text_of([*refused]) == ""
    assert await peer.output("echo still here") == "still here\n"


async def test_the_credits_of_an_account_without_a_limit_are_null(
    served: Served, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def local(public_key: str, secret_key: str) -> Account:
        return LOCAL_ACCOUNT

    monkeypatch.setattr(served.gateway.accounts, "authenticate", local)
    peer = await dial()
    await peer.send(type="init", public_key="any", secret_key="any")
    assert (await peer.receive())["remaining_credits"] is None


async def test_an_init_without_credits_is_refused_and_closed(served: Served, dial: Dial) -> None:
    peer = await greet(served, dial, credits=0)
    assert (await peer.receive())["type"] == "error"
    assert await peer.closed() == 1008
    assert len(served.gateway.rooms) == 0


async def test_a_line_that_cannot_start_is_given_back(
    served: Served, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (room,) = served.gateway.rooms
    before = await balance(served)
    monkeypatch.setattr("embedenv_jupyter.rooms.room.SHELL", "/no/such/shell")
    await host.shell("sort /dev/null")
    assert (await host.until("terminal-data-end"))[0]["type"] == "error"
    assert await balance(served) == before
    assert room.foreground is None


async def test_a_room_that_cannot_start_is_given_back(
    served: Served, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(spec: object) -> None:
        raise SandboxUnavailableError("/sys/secret/path is not there")

    monkeypatch.setattr(served.gateway.tier, "start", fail)
    peer = await dial()
    before = await balance(served)
    await peer.send(type="init", public_key=served.public_key, secret_key=served.secret_key)
    answer = await peer.receive()
    assert answer["type"] == "error"
    assert "/sys/secret" not in answer["message"]
    assert await balance(served) == before
