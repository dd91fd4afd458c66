"""Which room a notebook gets: of the gateway that it names, of the server that started it, or of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from embedenv_jupyter.client.gateway_file import read_gateway_file, write_gateway_file
from tests.integration.forwarder.conftest import StartNotebook, eventually
from tests.integration.own_gateway import OwnGateway, ServeGateway

CELLS = ("x = 20", "x * 2 + 2", "print('hello')\n'done'", "raise ValueError('no')")


def checked(notebook: Any) -> None:
    """Look at the outputs of the cells above."""
    outputs = [cell["outputs"] for cell in notebook["cells"]]
    assert outputs[0] == []
    assert "".join(outputs[1][0]["data"]["text/plain"]) == "42"
    assert [output["output_type"] for output in outputs[2]] == ["stream", "execute_result"]
    assert outputs[3][0]["ename"] == "ValueError"


def fresh_notebook() -> Any:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    return notebook


async def executed(tmp_path: Path, env: dict[str, str]) -> Any:
    """Run a notebook as nbclient does it, with the kernel that `pip install` brings."""
    client = NotebookClient(fresh_notebook(), kernel_name="embedenv", allow_errors=True, timeout=60)
    clean = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
    return await client.async_execute(env={**clean, **env}, cwd=str(tmp_path))


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Servers and kernels of this test meet in a runtime folder of their own."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "runtime"


async def rooms_of(gateway: OwnGateway, key: str) -> Any:
    return json.loads(await asyncio.to_thread(gateway.get, "embedenv/api/rooms", key))


async def test_join_key_leads_into_its_room(
    gateway: OwnGateway, start_notebook: StartNotebook, by_api_key: dict[str, str]
) -> None:
    opened = await asyncio.to_thread(gateway.post, "embedenv/api/rooms", {"name": "shared"}, gateway.api_key)
    notebook = await start_notebook({"EMBEDENV_URL": gateway.http_url, "EMBEDENV_JOIN_KEY": opened["join"]})
    assert notebook.memory == {
        "url": gateway.http_url, "room": opened["id"], "kernel": notebook.memory["kernel"],
        "is_own_room": False,
    }  # fmt: skip
    assert (await notebook.run("print(6 * 7)"))[0] == "42\n"
    await notebook.manager.shutdown_kernel()
    (room,) = [room for room in await rooms_of(gateway, gateway.api_key) if room["id"] == opened["id"]]
    assert room["members"] == [], "the room stays, the kernel does not"
    path = f"embedenv/rooms/{room['id']}/api/kernels"
    assert json.loads(await asyncio.to_thread(gateway.get, path, gateway.api_key)) == []


async def test_notebook_runs_with_an_api_key(
    gateway: OwnGateway, by_api_key: dict[str, str], tmp_path: Path
) -> None:
    checked(await executed(tmp_path, by_api_key))


async def test_pair_of_keys_opens_a_room(gateway: OwnGateway, start_notebook: StartNotebook) -> None:
    pair = {"EMBEDENV_PUBLIC_KEY": gateway.public_key, "EMBEDENV_SECRET_KEY": gateway.secret_key}
    notebook = await start_notebook({"EMBEDENV_URL": gateway.http_url, **pair})
    assert (await notebook.run("print(6 * 7)"))[0] == "42\n"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "no key for it"),
        ({"EMBEDENV_API_KEY": "ek_wrong"}, "not valid"),
        ({"EMBEDENV_JOIN_KEY": "wrong"}, "opens no room"),
    ],
)
async def test_cells_say_why_there_is_no_room(
    gateway: OwnGateway, start_notebook: StartNotebook, variables: dict[str, str], reason: str
) -> None:
    notebook = await start_notebook({"EMBEDENV_URL": gateway.http_url, **variables})
    _, reply = await notebook.run("1")
    assert reply["ename"] == "RoomConnectionError"
    assert reason in reply["evalue"]


async def test_server_that_started_us_has_the_room(
    serve_gateway: ServeGateway, start_notebook: StartNotebook, runtime_dir: Path
) -> None:
    gateway = await asyncio.to_thread(serve_gateway)
    found = runtime_dir / f"embedenv-gateway-{gateway.process.pid}.json"
    await eventually(found.exists, "the server says where it is")
    assert found.stat().st_mode & 0o777 == 0o600
    assert json.loads(found.read_text())["key"] != "test", "it is not the server's token"
    said = read_gateway_file(runtime_dir, gateway.process.pid)
    assert said is not None
    write_gateway_file(runtime_dir, os.getpid(), said)  # kernels that we start take us for that server
    notebook = await start_notebook({})
    assert notebook.memory["url"] == gateway.http_url
    assert (await notebook.run("print(6 * 7)"))[0] == "42\n"
    assert [room["members"] for room in await rooms_of(gateway, "")] == [[]], "a kernel is no person"
    line = " ".join(notebook.process.cmdline())
    environment = " ".join(notebook.process.environ().values())
    assert json.loads(found.read_text())["key"] not in line + environment
    await notebook.manager.shutdown_kernel()
    gateway.process.terminate()
    await asyncio.to_thread(gateway.process.wait, 20)
    assert not found.exists()


async def test_room_of_its_own_where_no_server_has_one(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from nbclient import NotebookClient; import nbformat\n"
        f"book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in {CELLS!r}])\n"
        "NotebookClient(book, kernel_name='embedenv', allow_errors=True, timeout=60).execute()\n"
        "print(nbformat.writes(book))\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=env, cwd=tmp_path, stdout=subprocess.PIPE
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0
    checked(json.loads(output))


async def test_own_room_keeps_its_files_over_a_restart_and_leaves_nothing(
    start_notebook: StartNotebook,
) -> None:
    notebook = await start_notebook({})
    file = Path(notebook.manager.connection_file)
    assert notebook.memory["url"] == "here"
    await notebook.run("open('kept', 'w').write('yes'); x = 1")
    await notebook.manager.restart_kernel()
    await notebook.client.wait_for_ready(timeout=40)
    assert (await notebook.run("print(open('kept').read())"))[0] == "yes\n"
    assert (await notebook.run("x"))[1]["ename"] == "NameError"
    family = [notebook.process, *notebook.process.children(recursive=True)]
    assert len(family) > 2
    await notebook.manager.shutdown_kernel()
    await eventually(lambda: not any(map(_runs, family)), "the room's processes end")
    assert list(file.parent.glob(f"{file.stem}*")) == []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
