"""What is particular to rooms in containers; runs where docker or podman is installed and serves us."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers import container
from embedenv_jupyter.sandbox.tiers.container import ContainerTier
from embedenv_jupyter.sandbox.tiers.engine import Engine
from tests.conftest import StartProcess
from tests.integration.sandbox import engine_image
from tests.integration.sandbox.programs import DEADLINE_S, output

EngineOptions = Callable[[str], tuple[str, ...]]


@pytest.fixture(params=["docker", "podman"])
def tier_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def containers_of(engine: Engine, mark: str) -> list[str]:
    listed = await engine.run("ps", "--all", "--quiet", "--filter", f"label={container.LABEL}={mark}")
    return listed.split()


async def test_program_has_no_power_and_no_network(sandbox: Sandbox) -> None:
    status = await output(sandbox, "grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status")
    assert status.split()[1::2] == [b"0000000000000000", b"0000000000000000", b"1"]
    assert await output(sandbox, "ls /sys/class/net") == b"lo\n"
    assert (
        await output(
            sandbox, "for f in / /etc /usr /run /dev /opt; do touch $f/x 2>/dev/null && echo $f; done; true"
        )
        == b""
    )


async def test_engine_enforces_the_limits(sandbox: Sandbox) -> None:
    engine = Engine(sandbox.tier_name)
    found = await engine.run(
        "ps", "--quiet", "--filter", f"label={container.LABEL}={container.gateway_mark()}"
    )
    (name,) = found.split()
    limits = await engine.run(
        "inspect",
        "--format",
        "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.NetworkMode}}",
        name,
    )
    assert limits.split() == [str(sandbox.spec.limits.memory_bytes), str(sandbox.spec.limits.pids), "none"]
    usage = await sandbox.usage()
    assert usage.memory_bytes is None or 0 < usage.memory_bytes < (sandbox.spec.limits.memory_bytes or 0)


async def test_container_is_gone_with_its_room(sandbox: Sandbox) -> None:
    engine, mark = Engine(sandbox.tier_name), container.gateway_mark()
    assert len(await containers_of(engine, mark)) == 1
    await sandbox.aclose()
    assert await containers_of(engine, mark) == []


async def test_image_with_a_python_of_its_own_serves(tier_name: str, engine_options: EngineOptions) -> None:
    tier = ContainerTier(tier_name, image=engine_image.NAME, engine_options=engine_options(tier_name))
    sandbox = await tier.start(SandboxSpec("x"))
    assert await output(sandbox, "python3 -c 'print(6 * 7)'") == b"42\n"
    await tier.aclose()
    assert sandbox.cause == "tier closed"


async def test_missing_image_is_named(tier_name: str, engine_options: EngineOptions) -> None:
    tier = ContainerTier(
        tier_name, image="localhost/no-such-image:1", engine_options=engine_options(tier_name)
    )
    with pytest.raises(SandboxUnavailableError, match="no-such-image"):
        await tier.start(SandboxSpec("x"))
    await tier.aclose()


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
async def test_image_without_python_is_told(
    tier_name: str, engine_options: EngineOptions, python: str
) -> None:
    options = engine_options(tier_name)
    tier = ContainerTier(tier_name, image=engine_image.NAME, engine_options=options, python=python)
    with pytest.raises(SandboxUnavailableError, match=r"no such file|ended at once"):
        await tier.start(SandboxSpec("x"))
    await tier.aclose()
    assert await containers_of(Engine(tier_name), container.gateway_mark()) == []


GATEWAY = """
import asyncio, sys
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers import container

async def main():
    tier = container.ContainerTier(sys.argv[1], image=sys.argv[2], engine_options=tuple(sys.argv[3:]))
    room = await tier.start(SandboxSpec("room"))
    print(container.gateway_mark(), room.keeper.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_killed_gateway_takes_its_room_along_and_the_next_one_cleans_up(
    tier_name: str, engine_options: EngineOptions, start_process: StartProcess
) -> None:
    options = engine_options(tier_name)
    gateway = start_process(
        sys.executable,
        "-c",
        GATEWAY,
        tier_name,
        engine_image.NAME,
        *options,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert gateway.stdout is not None
    mark, pid = (await asyncio.to_thread(gateway.stdout.readline)).split()
    pidfd = os.pidfd_open(int(pid))
    gateway.kill()
    gateway.wait()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    async with asyncio.timeout(DEADLINE_S):
        await ended.wait()
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)
    tier = ContainerTier(tier_name, image=engine_image.NAME, engine_options=options)
    await tier.start(SandboxSpec("next"))
    assert await containers_of(Engine(tier_name), mark) == []
    assert not list(Path("/tmp").glob(f"embedenv-call-{mark}-*"))
    await tier.aclose()


# Without any engine.


async def test_absent_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for engine in ("docker", "podman"):
        tier = ContainerTier(engine)
        with pytest.raises(SandboxUnavailableError, match=f"{engine} is not installed"):
            await tier.start(SandboxSpec("x"))
        await tier.aclose()


def fake_engine(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program that stands in for docker onto the path."""
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


async def test_silent_daemon_is_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_engine(tmp_path, "exec sleep 1000", monkeypatch)
    with pytest.raises(SandboxUnavailableError, match=r"docker ps took more than 0\.1 s"):
        await Engine("docker").run("ps", timeout_s=0.1)


STRANGER = """
import glob, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
    stranger.connect(glob.glob(sys.argv[1])[0])
"""


async def test_only_the_containers_own_process_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "CONNECT_TIMEOUT_S", 0.5)
    called = f"/tmp/embedenv-call-{container.gateway_mark()}-*/supervisor"
    (tmp_path / "stranger.py").write_text(STRANGER)
    script = f"""case $1 in
run) {sys.executable} {tmp_path}/stranger.py '{called}';;
inspect) echo {os.getpid()};;
logs) echo the stranger was turned away;;
esac"""
    fake_engine(tmp_path, script, monkeypatch)
    tier = ContainerTier("docker")
    with pytest.raises(SandboxUnavailableError, match="the stranger was turned away"):
        await tier.start(SandboxSpec("x"))
    await tier.aclose()
    assert not list(Path("/tmp").glob(f"embedenv-call-{container.gateway_mark()}-*"))
