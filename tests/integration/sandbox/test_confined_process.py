"""The layers of confinement, each on a real process that a test forks for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from embedenv_jupyter.sandbox import landlock
from embedenv_jupyter.sandbox.confine import EVERYWHERE, Layer

HEAD = """
import ctypes, errno, json, os, resource, socket, sys
sys.path.insert(0, os.getcwd())
from embedenv_jupyter.sandbox import confine, landlock, seccomp, syscalls
from embedenv_jupyter.sandbox.spec import Limits, SandboxSpec
def outcome(action, *arguments):
    try: return action(*arguments) and "done" or "done"
    except OSError as exc: return errno.errorcode[exc.errno]
"""


def confined(code: str) -> Any:
    """Run code in a fresh process that will confine itself; return what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_filter_holds_in_the_kernel() -> None:
    found = confined(
        """
syscalls.set_no_new_privileges()
seccomp.install(seccomp.build())
print(json.dumps({
    "userns": outcome(syscalls.unshare, syscalls.CLONE_NEWUSER),
    "mount": outcome(syscalls.mount, "none", "/mnt", "tmpfs"),
    "open_tree": outcome(syscalls.open_tree, "/", 1),
    "pivot": outcome(syscalls.pivot_root, "/", "/"),
    "hostname": outcome(socket.sethostname, "x"),
    "vsock": outcome(socket.socket, 40, socket.SOCK_STREAM),
    "unix": outcome(socket.socketpair),
    "fork": outcome(lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)),
}))
"""
    )
    assert found == {
        "userns": "EPERM", "mount": "EPERM", "open_tree": "EPERM", "pivot": "EPERM", "hostname": "EPERM",
        "vsock": "EAFNOSUPPORT", "unix": "done", "fork": "done",
    }  # fmt: skip


def test_filter_cannot_be_installed_before_no_new_privileges() -> None:
    if os.geteuid() == 0:
        pytest.skip("root may install filters without it")
    assert confined("print(json.dumps(outcome(seccomp.install, seccomp.build())))") == "EACCES"


def test_i386_call_table_kills() -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("only x86_64 has a second call table")
    code = """
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # mov eax, getpid; int 0x80; ret
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
if sys.argv[1:] == ["confined"]:
    syscalls.set_no_new_privileges()
    seccomp.install(seccomp.build())
call()
"""
    free, held = (
        subprocess.run(
            [sys.executable, "-c", HEAD + code, *how], capture_output=True, timeout=60, check=False
        )
        for how in ([], ["confined"])
    )
    if free.returncode != 0:
        pytest.skip("this kernel has no i386 calls at all")
    assert held.returncode == -31  # SIGSYS


def test_all_layers_hold_and_say_so() -> None:
    found = confined(
        f"""
spec = SandboxSpec(id="r", limits=Limits(open_files=64, file_bytes=1 << 20))
held = confine.confine(spec, {[str(layer) for layer in EVERYWHERE]})
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({{
    "held": held, "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16),
    "seccomp": status["Seccomp"].strip(), "nnp": status["NoNewPrivs"].strip(),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "etc": outcome(open, "/etc/embedenv-test", "w"), "tmp": outcome(open, "/tmp/embedenv-test", "w"),
    "null": outcome(open, "/dev/null", "w"), "proc": outcome(open, "/proc/self/oom_score_adj", "w"),
    "dumpable": syscalls.prctl(3),
}}))
os.unlink("/tmp/embedenv-test")
"""
    )
    expected = [str(layer) for layer in EVERYWHERE if landlock.abi() or layer is not Layer.LANDLOCK]
    assert found["held"] == expected
    assert (found["capabilities"], found["seccomp"], found["nnp"]) == (0, "2", "1")
    assert (found["files"], found["core"], found["dumpable"]) == ([64, 64], [1, 1], 0)
    assert (found["tmp"], found["null"]) == ("done", "done")
    if landlock.abi():
        assert (found["etc"], found["proc"]) == ("EACCES", "EACCES")


def test_address_space_is_limited_where_no_cgroup_limits_memory() -> None:
    found = confined(
        """
confine.confine(SandboxSpec(id="r", limits=Limits(memory_bytes=64 << 20)), ["memory"])
import mmap
def private():
    try: return len(bytearray(200 << 20))
    except MemoryError: return "refused"
def shared():
    try: return len(mmap.mmap(-1, 400 << 20))
    except OSError as exc: return errno.errorcode[exc.errno]
print(json.dumps([private(), shared()]))
"""
    )
    assert found == ["refused", "ENOMEM"]


@pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")
def test_landlock_allows_what_it_was_told_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "read").mkdir()
    (tmp_path / "read" / "file").write_text("x")
    (tmp_path / "write").mkdir()
    found = confined(
        f"""
base = {str(tmp_path)!r}
syscalls.set_no_new_privileges()
rules = landlock.Rules(read=("/usr", "/proc", "/etc", "/lib", "/lib64", base + "/read", "/nonexistent"),
                       write=(base + "/write", "/dev/null"), connect_tcp=())
version = landlock.restrict(rules)
with socket.socket() as client:
    tcp = outcome(client.connect, ("127.0.0.1", 1))
print(json.dumps({{
    "version": version, "tcp": tcp,
    "read": outcome(open, base + "/read/file"), "write read": outcome(open, base + "/read/file", "a"),
    "write": outcome(open, base + "/write/file", "w"), "list": outcome(os.listdir, base),
    "move": outcome(os.rename, base + "/write/file", base + "/read/moved"),
    "null": outcome(open, "/dev/null", "w"), "kill": outcome(os.kill, os.getppid(), 0),
}}))
"""
    )
    version = found.pop("version")
    assert found.pop("tcp") == ("EACCES" if version >= 4 else "ECONNREFUSED")
    assert found.pop("kill") == ("EPERM" if version >= 6 else "done")
    assert found.pop("move") in ("EACCES", "EXDEV")
    assert found == {
        "read": "done", "write read": "EACCES", "write": "done", "list": "EACCES", "null": "done",
    }  # fmt: skip


def test_calls_that_fail_name_themselves() -> None:
    found = confined(
        """
def text(action, *arguments):
    try: action(*arguments)
    except (OSError, ValueError) as exc: return str(exc)
print(json.dumps([
    text(syscalls.mount, "none", "/nonexistent", "tmpfs"), text(syscalls.setns, 0, 0),
    text(syscalls.openat2, -100, "/nonexistent", 0), text(syscalls.openat2, -100, "a\\0b", 0),
    text(syscalls.open_tree, "/nonexistent", 0),
]))
"""
    )
    assert "mount tmpfs on /nonexistent: " in found[0]
    assert "setns 0x0: Invalid argument" in found[1]
    assert found[2] == "[Errno 2] openat2 /nonexistent: No such file or directory"
    assert found[3] == "embedded null byte"
    assert "open_tree /nonexistent: No such file or directory" in found[4]
