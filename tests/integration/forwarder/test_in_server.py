"""A notebook picks "Embedenv" in a server that has rooms: stock routes, stock clients, no process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import websockets

from embedenv_jupyter.protocols import kernels as protocol
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import KernelPeer

Fetch = Callable[..., Awaitable[Any]]
Stock = Callable[[str], Awaitable[KernelPeer]]
SPECS = Path(__file__).parents[3] / "jupyter-config" / "kernels"


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


@pytest.fixture(autouse=True)
def _installed_kernelspec(jp_serverapp: Any) -> None:
    """pytest-jupyter hides what is installed; the spec is the one that is installed."""
    jp_serverapp.kernel_spec_manager.kernel_dirs.append(str(SPECS))


@pytest.fixture
async def stock(served: Served, jp_serverapp: Any) -> AsyncIterator[Stock]:
    """Open clients of kernels of the server itself, through its own WebSocket."""
    async with AsyncExitStack() as stack:

        async def dial(kernel: str) -> KernelPeer:
            url = f"ws://{served.host}{served.base_url}api/kernels/{kernel}/channels"
            token = f"token {jp_serverapp.identity_provider.token}"
            connection = websockets.connect(
                url, subprotocols=[websockets.Subprotocol(protocol.V1)], max_size=None,
                additional_headers={"Authorization": token},
            )  # fmt: skip
            return KernelPeer(await stack.enter_async_context(connection))

        yield dial


async def start(jp_fetch: Fetch, name: str = "embedenv") -> str:
    response = await jp_fetch("api", "kernels", method="POST", body=json.dumps({"name": name}))
    return str(json.loads(response.body)["id"])


async def test_kernel_runs_in_a_room_without_a_process(served: Served, jp_fetch: Fetch, stock: Stock) -> None:
    before = {child.pid for child in psutil.Process().children()}
    kernel = await start(jp_fetch)
    (room,) = served.gateway.rooms
    peer = await stock(kernel)
    text, reply, messages = await peer.run("import os; print(os.getcwd(), os.environ.get('JPY_API_TOKEN'))")
    assert (text, reply["status"]) == ("/home/user None\n", "ok")
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert receipt["room"] == room.id
    started = [child for child in psutil.Process().children() if child.pid not in before]
    assert not [child for child in started if "embedenv_jupyter.forwarder" in child.cmdline()]
    await jp_fetch("api", "kernels", kernel, method="DELETE")
    await room.ended.wait()
    assert room.end_reason == "notebook closed"


async def test_restart_stays_in_the_room(served: Served, jp_fetch: Fetch, stock: Stock) -> None:
    kernel = await start(jp_fetch)
    peer = await stock(kernel)
    await peer.run("x = 1; open('kept', 'w').write('here')")
    await jp_fetch("api", "kernels", kernel, "restart", method="POST", body="{}")
    _, reply, _ = await peer.run("x")
    assert reply["ename"] == "NameError"
    text, _, _ = await peer.run("print(open('kept').read())")
    assert text == "here\n"
    assert len(served.gateway.rooms) == 1
    await jp_fetch("api", "kernels", kernel, method="DELETE")


async def test_interrupt_by_the_server(jp_fetch: Fetch, stock: Stock, served: Served) -> None:
    kernel = await start(jp_fetch)
    peer = await stock(kernel)
    id = await peer.execute("import time\nprint('on', flush=True)\nwhile True: time.sleep(0.01)")
    await peer.until("stream", id)
    await jp_fetch("api", "kernels", kernel, "interrupt", method="POST", body="{}")
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["ename"] == "KeyboardInterrupt"
    await jp_fetch("api", "kernels", kernel, method="DELETE")


async def test_open_room_is_in_the_picker_by_name_and_can_be_chosen(
    served: Served, jp_fetch: Fetch, stock: Stock
) -> None:
    body = json.dumps({"name": "Lesson 1"})
    made = await jp_fetch("embedenv", "api", "rooms", method="POST", body=body)
    room_id = json.loads(made.body)["id"]
    specs = json.loads((await jp_fetch("api", "kernelspecs")).body)["kernelspecs"]
    shown = {spec["spec"]["display_name"]: name for name, spec in specs.items()}
    kernel = await start(jp_fetch, shown["Embedenv: Lesson 1"])
    peer = await stock(kernel)
    _, _, messages = await peer.run("1")
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert receipt["room"] == room_id
    await jp_fetch("api", "kernels", kernel, method="DELETE")
    (room,) = served.gateway.rooms
    await room.aclose("test")
    specs = json.loads((await jp_fetch("api", "kernelspecs")).body)["kernelspecs"]
    assert "Embedenv" in {spec["spec"]["display_name"] for spec in specs.values()}
    assert not [name for name in specs if room_id in name]


async def test_kernel_of_another_language(
    served: Served, jp_fetch: Fetch, jp_serverapp: Any, stock: Stock, tmp_path: Path
) -> None:
    """As `embedenv kernelspec install --lang bash` makes it."""
    folder = tmp_path / "kernels" / "embedenv-bash"
    folder.mkdir(parents=True)
    spec = json.loads((SPECS / "embedenv" / "kernel.json").read_text())
    (folder / "kernel.json").write_text(json.dumps({**spec, "env": {"EMBEDENV_LANGUAGE": "bash"}}))
    jp_serverapp.kernel_spec_manager.kernel_dirs.append(str(folder.parent))
    kernel = await start(jp_fetch, "embedenv-bash")
    peer = await stock(kernel)
    text, reply, _ = await peer.run('greeting=hello; echo "$greeting from $BASH_VERSINFO" | cut -c1-10')
    assert (text.strip(), reply["status"]) == ("hello from", "ok")
    await jp_fetch("api", "kernels", kernel, method="DELETE")
