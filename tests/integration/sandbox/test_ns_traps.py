"""The traps that were found when the tier was designed, each as a test (docs/security.md lists them).

Number 4 (sockets that a room replaces by links) is tested with the kernels, its
part about files here. Number 1 also concerns the tiers that exec a supervisor.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import embedenv_jupyter
from embedenv_jupyter.errors import SandboxRequestError, SandboxUnavailableError
from embedenv_jupyter.sandbox.spec import HOME, MIB, Breach, ExitStatus, Limits, SandboxSpec
from tests.integration.sandbox.ns_rooms import (
    IS_ROOT,
    WAYS,
    ns_room,
    ns_tier,
    python,
    read_all_of,
    shell,
    start_python,
)
from tests.integration.sandbox.programs import DEADLINE_S, read_until

SYSCALL = """
import ctypes, errno, json, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    return errno.errorcode.get(ctypes.get_errno(), "") if result < 0 else result
"""
X86 = os.uname().machine == "x86_64"


# 1. The environment and the command line of what became pid 1.


async def test_1_gateways_secrets_are_nowhere_in_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "s3cr3t-of-the-gateway")
    async with ns_room() as room:
        found = await python(
            room,
            """
import json, os
def text(path):
    try: return open(path, "rb").read().decode("latin-1")
    except OSError as exc: return f"errno {exc.errno}"
print(json.dumps([text("/proc/1/environ"), dict(os.environ), text("/proc/1/cmdline")]))
""",
        )
    environment_of_1, environment, command = found
    assert environment_of_1 == f"errno {errno.EACCES}"
    assert "GATEWAY_SECRET" not in environment
    assert "s3cr3t" not in command


async def test_1_room_does_not_see_what_another_rooms_spec_said() -> None:
    async with ns_tier() as tier:
        await tier.start(SandboxSpec(id="first", env={"TOKEN": "a-word-that-nobody-else-says"}))
        second = await tier.start(SandboxSpec(id="second"))
        assert tier.zygote is not None
        guard = tier.zygote.pid
        (zygote,) = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()
        if not IS_ROOT:
            pytest.skip("only root may read another process's memory, to prove this")
        assert "nobody-else" not in _memory_of(int(zygote))
        assert second.keeper.pid is not None
        assert "nobody-else" not in _memory_of(second.keeper.pid)


def _memory_of(pid: int) -> str:
    """Read all writable memory of a process as text."""
    parts: list[bytes] = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            addresses, flags = line.split()[:2]
            if flags.startswith("rw"):
                start, end = (int(word, 16) for word in addresses.split("-"))
                memory.seek(start)
                parts.append(memory.read(end - start))
    return b"".join(parts).decode("latin-1")


# 2. Root outside must not be root inside.


async def test_2_nobody_in_the_room_is_the_hosts_root() -> None:
    async with ns_room() as room:
        assert room.keeper.pid is not None
        status = Path(f"/proc/{room.keeper.pid}/status").read_text()
        values = {
            key: value.split() for key, _, value in (line.partition(":") for line in status.splitlines())
        }
        assert "0" not in values["Uid"] + values["Gid"]
        assert values["Groups"] in ([], [str(os.getegid())])
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(values[kind][0], 16) == 0, kind
        assert values["NoNewPrivs"] == ["1"]
        core_pattern = await shell(room, "echo pwned > /proc/sys/kernel/core_pattern")
        assert "Read-only file system" in core_pattern or "Permission denied" in core_pattern


ROOTLESS = """
import asyncio, os, sys
sys.path.insert(0, os.getcwd())
from tests.integration.sandbox.ns_rooms import ns_room, shell
async def main():
    async with ns_room() as room:
        print(os.geteuid(), await shell(room, "id -u; cat /proc/self/uid_map"))
asyncio.run(main())
"""


def test_2_root_of_a_user_namespace_has_rooms_as_an_ordinary_user_has() -> None:
    """As in a rootless container: the id 0 means nothing outside, and others do not exist."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare(1) is not installed")
    user: dict[str, Any] = {"user": 23456, "group": 23456, "extra_groups": ()} if IS_ROOT else {}
    done = subprocess.run(
        [unshare, "-U", "-r", sys.executable, "-c", ROOTLESS],
        capture_output=True, text=True, timeout=60, check=False, **user,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "1000", "1000", "1000", "1"]


# 3. A user id for each room, or one user namespace each: RLIMIT_NPROC must not be shared.


async def test_3_rooms_do_not_share_a_count_of_processes() -> None:
    limits = Limits(pids=30, memory_bytes=None)
    async with ns_tier() as tier:
        rooms = [await tier.start(SandboxSpec(id=f"room-{n}", limits=limits)) for n in range(4)]
        sleepers = [await room.spawn(["sleep", "60"]) for room in rooms for _ in range(20)]
        assert await shell(rooms[0], "echo there is room for one more") == "there is room for one more\n"
        for process in sleepers:
            process.close()
        if IS_ROOT:
            status = [Path(f"/proc/{room.keeper.pid}/status").read_text() for room in rooms]
            users = {int(text.split("Uid:")[1].split()[0]) for text in status}
            assert len(users) == 4
            assert min(users) >= 200_000


async def test_3_rooms_own_user_has_a_name_and_a_home() -> None:
    async with ns_room() as room:
        said = await shell(room, "id -un; id -gn; cd ~ && pwd; touch mine && stat -c %U mine; echo $HOME")
        assert said == f"user\nuser\n{HOME}\nuser\n{HOME}\n"


# 4. What the room replaces by a link must not lead the gateway.


async def test_4_file_that_became_a_link_does_not_lead_out() -> None:
    async with ns_room() as room:
        await shell(room, "ln -s /etc/passwd leak; ln -s /proc/self/root up; ln -s /proc/1/fd/0 magic")
        for path in ("leak", "up/etc/passwd", "magic", "../../etc/passwd", "/etc/passwd"):
            with pytest.raises(SandboxRequestError) as caught:
                os.close(await room.files.open(path))
            assert caught.value.errno in (errno.EXDEV, errno.ELOOP, errno.EACCES), path


# 5. The supervisor shares the room's user.


async def test_5_supervisor_survives_its_room() -> None:
    async with ns_room() as room:
        said = await shell(
            room, "kill -9 1; kill -STOP 1; kill -TERM 1; kill -INT 1; kill -HUP 1; kill -SEGV 1"
        )
        assert "not permitted" not in said
        assert await shell(room, "echo alive") == "alive\n"


async def test_5_supervisor_cannot_be_read_or_traced() -> None:
    async with ns_room() as room:
        tried = await python(
            room,
            SYSCALL
            + f"""
def attempt(path, mode="rb"):
    try: open(path, mode).read(1); return "read"
    except OSError as exc: return errno.errorcode[exc.errno]
names = ("mem", "maps", "environ", "auxv", "syscall", "stack")
found = {{name: attempt(f"/proc/1/{{name}}") for name in names}}
for name in ("fd", "root", "cwd", "ns/pid"):
    try: found[name] = str(os.listdir(f"/proc/1/{{name}}"))
    except OSError as exc: found[name] = errno.errorcode[exc.errno]
found["ptrace"] = call({101 if X86 else 117}, 16, 1, 0, 0)
found["vm_readv"] = call({310 if X86 else 270}, 1, 0, 0, 0, 0, 0)
found["pidfd_getfd"] = call(438, os.pidfd_open(1), 0, 0)
print(json.dumps(found))
""",
        )
    assert set(tried.values()) <= {"EACCES", "EPERM"}, tried


async def test_5_programs_inherit_three_descriptors_and_no_channel() -> None:
    async with ns_room() as room:
        for way in (room.spawn, room.spawn_pty):
            process = await way(
                [sys.executable, "-c", "import os; print(sorted(os.listdir('/proc/self/fd')))"]
            )
            assert process.stdout is not None
            seen = b""
            while data := await process.stdout.read():
                seen += data
            await process.wait()
            process.close()
            assert seen.strip() == b"['0', '1', '2', '3']"  # the last one lists the folder


async def test_5_forked_kernel_may_be_traced_again() -> None:
    """It is a program of the room: without this it could not read its own /proc."""
    async with ns_room(kernels=True) as room:
        process = await room.fork_kernel("k1", "secret")
        found = await python(
            room,
            f"""
import json, os
print(json.dumps([os.stat("/proc/{process.pid}/environ").st_uid == os.getuid(),
                  "HOME=" in open("/proc/{process.pid}/environ").read()]))
""",
        )
        assert found == [True, True]
        await process.signal(9)
        assert await process.wait() == ExitStatus(signal=9)
        process.close()


# 6. Memory that no rlimit counts.


async def test_6_memory_that_no_rlimit_counts_is_refused_where_no_cgroup_counts_it() -> None:
    memfd, shmget = (319, 29) if X86 else (279, 194)
    code = SYSCALL + f'print(json.dumps([call({memfd}, b"x", 0), call({shmget}, 0, 4096, 0o1600)]))'
    async with ns_room("no cgroups") as room:
        assert await python(room, code) == ["EPERM", "EPERM"]
    async with ns_room("cgroups") as room:
        assert [isinstance(answer, int) for answer in await python(room, code)] == [True, True]


@pytest.mark.parametrize("way", WAYS)
async def test_6_one_program_cannot_outgrow_the_room(way: str) -> None:
    async with ns_room(way, limits=Limits(memory_bytes=128 * MIB)) as room:
        process = await start_python(room, "blocks = []\nwhile True: blocks.append(bytearray(4 << 20))")
        said = await read_all_of(process)
        # Without a cgroup it may run into RLIMIT_DATA before the watchdog sees it.
        assert process.status == ExitStatus(signal=9) or (way == "no cgroups" and b"MemoryError" in said)
        assert await shell(room, "echo alive") == "alive\n"


@pytest.mark.parametrize("way", WAYS)
async def test_6_what_the_supervisor_shares_with_the_zygote_is_not_the_rooms(way: str) -> None:
    """A zygote that has imported and rehearsed what kernels need is itself larger than this room may be."""
    async with ns_room(way, kernels=True, limits=Limits(memory_bytes=64 * MIB)) as room:
        code = "held = bytearray(30 << 20); import time; time.sleep(0.7); print(len(held))"
        assert await python(room, code) == 30 << 20
        assert not room.breaches
        await room.look_at_limits()
        usage = await room.usage()
        assert usage.memory_bytes is not None
        assert usage.memory_bytes < 30 * MIB


@pytest.mark.parametrize("way", WAYS)
async def test_6_many_programs_cannot_outgrow_the_room_together(way: str) -> None:
    async with ns_room(way, limits=Limits(memory_bytes=200 * MIB)) as room:
        breached = asyncio.Queue[Breach]()
        room.subscribe(lambda breach, _: breached.put_nowait(breach))
        hold = "block = bytearray(60 << 20); import time; time.sleep(60)"
        programs = [await start_python(room, hold) for _ in range(6)]
        async with asyncio.timeout(DEADLINE_S):
            assert await breached.get() is Breach.OOM
            ended = [asyncio.create_task(process.wait()) for process in programs]
            await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result() for task in ended if task.done()} == {ExitStatus(signal=9)}
        assert await shell(room, "echo alive") == "alive\n"
        await room.reset()
        await asyncio.gather(*ended)
        for process in programs:
            process.close()


WITHOUT_ITS_FIRST_THREAD = f"""
import ctypes, threading, time
def hold():
    block = bytearray(60 << 20)
    time.sleep(60)
threading.Thread(target=hold).start()
ctypes.CDLL(None).syscall({60 if X86 else 93}, 0)  # exit(2) ends this thread alone
"""


@pytest.mark.parametrize("way", WAYS)
async def test_6_program_whose_first_thread_has_ended_is_counted(way: str) -> None:
    """The kernel says nothing of its memory where one asks for the process: each thread has to be asked."""
    async with ns_room(way, limits=Limits(memory_bytes=200 * MIB)) as room:
        breached = asyncio.Queue[Breach]()
        room.subscribe(lambda breach, _: breached.put_nowait(breach))
        programs = [await start_python(room, WITHOUT_ITS_FIRST_THREAD) for _ in range(4)]
        async with asyncio.timeout(DEADLINE_S):
            assert await breached.get() is Breach.OOM
        await room.reset()
        for process in programs:
            assert await process.wait() == ExitStatus(signal=9)
            process.close()


@pytest.mark.parametrize("way", WAYS)
async def test_6_program_that_starts_others_is_not_counted_twice(way: str) -> None:
    """Until the other one runs, both work in the same memory (vfork(2))."""
    async with ns_room(way, limits=Limits(memory_bytes=128 * MIB)) as room:
        code = """
import os
held = bytearray(80 << 20)
os.mkfifo("gate")
print("starts", flush=True)
waits = (os.POSIX_SPAWN_OPEN, 0, "gate", os.O_RDONLY, 0)
child = os.posix_spawn("/bin/true", ["true"], {}, file_actions=[waits])
os.waitpid(child, 0)
print(len(held))
"""
        process = await start_python(room, code)
        await read_until(process, b"starts")
        await shell(room, "until [ $(ps -A -o args= | grep -c '[p]osix_spawn') -eq 2 ]; do :; done")
        for _ in range(3):
            await room.look_at_limits()
        await shell(room, "echo > gate")
        assert int(await read_all_of(process)) == 80 << 20
        assert not room.breaches


# 7. Socket families that network namespaces do not scope.


async def test_7_only_known_families_of_sockets_exist() -> None:
    async with ns_room() as room:
        opened = await python(
            room,
            """
import errno, json, socket
def attempt(family, kind=socket.SOCK_STREAM, protocol=0):
    try: socket.socket(family, kind, protocol).close(); return "opened"
    except OSError as exc: return errno.errorcode[exc.errno]
print(json.dumps({
    "vsock": attempt(40), "alg": attempt(38, socket.SOCK_SEQPACKET), "can": attempt(29, socket.SOCK_RAW),
    "packet": attempt(17, socket.SOCK_RAW, 3), "tipc": attempt(30), "bluetooth": attempt(31),
    "audit": attempt(16, socket.SOCK_RAW, 9), "raw": attempt(2, socket.SOCK_RAW, 1),
    "sctp": attempt(2, 1, 132),
    "unix": attempt(1), "inet": attempt(2), "udp": attempt(2, 2), "route": attempt(16, socket.SOCK_RAW, 0),
}))
""",
        )
    assert {name for name, outcome in opened.items() if outcome == "opened"} == {
        "unix",
        "inet",
        "udp",
        "route",
    }


async def test_7_host_is_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        name = f"\0embedenv-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as abstract:
            abstract.bind(name)
            abstract.listen()
            async with ns_room() as room:
                found = await python(
                    room,
                    f"""
import errno, json, socket
def attempt(family, address):
    with socket.socket(family) as s:
        s.settimeout(5)
        try: s.connect(address); return "connected"
        except OSError as exc: return errno.errorcode.get(exc.errno, str(exc))
print(json.dumps([attempt(2, ("127.0.0.1", {port})), attempt(1, {name!r}), attempt(2, ("192.0.2.1", 80))]))
""",
                )
    assert "connected" not in found
    assert found[0] == "ECONNREFUSED"


# 8. Ways around a filter of namespaces.


async def test_8_no_way_into_a_new_namespace() -> None:
    clone, unshare = (56, 272) if X86 else (220, 97)
    async with ns_room() as room:
        found = await python(
            room,
            SYSCALL
            + f"""
import fcntl, termios
arguments = ctypes.create_string_buffer(88)
master, slave = os.openpty()
def push(command):
    return call({16 if X86 else 29}, slave, command, b"x")
print(json.dumps({{
    "clone3": call(435, arguments, 88), "unshare": call({unshare}, 0x10000000),
    "clone": call({clone}, 0x10000000 | 17, 0, 0, 0, 0), "setns": call({308 if X86 else 268}, 0, 0),
    "x32": call(0x40000000 | 39) if {X86} else "ENOSYS", "future": call(463),
    "tiocsti": push(0x5412), "tiocsti high": push(0x5412 | 1 << 32), "tioclinux": push(0x541C),
}}))
""",
        )
    refused = {"clone3": "ENOSYS", "x32": "ENOSYS", "future": "ENOSYS"}
    assert found == {name: refused.get(name, "EPERM") for name in found}


async def test_8_programs_that_use_clone3_run_all_the_same() -> None:
    async with ns_room() as room:
        code = "import json, threading; t = threading.Thread(target=print, args=('[]',)); t.start(); t.join()"
        assert await python(room, code) == []


# 9. Writing into /proc.


async def test_9_proc_is_not_written() -> None:
    async with ns_room() as room:
        for path in (
            "oom_score_adj",
            "oom_adj",
            "coredump_filter",
            "uid_map",
            "setgroups",
            "comm",
            "timerslack_ns",
        ):
            said = await shell(room, f"echo 1 > /proc/self/{path}")
            assert any(word in said for word in ("denied", "not permitted", "nonexistent", "Read-only")), said
        for path in (
            "sys/kernel/hostname",
            "sys/vm/drop_caches",
            "sysrq-trigger",
            "irq/default_smp_affinity",
        ):
            said = await shell(room, f"echo 1 > /proc/{path}")
            assert any(word in said for word in ("denied", "not permitted", "nonexistent", "Read-only")), said


# 10. A Python environment below /tmp or /home.

PACKAGE = Path(embedenv_jupyter.__file__).parent


@pytest.fixture
def environment_below_tmp() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="embedenv-venv-", dir="/tmp") as base:
        os.chmod(base, 0o755)
        folder = Path(base, "venv")
        (folder / "bin").mkdir(parents=True)
        script = folder / "bin" / "hello"
        script.write_text("#!/bin/sh\necho hello\n")
        script.chmod(0o755)
        yield folder


async def test_10_environment_below_tmp_is_there_and_read_only(environment_below_tmp: Path) -> None:
    folder = environment_below_tmp
    async with ns_room(read_only=(str(folder),)) as room:
        assert await shell(room, f"{folder}/bin/hello") == "hello\n"
        assert "Read-only file system" in await shell(room, f"touch {folder}/x")
        seen = set((await shell(room, "touch /tmp/mine && ls /tmp")).split())
        own = {part.parts[2] for part in (Path(sys.prefix), PACKAGE) if part.parts[1] == "tmp"}
        assert seen == {folder.parent.name, "mine"} | own


async def test_10_environment_behind_a_link_is_there_under_both_names(environment_below_tmp: Path) -> None:
    link = environment_below_tmp.parent / "current"
    link.symlink_to(environment_below_tmp)
    async with ns_room(read_only=(str(link),)) as room:
        assert await shell(room, f"{link}/bin/hello; {environment_below_tmp}/bin/hello") == "hello\nhello\n"


async def test_10_parents_are_for_everybody_and_show_nothing_else() -> None:
    parents = [path for path in Path(sys.prefix).parents if str(path) not in ("/", "/usr", "/tmp")]
    async with ns_room() as room:
        for parent in parents:
            mode, *names = (await shell(room, f"stat -c %a {parent}; ls -A {parent}")).split()
            assert stat.S_IMODE(int(mode, 8)) == 0o755
            assert len(names) <= 2, (parent, names)


async def test_10_gateways_interpreter_runs_in_the_room() -> None:
    async with ns_room() as room:
        code = "import json, sys, ipykernel, embedenv_jupyter.sandbox.kernel; print(json.dumps(sys.prefix))"
        assert await python(room, code) == sys.prefix


@pytest.mark.parametrize("folder", ["/home", "/tmp", "/"])
async def test_10_folder_that_would_hide_the_rooms_own_is_refused(folder: str) -> None:
    async with ns_tier() as tier:
        with pytest.raises(SandboxUnavailableError, match="would hide a folder of the room"):
            await tier.start(SandboxSpec(id="r", read_only=(folder,)))


BELOW_HOME = """
import asyncio, ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0
assert libc.mount(b"homes", b"/home", b"tmpfs", 0, None) == 0
os.makedirs("/home/user/env/lib/python"); os.makedirs("/home/workspace"); os.makedirs("/home/outside")
sys.path.insert(0, os.getcwd())
from embedenv_jupyter.errors import SandboxUnavailableError
from tests.integration.sandbox.ns_rooms import ns_room, shell
spec = dict(workspace="/home/workspace", read_only=("/home/user/env/lib",))
async def main():
    async with ns_room(**spec) as room:
        print(await shell(room, "ls env/lib; touch env/lib/x; rm -rf env; touch mine && ls"))
    for name in ("env/lib", "env"):
        if os.path.isdir(f"/home/workspace/{name}"): os.rmdir(f"/home/workspace/{name}")
    os.symlink("/home/outside", "/home/workspace/env")
    try:
        async with ns_room(**spec) as room: print("started")
    except SandboxUnavailableError as exc: print(exc)
    print(os.listdir("/home/outside"))
asyncio.run(main())
"""


def test_10_environment_below_the_rooms_own_home_is_there_and_no_link_leads_it_out() -> None:
    if not IS_ROOT:
        pytest.skip("only root can make up another /home, to prove this")
    done = subprocess.run(
        [sys.executable, "-c", BELOW_HOME], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "python" in done.stdout
    assert "Read-only file system" in done.stdout
    assert "mine" in done.stdout
    assert "Not a directory" in done.stdout
    assert done.stdout.endswith("[]\n")


# 11. Kernels listen on the loopback even with ipc sockets.


async def test_11_loopback_is_up_and_the_rooms_own() -> None:
    serve = """
import json, socket
address = ("127.0.0.1", 3000)
with socket.create_server(address) as server, socket.create_connection(address) as client:
    peer, _ = server.accept()
    with peer:
        client.sendall(b"x")
        print(json.dumps(peer.recv(1).decode()))
"""
    async with ns_tier() as tier:
        rooms = [await tier.start(SandboxSpec(id=name)) for name in "ab"]
        for room in rooms:  # both on the same port
            assert await python(room, serve) == "x"


# 12. A container that masks /proc does not let us mount our own.

MASKED = """
import asyncio, ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0
assert libc.mount(b"none", b"/proc/acpi", b"tmpfs", 1, None) == 0
assert libc.mount(b"/proc/sys", b"/proc/sys", None, 0x1000, None) == 0
assert libc.mount(b"/dev/null", b"/proc/kallsyms", None, 0x1000, None) == 0
os.setgroups([]); os.setgid(23456); os.setuid(23456)
libc.prctl(4, 1, 0, 0, 0)
sys.path.insert(0, os.getcwd())
from tests.integration.sandbox.ns_rooms import ns_room, shell
async def main():
    async with ns_room() as room:
        print(await shell(room, "ls /proc; id -un; head -c 9 /proc/meminfo"))
        process = await room.spawn_pty(["sh", "-c", "echo on a terminal"])
        print(await process.stdout.read())
        await process.wait()
        process.close()
asyncio.run(main())
"""


def test_12_room_starts_without_a_proc_of_its_own() -> None:
    if not IS_ROOT:
        pytest.skip("only root can mask /proc, to prove this")
    if ctypes.CDLL(None).unshare(0) != 0 or not os.path.isdir("/proc/acpi"):
        pytest.skip("this kernel has no /proc/acpi to mask")
    done = subprocess.run(
        [sys.executable, "-c", MASKED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    listed, _, rest = done.stdout.partition("user\n")
    assert "meminfo" in listed
    assert "sys" not in listed.split()
    assert "1" not in listed.split()
    assert "MemTotal:" in rest
    assert "on a terminal" in rest
