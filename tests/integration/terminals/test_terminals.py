"""Terminals as people use them: typing, sharing, reloading, closing."""

from __future__ import annotations

import asyncio

import pytest
import websockets

from tests.integration.conftest import Served
from tests.integration.terminals.conftest import DialTerminal, TerminalPeer, TerminalRoom


async def test_login_shell_with_a_terminal(peer: TerminalPeer) -> None:
    await peer.type("echo $TERM; tty; shopt -q login_shell && echo is login $((40+2))\r")
    seen = await peer.until("is login 42")
    assert "xterm-256color" in seen and "/dev/pts/" in seen


async def test_jupyter_s_own_models(room: TerminalRoom) -> None:
    assert [await room.open(), await room.open()] == ["1", "2"]
    answer = await room.api("GET", f"{room.path}/2")
    assert answer.body["name"] == "2" and answer.body["last_activity"].endswith("Z")
    assert await room.names() == ["1", "2"]
    missing = await room.api("GET", f"{room.path}/9")
    assert missing.status == 404 and "it has 1, 2" in missing.body["message"]


async def test_name_and_folder_as_jupyterlab_asks_for_them(
    room: TerminalRoom, dial_terminal: DialTerminal, served: Served
) -> None:
    found = served.gateway.rooms.find(room.id)
    assert found is not None
    await found.sandbox.files.make_dir("lesson/one")
    assert await room.open(name="build", cwd="lesson/one") == "build"
    peer = await dial_terminal("build")
    await peer.type("pwd; echo en''d\r")
    assert "/lesson/one" in await peer.until("end")
    twice = await room.api("POST", room.path, {"name": "build"})
    assert twice.status == 429 and "build already" in twice.body["message"]
    wrong = await room.api("POST", room.path, {"name": "../x"})
    assert wrong.status == 400 and "$.name" in wrong.body["message"]
    assert await room.open(cwd="../..") == "1"
    assert list(found.terminals) == ["build", "1"]


async def test_exit_ends_the_terminal(peer: TerminalPeer, room: TerminalRoom) -> None:
    await peer.type("sleep 1000 & exit\r")
    assert await peer.until_end() == 1000
    assert await room.names() == []


async def test_closing_a_terminal_ends_its_programs(peer: TerminalPeer, room: TerminalRoom) -> None:
    await peer.type("trap '' TERM; sleep 1000\r")
    answer = await room.api("DELETE", f"{room.path}/1")
    assert answer.status == 204
    assert await peer.until_end() == 1000
    assert await room.names() == []
    assert (await room.api("DELETE", f"{room.path}/1")).status == 404


async def test_end_of_the_room_ends_its_terminals(peer: TerminalPeer, room: TerminalRoom) -> None:
    assert (await room.api("DELETE", f"api/rooms/{room.id}")).status == 204
    assert await peer.until_end() == 1000


async def test_two_people_share_a_terminal_and_the_smaller_window_counts(
    peer: TerminalPeer, dial_terminal: DialTerminal
) -> None:
    await peer.send("set_size", 40, 120, 800, 1200)
    other = await dial_terminal("1")
    await other.send("set_size", 50, 100, 0, 0)
    await other.type("stty size\r")
    await peer.until("40 100")
    await other.until("40 100")
    await other.socket.close()
    # That the other one has gone is known when the size says so.
    await peer.type("while [ \"$(stty size)\" != '40 120' ]; do sleep 0.02; done; echo is al''one\r")
    await peer.until("is alone")


async def test_reload_shows_what_was_there_and_asks_nothing_anew(
    peer: TerminalPeer, dial_terminal: DialTerminal
) -> None:
    await peer.type("printf 'mar%s \\033[c\\033[6n\\033]11;?\\007 en%s\\n' ker d\r")
    await peer.until("marker ")
    live = await peer.until("end")
    assert "\x1b[c" in live and "\x1b[6n" in live
    await peer.socket.close()
    again = await dial_terminal("1")
    seen = await again.until("marker ")
    assert seen.startswith("\x1bc") and "stty" not in seen
    assert await again.until("end") == "  end".replace("  ", " ", 1)


async def test_what_is_shown_again_is_bounded(peer: TerminalPeer, dial_terminal: DialTerminal) -> None:
    await peer.type("seq 400000 | cat; echo do''ne\r")
    await peer.until("done")
    again = await dial_terminal("1")
    seen = await again.until("done")
    numbers = [int(line) for line in seen.removeprefix("\x1bc").split("\r\n") if line.isdecimal()]
    assert numbers == list(range(numbers[0], 400001)), "whole lines, in order, up to the end"
    assert 0.9 * (1 << 20) < len(seen) < 1.1 * (1 << 20)


async def test_one_who_may_look_types_nothing(
    peer: TerminalPeer, dial_terminal: DialTerminal, room: TerminalRoom
) -> None:
    key = await room.key("view")
    viewer = await dial_terminal("1", key)
    await viewer.send("set_size", 5, 30, 0, 0)
    await viewer.type("\x1b[?1;2c")  # an emulator's own answer, which nobody has typed
    await viewer.type("echo from the viewer\r")
    await viewer.type("again\r")
    await viewer.until("does not type into terminals")
    await peer.type("stty size; echo se''en\r")
    seen = await viewer.until("seen")
    assert "does not type" not in seen and "from the viewer" not in seen
    assert "24 80" in seen, "nor makes the others' terminal smaller"
    assert (await room.api.with_key(key.removeprefix("Bearer "))("POST", room.path, {})).status == 403
    refused = await room.api.with_key(key.removeprefix("Bearer "))("DELETE", f"{room.path}/1")
    assert refused.status == 403 and "close terminals" in refused.body["message"]


async def test_revoked_key_puts_out(
    peer: TerminalPeer, dial_terminal: DialTerminal, room: TerminalRoom
) -> None:
    key = await room.key("run")
    guest = await dial_terminal("1", key)
    await room.api("DELETE", f"api/rooms/{room.id}/keys/{key.removeprefix('Bearer ')}")
    assert (await guest.closed())[0] == 4001
    await peer.type("echo still$((1+1))here\r")
    await peer.until("still2here")


async def test_without_proof_there_is_no_terminal(served: Served, room: TerminalRoom) -> None:
    name = await room.open()
    url = f"ws://{served.host}{served.base_url}embedenv/rooms/{room.id}/terminals/websocket/{name}"
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": room.api.authorization, "Origin": "https://evil.example"}, 403),
    ):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, additional_headers=headers)
        assert refused.value.response.status_code == status
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url + "0", additional_headers={"Authorization": room.api.authorization})
    assert refused.value.response.status_code == 404


@pytest.mark.parametrize(
    "frame",
    ["", "{", "{}", "[]", '["stdin"]', '["stdin", 5]', '["set_size", -1, 2]', '["stdout", "x"]', b"\x00"],
)
async def test_what_is_no_frame_is_named_and_closes(
    peer: TerminalPeer, dial_terminal: DialTerminal, frame: str | bytes
) -> None:
    broken = await dial_terminal("1")
    await broken.socket.send(frame)
    code, reason = await broken.closed()
    assert code in (1002, 1003) and "frame" in reason
    await peer.type("echo go''es on\r")
    await peer.until("goes on")


async def test_a_port_that_opens_in_a_terminal_is_told(
    peer: TerminalPeer, served: Served, room: TerminalRoom
) -> None:
    found = served.gateway.rooms.find(room.id)
    assert found is not None
    await peer.type("python3 -m http.server 8123\r")
    await peer.until("8123")
    async with asyncio.timeout(30):
        while found.ports != [8123]:
            await asyncio.sleep(0.05)


async def test_terminal_is_work_while_somebody_is_connected(
    served: Served, room: TerminalRoom, dial_terminal: DialTerminal
) -> None:
    found = served.gateway.rooms.find(room.id)
    assert found is not None
    name = await room.open()
    assert not found.is_working
    peer = await dial_terminal(name)
    assert found.is_working
    await peer.socket.close()
    async with asyncio.timeout(30):
        while found.is_working or found.is_busy:
            await asyncio.sleep(0.02)


async def test_number_of_terminals_is_bounded(room: TerminalRoom) -> None:
    answers = await asyncio.gather(*(room.api("POST", room.path, {}) for _ in range(35)))
    assert sorted(answer.status for answer in answers) == [200] * 32 + [429] * 3
    assert sorted(await room.names(), key=int) == [str(n) for n in range(1, 33)]


async def test_the_room_tells_who_typed_last(
    peer: TerminalPeer, room: TerminalRoom, dial_terminal: DialTerminal
) -> None:
    async def typist() -> dict[str, str] | None:
        (shown,) = (await room.api("GET", f"api/rooms/{room.id}")).body["terminals"]
        found: dict[str, str] | None = shown.get("typist")
        return found

    (name,) = await room.names()
    await peer.type("echo $((6*7))\n")
    await peer.until("42")
    first = await typist()
    assert first is not None
    watcher = await dial_terminal(name, await room.key("view"))
    await watcher.type("echo $((6*6))\n")
    await watcher.until("does not type into terminals")
    assert await typist() == first
    runner = await dial_terminal(name, await room.key("run"))
    await runner.type("echo $((6*5))\n")
    await peer.until("30")
    second = await typist()
    assert second is not None and second["id"] != first["id"]
    await peer.type("\x1b[?1;2c")  # what an emulator answers by itself, nobody has typed
    await (await peer.socket.ping())
    assert await typist() == second
