from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.spec import MIB, Limits, SandboxSpec
from embedenv_jupyter.sandbox.tiers import container
from embedenv_jupyter.sandbox.tiers.container import ContainerTier
from embedenv_jupyter.sandbox.tiers.engine import _without_advice


async def arguments(engine: str = "docker", spec: SandboxSpec | None = None, **options: object) -> list[str]:
    tier = ContainerTier(engine, image="image", **options)  # type: ignore[arg-type]
    return tier.run_arguments(spec or SandboxSpec("x"), 200_000, "/tmp/call", "embedenv-1")


def following(words: list[str], option: str) -> list[str]:
    """Return what follows each occurrence of an option."""
    return [words[i + 1] for i, word in enumerate(words) if word == option]


@pytest.mark.parametrize("engine", ["docker", "podman"])
async def test_container_is_closed_as_far_as_its_options_go(engine: str) -> None:
    words = await arguments(engine)
    assert words[:2] == ["run", "--detach"]
    assert following(words, "--network") == ["none"]
    assert following(words, "--cap-drop") == ["ALL"]
    assert following(words, "--security-opt") == ["no-new-privileges"]
    assert following(words, "--user") == ["200000:200000"]
    assert following(words, "--pull") == ["never"]
    assert "--read-only" in words
    assert "--privileged" not in words
    assert all(",readonly" in mount for mount in following(words, "--mount"))


async def test_limits_are_the_specs() -> None:
    limits = Limits(
        memory_bytes=256 * MIB, pids=50, cpu_cores=0.5, open_files=99, workspace_bytes=MIB, tmp_bytes=2 * MIB
    )
    words = await arguments(spec=SandboxSpec("x", limits))
    assert following(words, "--memory") == following(words, "--memory-swap") == [str(256 * MIB)]
    assert following(words, "--pids-limit") == ["50"]
    assert following(words, "--cpus") == ["0.5"]
    assert "nofile=99:99" in following(words, "--ulimit")
    assert following(words, "--shm-size") == [str(2 * MIB)]
    tmp, home, runtime = following(words, "--tmpfs")
    assert f"size={2 * MIB}" in tmp
    assert home.startswith("/home/user:")
    assert f"size={MIB}" in home
    assert runtime.startswith("/run/room:")
    assert "size=" in runtime


async def test_absent_limits_are_not_asked_for() -> None:
    words = await arguments(spec=SandboxSpec("x", Limits(memory_bytes=None, pids=None, cpu_cores=None)))
    assert not {"--memory", "--memory-swap", "--pids-limit", "--cpus"} & set(words)


async def test_more_cores_than_there_are_become_all() -> None:
    words = await arguments(spec=SandboxSpec("x", Limits(cpu_cores=10_000.0)))
    assert following(words, "--cpus") == [str(float(os.cpu_count() or 1))]


async def test_folders_of_the_spec_are_bound(tmp_path: Path) -> None:
    workspace, tools = (tmp_path / name for name in ("workspace", "tools"))
    spec = SandboxSpec("x", workspace=str(workspace), read_only=(str(tools),))
    words = await arguments(spec=spec)
    mounts = following(words, "--mount")
    assert f"type=bind,source={workspace},target=/home/user" in mounts
    assert f"type=bind,source={tools},target={tools},readonly" in mounts
    assert not any(tmpfs.startswith("/home/user:") for tmpfs in following(words, "--tmpfs"))


async def test_folder_that_the_engine_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailableError, match="comma or quote"):
        await arguments(spec=SandboxSpec("x", workspace=f"{tmp_path}/a,readonly=false"))


async def test_image_and_command_come_last() -> None:
    words = await arguments(run_options=("--dns", "none"))
    at = words.index("image")
    assert words[at - 4 : at] == ["--dns", "none", "--entrypoint", "python3"]
    assert words[-1] == "/run/embedenv/supervisor"
    assert "/opt/embedenv" in words[at:]


async def test_folder_may_stand_in_for_an_image() -> None:
    words = await arguments("podman", rootfs_folder="/srv/root")
    assert following(words, "--rootfs") == ["/srv/root"]
    assert "image" not in words


async def test_host_python_is_bound_with_its_packages() -> None:
    words = await arguments(host_python=True)
    assert following(words, "--entrypoint") == [sys.executable]
    targets = [mount.split(",")[2] for mount in following(words, "--mount")]
    if not sys.prefix.startswith("/usr"):
        assert f"target={sys.prefix}" in targets


async def test_network_is_given_only_when_asked_for() -> None:
    assert "--network" not in await arguments(spec=SandboxSpec("x", network=True))


def test_mark_tells_a_living_gateway_from_a_dead_one() -> None:
    assert container.is_alive(container.gateway_mark())
    with subprocess.Popen(["true"]) as child:
        mark = f"{child.pid}.{container._started(child.pid)}"
    assert not container.is_alive(mark)
    for odd in ("", "x", "1", "1.", ".1", "99999999999.5", f"{os.getpid()}.1"):
        assert not container.is_alive(odd)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["docker: Error response from daemon: No such image: x", "", "Run 'docker run --help' for more"],
         "No such image: x"),
        (["Error: x: image not known"], "x: image not known"),
        (['time="2026" level=error msg="odd"', "Error: cannot re-exec process"], "cannot re-exec process"),
        (['denied: Get "http://%2Fvar%2Frun/v1.50/containers/json?all=1": dial unix: permission denied'],
         "denied: dial unix: permission denied"),
        (["exit 125"], "exit 125"),
    ],
)  # fmt: skip
def test_refusal_is_reduced_to_what_it_says(lines: list[str], reason: str) -> None:
    assert _without_advice(lines) == reason
