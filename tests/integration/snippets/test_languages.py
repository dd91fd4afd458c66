"""How a language gets here: what one needs, and its installation, by REST."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from embedenv_jupyter.errors import BusyError
from embedenv_jupyter.languages import installing
from embedenv_jupyter.languages.installing import Step
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.protocols.engine.installation import Done, Failed
from embedenv_jupyter.snippets import installer as installer_module
from embedenv_jupyter.snippets.installer import Installer
from tests.integration.conftest import DEADLINE_S, Served


@pytest.fixture
def login(jp_serverapp: Any) -> str:
    return f"token {jp_serverapp.identity_provider.token}"


async def ask(served: Served, path: str, login: str, method: str = "GET") -> HTTPResponse:
    request = HTTPRequest(
        f"{served.http_url}embedenv/api/languages/{path}", method=method, request_timeout=DEADLINE_S,
        headers={"Authorization": login}, allow_nonstandard_methods=True,
    )  # fmt: skip
    return await AsyncHTTPClient().fetch(request, raise_error=False)


def events(response: HTTPResponse) -> list[tuple[str, int, dict[str, Any]]]:
    read = []
    for block in response.body.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        read.append((fields["event"], int(fields["id"]), json.loads(fields["data"])))
    return read


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Step]:
    """What an installation does in this test, whatever the language; the machine stays as it is."""
    made: list[Step] = []
    monkeypatch.setattr(installing, "steps", lambda languages, **more: made)
    monkeypatch.setattr(installing, "obstacle", lambda: "")
    monkeypatch.setattr(installer_module, "TOOLCHAINS", str(tmp_path / "toolchains"))
    return made


async def test_a_language_says_what_it_takes(served: Served, login: str) -> None:
    answer = await ask(served, "c%2B%2B", login)
    told = json.loads(answer.body)
    assert (told["id"], told["command"]) == ("cpp", "embedenv languages install cpp")
    assert "Hello, World!" in told["hello"]
    assert "g++" in told["steps"][0]["command"]
    is_root = os.geteuid() == 0
    assert bool(told["obstacle"]) is not is_root


async def test_an_unknown_language_is_named(served: Served, login: str) -> None:
    for path, method in (("klingon", "GET"), ("klingon/install", "POST")):
        answer = await ask(served, path, login, method)
        assert answer.code == 404
        assert "'klingon'" in json.loads(answer.body)["message"]


async def test_an_installation_tells_each_step(served: Served, login: str, steps: list[Step]) -> None:
    steps += [Step("first", "echo $SAID", {"SAID": "one"}), Step("second", "echo two >&2")]
    answer = await ask(served, "zig/install", login, "POST")
    assert answer.headers["Content-Type"] == "text/event-stream"
    told = events(answer)
    assert [number for _, number, _ in told] == [1, 2, 3, 4, 5]
    assert [(kind, data.get("title"), data.get("text")) for kind, _, data in told] == [
        ("step", "first", None), ("output", None, "one\n"),
        ("step", "second", None), ("output", None, "two\n"), ("done", None, None),
    ]  # fmt: skip


async def test_a_step_that_fails_is_the_last(served: Served, login: str, steps: list[Step]) -> None:
    steps += [Step("first", "echo no network; exit 100"), Step("second", "echo never")]
    *_, (kind, _, told) = events(await ask(served, "zig/install", login, "POST"))
    assert (kind, told["exit_code"], told["output"]) == ("failed", 100, "no network\n")
    assert told["command"] == "echo no network; exit 100"


async def test_what_was_installed_is_looked_for_again(served: Served, login: str, steps: list[Step]) -> None:
    await served.gateway.survey.listing()
    steps.append(Step("first", "true"))
    await ask(served, "zig/install", login, "POST")
    assert served.gateway.survey._listed is None


async def test_keys_of_accounts_install_nothing(served: Served, steps: list[Step]) -> None:
    key = (await served.gateway.accounts.create_key("Ada", credits=5)).api_key
    answer = await ask(served, "zig/install", f"Bearer {key}", "POST")
    assert (answer.code, json.loads(answer.body)["reason"]) == (403, "NoLogin")


@pytest.mark.parametrize("embedenv_config", [{"allow_install": False}])
async def test_an_operator_may_forbid_it(served: Served, login: str, steps: list[Step]) -> None:
    answer = await ask(served, "zig/install", login, "POST")
    assert answer.code == 409
    assert "EmbedenvApp.allow_install" in json.loads(answer.body)["message"]


# Without a server.


def has_ended(pid: int) -> bool:
    """Tell whether a process is gone, or nobody but its heir knows it any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
async def installer(steps: list[Step]) -> AsyncIterator[Installer]:
    made = Installer(Languages.shipped(), lambda: "", lambda: None)
    yield made
    await made.aclose()


async def test_who_comes_later_sees_all_of_it(
    installer: Installer, steps: list[Step], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    steps.append(Step("first", f"cat {gate}"))
    begun = installer.begin("zig")
    assert installer.begin("ziG") is begun
    first = asyncio.create_task(anext(begun.events()))
    await first
    await asyncio.to_thread(gate.write_text, "go")
    async with asyncio.timeout(DEADLINE_S):
        seen = [[event async for _, event in begun.events()] for _ in range(2)]
    assert seen[0] == seen[1]
    assert seen[0][-1] == Done()


async def test_one_language_at_a_time(installer: Installer, steps: list[Step]) -> None:
    steps.append(Step("first", "sleep 600"))
    installer.begin("zig")
    with pytest.raises(BusyError, match="Zig is being installed"):
        installer.begin("ruby")


async def test_a_stop_ends_what_a_step_has_started(installer: Installer, steps: list[Step]) -> None:
    steps.append(Step("first", "sleep 600 & echo $!; wait"))
    begun = installer.begin("zig")
    async with asyncio.timeout(DEADLINE_S):
        said = ""
        async for _, event in begun.events():
            said = getattr(event, "text", "")
            if said:
                break
        await installer.aclose()
        last = [event async for _, event in begun.events()][-1]
    assert isinstance(last, Failed) and last.title == "stopped"
    assert has_ended(int(said))
