"""What is particular to rooms without namespaces."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedenv_jupyter.sandbox import landlock, tree
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import Limits, SandboxSpec
from embedenv_jupyter.sandbox.tiers.landlock import SCOPE_ABI, LandlockTier
from embedenv_jupyter.sandbox.tiers.unsafe import UnsafeTier
from tests.conftest import StartProcess
from tests.integration.sandbox.programs import DEADLINE_S, OpenSandbox, output, read_until


@pytest.fixture
def tier_name() -> str:
    if landlock.abi() == 0:
        pytest.skip("this kernel has no Landlock")
    return "landlock"


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder of the host that everybody may read and write."""
    folder = Path(tempfile.mkdtemp(prefix="embedenv-test-"))
    folder.chmod(0o777)
    (folder / "secret").write_text("hunter2")
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


async def test_files_of_the_host_are_out_of_reach(sandbox: Sandbox, outside: Path) -> None:
    for script in (f"cat {outside}/secret", f"ls {outside}", f"touch {outside}/x", f"rm {outside}/secret",
                   f"ln {outside}/secret here", f"mv {outside}/secret here", "cat /etc/shadow"):  # fmt: skip
        assert await output(sandbox, f"{script} 2>/dev/null; true") == b""
    assert [entry.name for entry in outside.iterdir()] == ["secret"]
    assert await sandbox.files.list() == []


async def test_link_out_of_the_workspace_leads_nowhere(sandbox: Sandbox, outside: Path) -> None:
    assert await output(sandbox, f"ln -s {outside}/secret link; cat link 2>/dev/null; true") == b""


async def test_own_folders_serve(sandbox: Sandbox) -> None:
    script = 'case $(mktemp) in "$TMPDIR"/*) echo in TMPDIR;; esac; python3 -c "import ssl; print(1)"'
    assert await output(sandbox, script) == b"in TMPDIR\n1\n"


async def test_no_connection_leaves_the_room(sandbox: Sandbox) -> None:
    if landlock.abi() < 4:
        pytest.skip("this Landlock knows no network")
    program = (
        "import errno, socket, sys\n"
        "for make in (lambda: socket.create_connection(('127.0.0.1', int(sys.argv[1]))),\n"
        "             lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),\n"
        "             lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW)):\n"
        "    try: make()\n"
        "    except PermissionError: print('refused')\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = await sandbox.spawn(["python3", "-c", program, str(server.getsockname()[1])])
        seen = await read_until(process, b"refused\nrefused\nrefused\n")
    assert seen == b"refused\nrefused\nrefused\n"
    await process.wait()
    process.close()


SERVE_ONCE = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    server.accept()
"""


async def test_rooms_do_not_reach_each_others_servers_through_the_gateway(open_sandbox: OpenSandbox) -> None:
    one, other = await open_sandbox(id="one"), await open_sandbox(id="other")
    process = await one.spawn(["python3", "-c", SERVE_ONCE])
    port = int(await read_until(process, b"\n"))
    assert port in await one.ports()
    assert port not in await other.ports()
    with pytest.raises(ConnectionRefusedError):
        await other.connect(port)
    (await one.connect(port)).close()
    await process.wait()
    process.close()


async def test_processes_of_the_host_cannot_be_signalled_or_traced(
    sandbox: Sandbox, start_process: StartProcess
) -> None:
    if landlock.abi() < SCOPE_ABI and os.geteuid() != 0:
        pytest.skip("this Landlock leaves signals alone")
    victim = start_process("cat", stdin=subprocess.PIPE)
    script = f"kill -9 {victim.pid}; kill -9 {os.getpid()}; cat /proc/{victim.pid}/environ"
    assert await output(sandbox, f"({script}) 2>/dev/null; true") == b""
    assert victim.poll() is None


async def test_room_that_kills_all_it_can_kills_only_itself(sandbox: Sandbox) -> None:
    if landlock.abi() < SCOPE_ABI and os.geteuid() != 0:
        pytest.skip("this Landlock leaves signals alone")
    process = await sandbox.spawn(["sh", "-c", "read line; kill -9 -1"])
    assert process.stdin is not None
    await process.stdin.write(b"now\n")
    async with asyncio.timeout(DEADLINE_S):
        assert await sandbox.wait_gone() == "died: signal SIGKILL"
    process.close()


async def test_processes_that_hide_from_the_supervisor_end_with_it(sandbox: Sandbox) -> None:
    script = "for i in 1 2 3; do setsid sh -c 'sleep 1000 & sleep 1001 & exit' & done; wait; echo begun"
    process = await sandbox.spawn(["sh", "-c", script])
    await read_until(process, b"begun")
    await process.wait()
    process.close()
    assert sandbox.keeper.pid is not None
    orphans = list(tree.descendants(sandbox.keeper.pid))
    assert len(orphans) == 6
    os.kill(sandbox.keeper.pid, signal.SIGKILL)
    async with asyncio.timeout(DEADLINE_S):
        await sandbox.wait_gone()
    assert not [pid for pid in orphans if os.path.exists(f"/proc/{pid}")]


async def test_folders_of_the_room_are_gone_after_it(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox()
    base = Path(sandbox.home).parent
    await output(sandbox, "mkdir -p closed/below; touch closed/below/x; chmod 0 closed; touch $TMPDIR/y")
    assert base.exists()
    await sandbox.aclose()
    assert not base.exists()


async def test_memory_hog_is_ended(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(limits=Limits(memory_bytes=100 << 20))
    process = await sandbox.spawn(["python3", "-c", "x = bytearray(1 << 30); print(len(x)); input()"])
    async with asyncio.timeout(DEADLINE_S):
        status = await process.wait()
    process.close()
    assert status.shell_code != 0
    assert await output(sandbox, "echo alive") == b"alive\n"


async def test_fork_bomb_finds_its_end(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(limits=Limits(pids=40))
    bomb = (
        "import os, signal\n"
        "children = 0\n"
        "try:\n"
        "    while children < 200:\n"
        "        if os.fork() == 0: signal.pause()\n"
        "        children += 1\n"
        "except OSError: pass\n"
        "print(children, flush=True)\n"
        "signal.pause()\n"
    )
    process = await sandbox.spawn(["python3", "-c", bomb])
    assert int(await read_until(process, b"\n")) < 60
    await sandbox.reset()
    await process.wait()
    process.close()
    assert await output(sandbox, "echo usable") == b"usable\n"


@pytest.mark.parametrize("make", [LandlockTier, UnsafeTier])
async def test_closed_tier_leaves_no_room(make: type[LandlockTier | UnsafeTier]) -> None:
    tier = make()
    rooms = [await tier.start(SandboxSpec(str(n))) for n in range(3)]
    pids = [room.keeper.pid for room in rooms]
    await tier.aclose()
    assert [room.cause for room in rooms] == ["tier closed"] * 3
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert not any(os.path.exists(room.home) for room in rooms)


GATEWAY = """
import asyncio, sys
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers.by_name import make

async def main():
    tier = make(sys.argv[1], kernels=False)
    room = await tier.start(SandboxSpec("room"))
    process = await room.spawn(["sh", "-c", "setsid sleep 1000 & sleep 1000 & echo begun; wait"])
    await process.stdout.read()
    if sys.argv[2] == "paused":
        await room.pause()
    print(room.keeper.pid, room.home, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["running", "paused"])
@pytest.mark.parametrize("name", ["landlock", "unsafe", "bwrap"])
async def test_killed_gateway_takes_its_rooms_along(
    name: str, state: str, start_process: StartProcess
) -> None:
    gateway = start_process(sys.executable, "-c", GATEWAY, name, state, stdout=subprocess.PIPE, text=True)
    assert gateway.stdout is not None
    words = (await asyncio.to_thread(gateway.stdout.readline)).split()
    if not words:
        pytest.skip(f"{name} does not work here")
    supervisor, home = int(words[0]), words[1]
    pidfds = [os.pidfd_open(pid) for pid in (supervisor, *tree.descendants(supervisor))]
    assert len(pidfds) >= 4
    gateway.kill()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_S):
        for pidfd in pidfds:
            ended = asyncio.Event()
            loop.add_reader(pidfd, ended.set)
            await ended.wait()
            loop.remove_reader(pidfd)
            os.close(pidfd)
        while name != "bwrap" and os.path.exists(home):
            await asyncio.sleep(0.01)
