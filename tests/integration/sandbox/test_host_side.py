"""The small parts of the host's side that no tier's test shows alone: commands, user ids, trees."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import tree, uids
from embedenv_jupyter.sandbox.commands import run_command
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers.exec_keeper import remove_tree
from tests.conftest import StartProcess
from tests.integration.sandbox.programs import DEADLINE_S

# Commands.


async def test_command_tells_how_it_ended_and_what_it_said() -> None:
    done = await run_command(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.code, done.output, done.complaint) == (3, "out", "err")
    assert (await run_command(["sh", "-c", "kill -9 $$"])).code == -9


async def test_command_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await run_command(["/no/such/program"])


async def test_output_of_a_command_is_bounded() -> None:
    done = await run_command(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"])
    assert len(done.output) == 1 << 20


async def test_slow_command_is_killed(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        await run_command(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 1000"], timeout_s=0.3)
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


async def test_cancelled_command_is_killed_whenever_that_happens() -> None:
    for turns in range(6):
        task = asyncio.create_task(run_command(["sleep", "1000"], timeout_s=None))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "sleep" not in _names(tree.children(os.getpid()))


def _names(pids: list[int]) -> list[str]:
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]


# User ids.


def test_leased_ids_differ_and_are_given_back(tmp_path: Path) -> None:
    folder = str(tmp_path / "leases")
    first, second = uids.lease(folder), uids.lease(folder)
    assert (first.uid, second.uid) == (uids.FIRST_UID, uids.FIRST_UID + 1)
    first.release()
    first.release()
    third = uids.lease(folder)
    assert third.uid == uids.FIRST_UID
    second.release()
    third.release()


def test_id_of_a_gateway_that_dies_is_free_again(tmp_path: Path, start_process: StartProcess) -> None:
    folder = str(tmp_path / "leases")
    program = (
        "import sys\nfrom embedenv_jupyter.sandbox import uids\n"
        "held = uids.lease(sys.argv[1])\nprint(held.uid, flush=True)\nsys.stdin.read()"
    )
    other = start_process(
        sys.executable, "-c", program, folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert int(other.stdout.readline()) == uids.FIRST_UID
    mine = uids.lease(folder)
    assert mine.uid == uids.FIRST_UID + 1
    mine.release()
    other.kill()
    other.wait()
    mine = uids.lease(folder)
    assert mine.uid == uids.FIRST_UID
    mine.release()


def test_no_id_left_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uids, "LAST_UID", uids.FIRST_UID)
    only = uids.lease(str(tmp_path))
    with pytest.raises(OSError, match="in use") as caught:
        uids.lease(str(tmp_path))
    assert caught.value.errno == errno.EAGAIN
    only.release()


@pytest.fixture
def workspace() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root gives folders away")
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


async def test_workspace_goes_from_room_to_room_with_what_the_former_one_owned(workspace: Path) -> None:
    (workspace / "folder").mkdir()
    (workspace / "folder" / "file").write_text("gateway's")
    (workspace / "link").symlink_to("/etc/passwd")
    spec = SandboxSpec("x", workspace=str(workspace))
    first = await uids.lease_for(spec)
    assert {_owner(path) for path in (workspace, *workspace.rglob("*"))} == {first.uid}
    with tempfile.NamedTemporaryFile() as roots:
        (workspace / "hard").hardlink_to(roots.name)
    second = await uids.lease_for(spec)
    assert _owner(workspace / "folder" / "file") == _owner(workspace) == second.uid
    assert _owner(workspace / "hard") == 0
    assert _owner(Path("/etc/passwd")) == 0
    first.release()
    second.release()


def _owner(path: Path) -> int:
    return path.lstat().st_uid


async def test_folder_of_somebody_else_is_not_given_away(workspace: Path) -> None:
    os.chown(workspace, 1234, 1234)
    with pytest.raises(SandboxUnavailableError, match="belongs to user 1234"):
        await uids.lease_for(SandboxSpec("x", workspace=str(workspace)))
    assert _owner(workspace) == 1234
    free = uids.lease()
    free.release()


# Trees.


async def test_tree_that_its_owner_has_closed_is_removed() -> None:
    base = Path(tempfile.mkdtemp())
    (base / "a" / "b").mkdir(parents=True)
    (base / "a" / "b" / "file").touch()
    (base / "a" / "link").symlink_to("/etc")
    for folder in (base / "a" / "b", base / "a"):
        folder.chmod(0)
    await remove_tree(str(base))
    assert not base.exists()
    assert Path("/etc").is_dir()


FORK_ON = """
import os
print('begun', flush=True)
while True:
    if os.fork() == 0:
        os._exit(0)
    os.wait()
"""


async def test_stopping_a_tree_catches_what_forks_meanwhile(start_process: StartProcess) -> None:
    root = start_process("sh", "-c", f'python3 -c "{FORK_ON}" & wait', stdout=subprocess.PIPE)
    assert root.stdout is not None
    assert root.stdout.readline() == b"begun\n"
    tree.signal_descendants(root.pid, 19)
    async with asyncio.timeout(DEADLINE_S):
        while not all(_state(pid) in "TZ" for pid in tree.descendants(root.pid)):
            await asyncio.sleep(0)
    tree.signal_descendants(root.pid, 9)
    root.wait(DEADLINE_S)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
