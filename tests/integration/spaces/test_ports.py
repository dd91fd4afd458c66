"""The room says which ports its programs listen on."""

from __future__ import annotations

from tests.integration.spaces.peers import Asking, events_of

SERVER = "import socket, time; s = socket.create_server(('{host}', {port})); time.sleep(1000)"


def serving(port: int, *, host: str = "127.0.0.1") -> str:
    return f'python3 -c "{SERVER.format(port=port, host=host)}"'


async def test_a_server_in_front_is_told(member: Asking) -> None:
    await member.shell(serving(3000))
    frames = await member.until(type="event", event="port")
    assert frames[-1]["port"] == 3000
    await member.command("shell", {"command": "Ctrl+C"})
    assert not events_of(await member.until(type="exit"), "port")


async def test_a_server_that_is_left_behind_is_told(member: Asking) -> None:
    await member.shell(f"{serving(3001)} > /dev/null 2>&1 &")
    await member.until(type="event", event="port", port=3001)


async def test_every_server_is_told_once(member: Asking) -> None:
    await member.shell(f"{serving(3002)} & {serving(3003, host='0.0.0.0')}")
    told = [(await member.until(type="event", event="port"))[-1]["port"] for _ in range(2)]
    assert sorted(told) == [3002, 3003]
