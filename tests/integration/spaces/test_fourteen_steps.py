"""The published workflow, step by step, with client frames copied from the page."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.integration.conftest import Dial, Peer, Served, text_of

STEPS: dict[str, dict[str, Any]] = {
    "deploy": json.loads(
        r"""{
"type": "cmd",
"project_name": "unified_workspace",
"command": { "type": "project" },
"file_structure": "{\"name\":\"project\",\"type\":\"folder\",\"children\":[{\"name\":\"main.py\",\"type\":\"file\",\"content\":\"print('Root File Loaded Successfully')\"}]}"
}"""  # noqa: E501
    ),
    "create": {
        "type": "cmd", "project_name": "unified_workspace",
        "command": {
            "type": "create", "item": "file", "name": "utils.py", "rpath": "", "path": "project/utils.py",
            "root": {}, "targetElementData": {},
        },
    },
    "write": {
        "type": "cmd", "project_name": "unified_workspace", "command": {"type": "write"},
        "path": "project/utils.py", "content": "def test_node():\n return 'Utility Active'",
    },
    "rename": {
        "type": "cmd", "project_name": "unified_workspace", "command": {"type": "rename"},
        "path": "project/utils.py", "rpath": "utils.py", "name": "core_utils.py", "root": {},
    },
    "delete": {
        "type": "cmd", "project_name": "unified_workspace", "command": {"type": "delete"},
        "path": "project/core_utils.py", "rpath": "core_utils.py", "targetElementData": {},
    },
    "run": {
        "type": "cmd", "project_name": "unified_workspace",
        "command": {"type": "shell", "command": "cd project && python -u main.py"},
    },
    "inject": {
        "type": "cmd", "project_name": "unified_workspace", "command": {"type": "write"},
        "path": "project/main.py",
        "content": "val = input('PROMPT: Enter Target String Name:')\n"
        "print(f'Engine Captured Input Data Block: {val}')",
    },
    "answer": {
        "type": "cmd", "project_name": "unified_workspace",
        "command": {"type": "shell", "command": "CloudIDEEngineAdminUserPassed"},
    },
    "serve": {
        "type": "cmd", "project_name": "unified_workspace",
        "command": {"type": "shell", "command": "cd project && python -m http.server 3000"},
    },
    "curl": {
        "type": "cmd", "project_name": "unified_workspace", "command": {"type": "curl"},
        "method": "GET", "url": "http://localhost:3000", "headers": {}, "data": "",
    },
    "interrupt": {
        "type": "cmd", "project_name": "unified_workspace",
        "command": {"type": "shell", "command": "Ctrl+C"},
    },
    "list": {
        "type": "cmd", "project_name": "unified_workspace",
        "command": {"type": "shell", "command": "cd project && ls -la"},
    },
}  # fmt: skip

NEWLINE = {"type": "terminal-newline", "data": ""}
END = {"type": "terminal-data-end"}


def data(text: str) -> dict[str, Any]:
    return {"type": "terminal-data", "data": text}


async def walk(peer: Peer) -> None:
    """Steps 2 to 14 on an open room, every frame compared."""
    await peer.send(**STEPS["deploy"])
    assert await peer.receive() == {"type": "msg", "message": "project created"}
    for silent in ("create", "write", "rename", "delete"):
        await peer.send(**STEPS[silent])
    await peer.send(**STEPS["run"])
    assert [await peer.receive() for _ in range(3)] == [data("Root File Loaded Successfully"), NEWLINE, END]
    await peer.send(**STEPS["inject"])
    await peer.send(**STEPS["run"])
    assert [await peer.receive() for _ in range(2)] == [data("PROMPT: Enter Target String Name:"), NEWLINE]
    await peer.send(**STEPS["answer"])
    captured = data("Engine Captured Input Data Block: CloudIDEEngineAdminUserPassed")
    assert [await peer.receive() for _ in range(3)] == [captured, NEWLINE, END]
    await peer.send(**STEPS["serve"])
    serving = data("Serving HTTP on 0.0.0.0 port 3000 (http://0.0.0.0:3000/) ...")
    assert [await peer.receive() for _ in range(2)] == [serving, NEWLINE]
    await peer.send(**STEPS["curl"])
    fetched = await peer.until("end")
    body = "".join(frame["content"] for frame in fetched if frame["type"] == "chunk")
    assert "<title>Directory listing for /</title>" in body and body.endswith("</html>\n")
    await peer.send(**STEPS["interrupt"])
    stopped = await peer.until("terminal-data-end")
    assert stopped[-1] == END
    assert '"GET / HTTP/1.1" 200' in text_of(fetched + stopped)
    await peer.send(**STEPS["list"])
    listed = await peer.until("terminal-data-end")
    assert listed[0]["data"].startswith("total ") and listed[-1] == END
    assert {frame["data"].rpartition(" ")[2] for frame in listed if frame["type"] == "terminal-data"} >= {
        ".", "..", "main.py",
    }  # fmt: skip


async def test_one_client_walks_all_steps(served: Served, dial: Dial) -> None:
    peer = await dial()
    await peer.send(type="init", public_key=served.public_key, secret_key=served.secret_key)
    answer = await peer.receive()
    assert set(answer) == {"type", "join", "remaining_credits"}
    assert (answer["type"], answer["remaining_credits"]) == ("init", 999)
    await walk(peer)


async def test_two_clients_walk_in_two_rooms_at_once(served: Served, dial: Dial) -> None:
    peers = [await dial(), await dial()]
    for peer in peers:
        await peer.send(type="init", public_key=served.public_key, secret_key=served.secret_key)
    keys = {(await peer.receive())["join"] for peer in peers}
    assert len(keys) == 2
    async with asyncio.TaskGroup() as group:
        for peer in peers:
            group.create_task(walk(peer))


class Pair(Peer):
    """Two members of one room who take turns after each answer. Both see all output."""

    def __init__(self, *members: Peer) -> None:
        self.asking, self.other = members
        self.was_answered = False

    async def send(self, **frame: Any) -> None:
        if self.was_answered:
            self.asking, self.other = self.other, self.asking
            self.was_answered = False
        await self.asking.send(**frame)

    async def receive(self) -> dict[str, Any]:
        self.was_answered = True
        frame = await self.asking.receive()
        if frame["type"].startswith("terminal-"):
            assert await self.other.receive() == frame
        return frame


async def test_two_members_walk_in_one_room(host: Any, dial: Dial) -> None:
    guest = await dial()
    await guest.send(type="join", join=host.join_key, user="collaborator", color="#6366f1")
    assert (await guest.receive())["type"] == "join"
    await walk(Pair(host, guest))


async def test_a_member_who_joined_sees_every_output(host: Any, dial: Dial) -> None:
    guest = await dial()
    await guest.send(type="join", join=host.join_key, user="collaborator", color="#6366f1")
    assert await guest.receive() == {
        "type": "join", "join": host.join_key, "user": "collaborator", "color": "#6366f1",
    }  # fmt: skip
    await host.shell("echo one; echo two")
    seen = [await peer.until("terminal-data-end") for peer in (host, guest)]
    assert seen[0] == seen[1] == [data("one"), NEWLINE, data("two"), NEWLINE, END]
    await guest.shell("echo from the guest")
    assert text_of(await host.until("terminal-data-end")) == "from the guest\n"


async def test_two_members_type_at_once(host: Any, dial: Dial) -> None:
    guest = await dial()
    await guest.send(type="join", join=host.join_key, user="b", color="#fff")
    await guest.receive()
    await host.shell('echo ready; while read line; do echo "got $line"; done')
    assert (await host.receive())["data"] == "ready"
    lines = 200

    async def type_lines(peer: Peer, name: str) -> None:
        for number in range(lines):
            await peer.shell(f"{name} {number}")

    async with asyncio.TaskGroup() as group:
        group.create_task(type_lines(host, "host"))
        group.create_task(type_lines(guest, "guest"))
    seen: list[str] = []
    while len(seen) < 2 * lines:
        frame = await host.receive()
        if frame["type"] == "terminal-data":
            seen.append(frame["data"])
    for name in ("host", "guest"):
        own = [line for line in seen if line.startswith(f"got {name} ")]
        assert own == [f"got {name} {number}" for number in range(lines)]
    await host.shell("Ctrl+C")
    await host.until("terminal-data-end")


@pytest.mark.parametrize("embedenv_config", [{"line_end_frames": False}])
async def test_line_ends_can_be_left_out(host: Any) -> None:
    await host.shell("echo one; echo two")
    assert await host.until("terminal-data-end") == [data("one"), data("two"), END]
