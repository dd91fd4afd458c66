"""What no client should send: each gets a clear answer, and nobody else notices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols.spaces import MAX_FRAME_BYTES, MAX_HELLO_BYTES, MAX_MESSAGE_BYTES
from tests.integration.conftest import Dial, Peer, Served, text_of
from tests.integration.spaces.conftest import DialRaw, JoinRaw
from tests.integration.spaces.peers import Asking, Raw


def cmd(command: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "cmd", "command": command, **fields}


def tree(node: Any) -> dict[str, Any]:
    return cmd({"type": "project"}, file_structure=node if isinstance(node, str) else json.dumps(node))


def folder(*children: Any, name: str = "project") -> dict[str, Any]:
    return {"name": name, "type": "folder", "children": list(children)}


def deep(levels: int) -> str:
    return '{"name":"d","type":"folder","children":[' * levels + "]}" * levels


FIRST: dict[str, tuple[str | bytes, str]] = {
    "malformed": ('{"type":', "not JSON"),
    "no object": ("[1,2]", "object"),
    "empty": ("", "not JSON"),
    "unknown type": ('{"type":"hello"}', "init, join"),
    "no type": ("{}", "type"),
    "a command": (json.dumps(cmd({"type": "shell", "command": "id"})), "init or join"),
    "wrong type of a field": ('{"type":"join","join":5}', "'join'"),
    "missing field": ('{"type":"init","public_key":"x"}', "'secret_key'"),
    "wrong keys": ('{"type":"init","public_key":"x","secret_key":"y"}', "keys"),
    "half a character": ('{"type":"join","join":"x","user":"\\ud800"}', "surrogate"),
    "deep": ('{"type":"init","x":' + "[" * 4000, "nested"),
    "too long": (json.dumps({"type": "join", "join": "x" * MAX_HELLO_BYTES}), str(MAX_HELLO_BYTES)),
    "binary": (b"\x00\x01", "binary"),
}
CODES = {"too long": CloseCode.TOO_BIG, "binary": CloseCode.UNSUPPORTED_DATA}


async def test_what_comes_first_and_is_none_is_answered_and_closed(served: Served, dial: Dial) -> None:
    for name, (frame, reason) in FIRST.items():
        peer = await dial()
        await peer.socket.send(frame)
        answer = await peer.receive()
        assert answer["type"] == "error", name
        assert reason in answer["message"], (name, answer)
        assert await peer.closed() == CODES.get(name, CloseCode.POLICY_VIOLATION), name
    assert len(served.gateway.rooms) == 0


async def test_a_join_with_a_wrong_key_is_told_as_published_clients_read_it(dial: Dial) -> None:
    peer = await dial()
    await peer.send(type="join", join="wrong", user="a", color="#fff")
    answer = await peer.receive()
    assert answer["type"] == "msg"
    assert "opens no room" in answer["message"]
    assert await peer.closed() == CloseCode.POLICY_VIOLATION


async def test_a_stranger_cannot_make_the_gateway_buffer_megabytes(dial_raw: DialRaw) -> None:
    raw = await dial_raw()
    # Only the head of a frame of 8 MiB: it must be refused before the rest is waited for.
    raw.writer.write(b"\x81\xff" + (8 << 20).to_bytes(8, "big") + bytes(4) + b"{" * 1000)
    assert await raw.close_code() == CloseCode.TOO_BIG


@pytest.mark.parametrize("embedenv_config", [{"hello_timeout_s": 0.1}])
async def test_a_silent_stranger_is_sent_away(dial: Dial) -> None:
    peer = await dial()
    assert await peer.closed() == CloseCode.HELLO_TIMEOUT


REFUSED: dict[str, tuple[Any, str]] = {
    "malformed": ('{"type":"cmd"', "not JSON"),
    "not an object": ("7", "object"),
    "unknown type": ({"type": "dance"}, "allowed: init, join, cmd"),
    "unknown command": (cmd({"type": "dance"}), "allowed: project, create"),
    "command no object": (cmd("shell"), "'command'"),
    "command without a type": (cmd({}), "command.type"),
    "command missing": ({"type": "cmd"}, "'command' is missing"),
    "shell without a line": (cmd({"type": "shell"}), "command.command"),
    "shell line of a wrong type": (cmd({"type": "shell", "command": ["ls"]}), "string"),
    "shell line with NUL": (cmd({"type": "shell", "command": "echo \0"}), "NUL"),
    "shell line too long": (cmd({"type": "shell", "command": "#" * 70_000}), "65536"),
    "half a character": ('{"type":"cmd","command":{"type":"shell","command":"echo \\udc80"}}', "surrogate"),
    "deep command": (
        '{"type":"cmd","command":{"type":"shell","x":' + "[" * 100_000 + "]" * 100_000 + "}}", "nested"
    ),
    "deep ignored field": ('{"type":"cmd","x":' + "[" * 100_000 + "]" * 100_000 + "}", "nested"),
    "write without a path": (cmd({"type": "write"}, content="x"), "'path' is missing"),
    "write without content": (cmd({"type": "write"}, path="project/x"), "'content' is missing"),
    "path with ..": (cmd({"type": "write"}, path="project/../../etc/passwd", content=""), "'..'"),
    "absolute path": (cmd({"type": "write"}, path="/etc/passwd", content=""), "absolute"),
    "path with NUL": (cmd({"type": "write"}, path="project/a\0b", content=""), "NUL"),
    "path of nothing": (cmd({"type": "write"}, path="./", content=""), "names no file"),
    "huge path": (cmd({"type": "write"}, path="a/" * 5000, content=""), "4096"),
    "huge name": (cmd({"type": "write"}, path="a" * 256, content=""), "255"),
    "rename to a path": (cmd({"type": "rename"}, path="project/a", name="../b"), "holds '/'"),
    "rename of nothing": (cmd({"type": "rename"}, path="project/none", name="b"), "no such file"),
    "delete of nothing": (cmd({"type": "delete"}, path="project/none"), "no such file"),
    "delete of all": (cmd({"type": "delete"}, path="."), "names no file"),
    "create of what": (cmd({"type": "create", "item": "pipe", "path": "p"}), "'file' or 'folder'"),
    "ours without asking": (cmd({"type": "stop"}), "resume"),
    "tree no JSON": (tree("{"), "file_structure"),
    "tree no folder": (tree({"name": "x", "type": "file"}), "folder"),
    "tree that leads out": (tree(folder({"name": "..", "type": "folder"})), "no name"),
    "tree with a path as name": (tree(folder({"name": "a/b", "type": "file"})), "'/'"),
    "tree with NUL": (tree(folder({"name": "a\0", "type": "file"})), "NUL"),
    "tree with twins": (tree(folder({"name": "a", "type": "file"}, {"name": "a", "type": "file"})), "twice"),
    "tree 10,000 deep": (tree(deep(10_000)), "deep"),
    "tree 70 deep": (tree(deep(70)), "64 levels"),
    "tree too wide": (tree(folder(*({"name": f"{n}", "type": "file"} for n in range(10_001)))), "10000"),
    "curl elsewhere": (cmd({"type": "curl"}, url="http://example.com/"), "localhost"),
    "curl with a line end": (
        cmd({"type": "curl"}, url="http://localhost:1/", headers={"A": "b\r\nC: d"}), "line end"
    ),
}  # fmt: skip


async def test_each_bad_frame_is_answered_and_the_room_goes_on(host: Any, dial: Dial) -> None:
    guest = await dial()
    await guest.send(type="join", join=host.join_key, user="guest", color="#fff")
    await guest.receive()
    for name, (frame, reason) in REFUSED.items():
        await host.socket.send(frame if isinstance(frame, str) else json.dumps(frame))
        answer = await host.receive()
        assert answer["type"] == "error", (name, answer)
        assert reason in answer["message"], (name, answer)
        assert len(answer["message"]) < 700, name
    # Nothing else came to either of them, and nothing was left in the room.
    await host.shell("echo alive")
    for peer in (host, guest):
        assert text_of(await peer.until("terminal-data-end")) == "alive\n"
    assert await host.output("find . -mindepth 1") == ""


async def test_a_frame_beyond_the_bound_is_refused_and_the_socket_lives(host: Peer) -> None:
    await host.socket.send("x" * (MAX_FRAME_BYTES + 1))
    answer = await host.receive()
    assert answer["type"] == "error"
    assert str(MAX_FRAME_BYTES) in answer["message"]
    assert await host.output("echo alive") == "alive\n"


async def test_a_message_beyond_all_bounds_closes_the_socket_and_not_the_room(
    member: Asking, join_raw: JoinRaw
) -> None:
    raw = await join_raw(member.join_key)
    raw.writer.write(b"\x81\xff" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big") + bytes(4))
    assert await raw.close_code() == CloseCode.TOO_BIG
    assert (await member.run("echo alive"))[0] == "alive\n"


async def test_binary_messages_and_second_hellos_end_the_connection_alone(host: Any, dial: Dial) -> None:
    hello = json.dumps({"type": "join", "join": host.join_key, "user": "a", "color": "#fff"})
    for second, code in (
        (b"\x00", CloseCode.UNSUPPORTED_DATA),
        (hello, CloseCode.PROTOCOL_ERROR),
        ('{"type":"init","public_key":"a","secret_key":"b"}', CloseCode.PROTOCOL_ERROR),
    ):
        peer = await dial()
        await peer.socket.send(hello)
        assert (await peer.receive())["type"] == "join"
        await peer.socket.send(second)
        assert (await peer.receive())["type"] == "error"
        assert await peer.closed() == code
    assert await host.output("echo alive") == "alive\n"


async def test_two_hellos_in_one_breath_open_one_room(served: Served, dial: Dial) -> None:
    peer = await dial()
    hello = json.dumps({"type": "init", "public_key": served.public_key, "secret_key": served.secret_key})
    await peer.socket.send(hello)
    await peer.socket.send(hello)
    assert [(await peer.receive())["type"] for _ in range(2)] == ["init", "error"]
    assert await peer.closed() == CloseCode.PROTOCOL_ERROR
    assert len(served.gateway.rooms) == 1
    account = await served.gateway.accounts.authenticate(served.public_key, served.secret_key)
    assert (await served.gateway.accounts.balance(account.id)).total == 999


BROKEN: dict[str, tuple[int, bytes, bool]] = {
    "not UTF-8": (Raw.TEXT, b'{"type":"cmd","x":"\xff\xfe"}', True),
    "reserved opcode": (3, b"x", True),
    "continues nothing": (0, b"x", True),
    "fragmented ping": (Raw.PING, b"x", False),
    "a text inside another": (Raw.TEXT, b"x", False),
}


async def test_broken_framing_ends_the_connection_alone(host: Any, join_raw: JoinRaw) -> None:
    for name, (opcode, payload, final) in BROKEN.items():
        raw = await join_raw(host.join_key)
        raw.send_raw(opcode, payload, final=final)
        raw.send_raw(Raw.TEXT, b"{}")
        assert await raw.close_code() in (CloseCode.PROTOCOL_ERROR, 1006, 1007), name
    assert await host.output("echo alive") == "alive\n"
