from __future__ import annotations

from pathlib import Path

from embedenv_jupyter.sandbox.spec import MIB, Limits, SandboxSpec
from embedenv_jupyter.sandbox.tiers.bwrap import BwrapTier, own_configuration

OWN = {"/etc/passwd": 11, "/etc/group": 12}


async def arguments(spec: SandboxSpec) -> list[str]:
    tier = BwrapTier(use_cgroups=False)
    try:
        return tier.arguments(spec, OWN)
    finally:
        await tier.aclose()


def triples(words: list[str], option: str) -> list[tuple[str, str]]:
    return [(words[i + 1], words[i + 2]) for i, word in enumerate(words) if word == option]


async def test_every_namespace_is_left() -> None:
    words = await arguments(SandboxSpec("x"))
    for kind in ("user", "ipc", "pid", "uts", "net", "cgroup-try"):
        assert f"--unshare-{kind}" in words
    assert "--unshare-net" not in await arguments(SandboxSpec("x", network=True))


async def test_supervisor_is_pid_1_and_dies_with_the_gateway() -> None:
    words = await arguments(SandboxSpec("x"))
    assert {"--as-pid-1", "--die-with-parent", "--clearenv"} <= set(words)
    assert words[words.index("--cap-drop") + 1] == "ALL"


async def test_only_the_rooms_own_folders_are_writable(tmp_path: Path) -> None:
    spec = SandboxSpec("x", workspace=str(tmp_path), read_only=("/opt",))
    words = await arguments(spec)
    assert triples(words, "--bind") == [(str(tmp_path), "/home/user")]
    assert ("/opt", "/opt") in triples(words, "--ro-bind")
    assert words[-4:] == ["--remount-ro", "/dev", "--remount-ro", "/"]


async def test_what_is_writable_has_a_size() -> None:
    words = await arguments(SandboxSpec("x", Limits(workspace_bytes=3 * MIB, tmp_bytes=2 * MIB)))
    sized = {words[i + 1]: words[i - 1] for i, word in enumerate(words) if word == "--tmpfs"}
    assert sized == {
        "/home/user": str(3 * MIB), "/tmp": str(2 * MIB), "/dev/shm": str(2 * MIB), "/run/room": str(MIB)
    }  # fmt: skip


async def test_read_only_folders_come_over_everything_else() -> None:
    words = await arguments(SandboxSpec("x", read_only=("/tmp/env",)))
    assert words.index("/tmp/env") > len(words) - 1 - words[::-1].index("--tmpfs")


def test_own_configuration_names_the_rooms_user_and_host() -> None:
    own = own_configuration(SandboxSpec("x", hostname="lab"), 1000)
    assert "user:x:1000:1000:user:/home/user:/bin/bash" in own["/etc/passwd"]
    assert "127.0.0.1 localhost lab" in own["/etc/hosts"]
    assert own["/etc/hostname"] == "lab\n"
