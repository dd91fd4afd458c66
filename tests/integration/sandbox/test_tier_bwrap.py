"""What is particular to rooms made by bubblewrap."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import Breach, ExitStatus, SandboxSpec
from embedenv_jupyter.sandbox.tiers.bwrap import BwrapTier
from tests.integration.sandbox.programs import OpenSandbox, output, read_all


@pytest.fixture
def tier_name() -> str:
    return "bwrap"


async def test_tree_is_read_only_but_for_the_rooms_own_folders(sandbox: Sandbox) -> None:
    script = "for f in %s; do touch $f/x 2>/dev/null && echo $f; done; true"
    assert await output(sandbox, script % "/ /etc /usr /var /run /dev /proc /home /opt") == b""
    own = "/tmp /dev/shm /var/tmp /home/user"
    assert (await output(sandbox, script % own)).decode().split() == own.split()


async def test_first_process_gives_nothing_away(sandbox: Sandbox) -> None:
    assert await output(sandbox, "cat /proc/1/environ 2>/dev/null; ls /proc/1/fd 2>/dev/null; true") == b""
    command = await output(sandbox, "tr '\\0' ' ' < /proc/1/cmdline")
    assert b"supervisor" in command
    assert b"--bind" not in command


async def test_user_is_an_ordinary_one_without_a_host(sandbox: Sandbox) -> None:
    assert await output(sandbox, "id -un; id -u; hostname") == b"user\n1000\nroom\n"
    status = await output(sandbox, "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status")
    none = b"0000000000000000"
    assert status.split()[1::2] == [none, none, b"1", b"2"]


async def test_room_of_root_has_a_user_of_its_own_on_the_host(open_sandbox: OpenSandbox) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives rooms users of their own")
    first, second = await open_sandbox(), await open_sandbox()
    uids = [Path(f"/proc/{room.keeper.pid}/status").read_text() for room in (first, second)]
    numbers = {line.split()[1] for text in uids for line in text.splitlines() if line.startswith("Uid:")}
    assert len(numbers) == 2
    assert all(int(number) >= 200_000 for number in numbers)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="embedenv-test-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


async def test_bound_workspace_is_the_rooms_and_outlives_it(open_sandbox: OpenSandbox, folder: Path) -> None:
    for expected in (b"", b"first\n"):
        sandbox = await open_sandbox(workspace=str(folder))
        assert await output(sandbox, "cat note 2>/dev/null; echo first > note") == expected
        await sandbox.aclose()
    assert (folder / "note").read_text() == "first\n"


async def test_memory_over_the_limit_ends_the_program_not_the_room(
    tier: BwrapTier, open_sandbox: OpenSandbox
) -> None:
    sandbox = await open_sandbox()
    process = await sandbox.spawn(["python3", "-c", "print('begin', flush=True); a = b'x' * (3 << 30)"])
    assert process.stderr is not None
    complaint = b""
    while data := await process.stderr.read():
        complaint += data
    assert await read_all(process) == b"begin\n"
    if "memory" in tier.limits.controllers:
        assert process.status == ExitStatus(signal=signal.SIGKILL)
        await sandbox.look_at_limits()
        assert sandbox.breaches == {Breach.OOM}
    else:
        assert process.status == ExitStatus(code=1)
        assert b"MemoryError" in complaint
    assert await output(sandbox, "echo alive") == b"alive\n"


async def test_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    tier = BwrapTier(use_cgroups=False)
    with pytest.raises(SandboxUnavailableError, match="bubblewrap is not installed"):
        await tier.start(SandboxSpec("x"))
    await tier.aclose()


async def test_refusal_has_bubblewraps_own_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = folder / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    tier = BwrapTier(use_cgroups=False)
    with pytest.raises(SandboxUnavailableError, match="setting up uid map: Permission denied"):
        await tier.start(SandboxSpec("x"))
    await tier.aclose()


async def test_closed_tier_leaves_no_room(open_sandbox: OpenSandbox) -> None:
    tier = BwrapTier()
    rooms = [await tier.start(SandboxSpec(str(n))) for n in range(3)]
    pids = [room.keeper.pid for room in rooms]
    await tier.aclose()
    assert [room.cause for room in rooms] == ["tier closed"] * 3
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
