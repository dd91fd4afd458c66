"""Everything that people do in notebooks, in a room's kernel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.kernels.conftest import DialKernel, KernelPeer, Received, text_of
from tests.integration.kernels.features import CELLS, Cell, Outputs

WIDGET = "jupyter.widget"


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0, "memory_mib": 1024, "open_files": 4096}


def outputs_of(messages: list[Received]) -> Outputs:
    """Turn messages into the outputs that a notebook would keep."""
    kinds = ("stream", "display_data", "execute_result", "error")
    return [{"output_type": m.type, **m.content} for m in messages if m.type in kinds]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
async def test_cell(dial_kernel: DialKernel, cell: Cell) -> None:
    peer = await dial_kernel()
    _, reply, messages = await peer.run(cell.code)
    assert reply["status"] == ("error" if cell.fails else "ok"), reply
    outputs = outputs_of(messages)
    assert cell.check(outputs), outputs


async def ask(peer: KernelPeer, type: str, content: dict[str, Any], channel: str = "shell") -> dict[str, Any]:
    id = await peer.send(channel, f"{type}_request", content)
    (*_, reply) = await peer.until(f"{type}_reply", id)
    return reply.content


async def test_completion_inspection_history_and_completeness(dial_kernel: DialKernel) -> None:
    peer = await dial_kernel()
    await peer.run("some_number = 42")
    assert "some_number" in (await ask(peer, "complete", {"code": "some_nu", "cursor_pos": 7}))["matches"]
    inspected = await ask(peer, "inspect", {"code": "some_number", "cursor_pos": 5, "detail_level": 0})
    assert "42" in inspected["data"]["text/plain"]
    history = {"output": False, "raw": True, "hist_access_type": "tail", "n": 5}
    assert [line[2] for line in (await ask(peer, "history", history))["history"]] == ["some_number = 42"]
    assert (await ask(peer, "is_complete", {"code": "for x in y:"}))["status"] == "incomplete"
    assert (await ask(peer, "kernel_info", {}))["implementation"] == "ipython"


async def answer(peer: KernelPeer, question: Received, value: str) -> None:
    await peer.send("stdin", "input_reply", {"value": value}, parent=question.header)


@pytest.mark.parametrize(
    ("code", "is_secret"),
    [("name = input('who? ')", False), ("import getpass; name = getpass.getpass('secret? ')", True)],
)
async def test_questions(dial_kernel: DialKernel, code: str, is_secret: bool) -> None:
    peer = await dial_kernel()
    id = await peer.execute(f"{code}\nprint(len(name))")
    (*_, question) = await peer.until("input_request", id)
    assert question.content["password"] is is_secret
    await answer(peer, question, "Ada")
    assert text_of(await peer.answers(id)) == "3\n"


async def test_post_mortem_debugging(dial_kernel: DialKernel) -> None:
    peer = await dial_kernel()
    await peer.run("def f(x):\n    y = x + 1\n    return y / 0\nf(41)")
    id = await peer.execute("%debug")
    for command in ("p y", "q"):
        (*_, question) = await peer.until("input_request", id)
        await answer(peer, question, command)
    assert "42\n" in text_of(await peer.answers(id))


async def test_slider_is_moved_from_the_client_with_binary_buffers(dial_kernel: DialKernel) -> None:
    """A widget's state lives in the kernel: a change in the browser is a comm message, buffers included."""
    peer = await dial_kernel()
    code = (
        "import ipywidgets as widgets\n"
        "slider = widgets.IntSlider(value=3, max=9)\n"
        "picture = widgets.Image(value=b'\\x00\\xffold')"
    )
    _, _, messages = await peer.run(code)
    opened = {
        m.content["data"]["state"]["_model_name"]: m
        for m in messages
        if m.type == "comm_open" and m.content["target_name"] == WIDGET
    }
    assert opened["ImageModel"].buffers == (b"\x00\xffold",)

    async def update(model: str, state: dict[str, Any], **extra: Any) -> None:
        data = {"method": "update", "state": state, "buffer_paths": extra.get("paths", [])}
        content = {"comm_id": opened[model].content["comm_id"], "data": data}
        await peer.send("shell", "comm_msg", content, buffers=extra.get("buffers", ()))

    await update("IntSliderModel", {"value": 7})
    await update("ImageModel", {}, paths=[["value"]], buffers=(b"\xfe\x00new",))
    text, _, _ = await peer.run("print(slider.value, bytes(picture.value))")
    assert text == "7 b'\\xfe\\x00new'\n"


async def test_debugger_stops_at_a_breakpoint(dial_kernel: DialKernel) -> None:
    peer = await dial_kernel()
    code = "total = 0\nfor n in range(3):\n    total += n\nprint(total)"
    seq = iter(range(1, 100))

    async def dap(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        request = {"seq": next(seq), "type": "request", "command": command, "arguments": arguments}
        answer = await ask(peer, "debug", request, "control")
        assert answer["success"], answer
        return dict(answer.get("body") or {})

    client = {"clientID": "test", "adapterID": "", "pathFormat": "path", "linesStartAt1": True}
    await dap("initialize", {**client, "columnsStartAt1": True, "supportsVariableType": True})
    await dap("attach", {})
    source = (await dap("dumpCell", {"code": code}))["sourcePath"]
    place = {"source": {"path": source}, "breakpoints": [{"line": 3}], "sourceModified": False}
    assert (await dap("setBreakpoints", place))["breakpoints"][0]["verified"]
    await dap("configurationDone", {})
    id = await peer.execute(code)
    (*_, stopped) = await peer.until("debug_event")
    while stopped.content["event"] != "stopped":
        (*_, stopped) = await peer.until("debug_event")
    thread = stopped.content["body"]["threadId"]
    assert stopped.content["body"]["reason"] == "breakpoint"
    frames = (await dap("stackTrace", {"threadId": thread}))["stackFrames"]
    assert frames[0]["line"] == 3
    await dap("setBreakpoints", {**place, "breakpoints": []})
    go_on = {"seq": next(seq), "type": "request", "command": "continue", "arguments": {"threadId": thread}}
    await peer.send("control", "debug_request", go_on)
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["status"] == "ok", reply
    await dap("disconnect", {"restart": False, "terminateDebuggee": False})


async def test_large_array_ends_with_a_named_reason(dial_kernel: DialKernel) -> None:
    peer = await dial_kernel()
    _, reply, _ = await peer.run("import numpy as np; held = np.ones(1 << 30, dtype=np.uint8); len(held)")
    assert reply["status"] == "error"
    assert "memory" in reply["evalue"].lower() or reply["ename"] == "MemoryError"
    text, _, _ = await peer.run("print('lives')")
    assert text == "lives\n"


async def test_package_is_installed_into_the_room(dial_kernel: DialKernel) -> None:
    """From a wheel in the room's own workspace: the same command needs the network for others."""
    peer = await dial_kernel()
    make = (
        "import zipfile\n"
        "with zipfile.ZipFile('tiny_room-1.0-py3-none-any.whl', 'w') as wheel:\n"
        "    info = 'tiny_room-1.0.dist-info/'\n"
        "    wheel.writestr('tiny_room.py', 'ANSWER = 42')\n"
        "    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny-room\\nVersion: 1.0\\n')\n"
        "    tag = 'Root-Is-Purelib: true\\nTag: py3-none-any\\n'\n"
        "    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\n' + tag)\n"
        "    wheel.writestr(info + 'RECORD', '')\n"
        "!pip install --quiet --no-index ./tiny_room-1.0-py3-none-any.whl\n"
        "import tiny_room; print(tiny_room.ANSWER)\n"
        "!python -c 'import tiny_room; print(tiny_room.ANSWER + 1)'"
    )
    text, reply, _ = await peer.run(make)
    assert reply["status"] == "ok", reply
    assert text.replace("\r", "").split() == ["42", "43"], text
    assert json.dumps(text)
