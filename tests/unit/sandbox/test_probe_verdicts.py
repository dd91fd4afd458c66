from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from embedenv_jupyter.sandbox import host_facts, landlock, probe
from embedenv_jupyter.sandbox.probe import Report, TierReport


class FakeLimits:
    """Cgroups that hold what they are told to."""

    controllers: frozenset[str] = frozenset()
    version: int | None = None

    def close(self) -> None:
        return


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the machine have these cgroups, this Landlock and this user."""

    def be(controllers: str = "", version: int | None = None, abi: int = 7, uid: int = 1000) -> None:
        limits = FakeLimits()
        limits.controllers, limits.version = frozenset(controllers.split()), version
        monkeypatch.setattr(probe, "HostLimits", lambda: limits)
        monkeypatch.setattr(landlock, "abi", lambda: abi)
        monkeypatch.setattr(os, "geteuid", lambda: uid)
        monkeypatch.setattr(os, "access", lambda path, mode: False)

    return be


def test_cgroups_are_named_by_version(host: Callable[..., None]) -> None:
    host("memory pids cpu freezer", 2)
    limits = dict(probe._limits("ns"))
    assert limits["memory"] == limits["pids"] == limits["cpu"] == "cgroup v2"
    assert limits["network"] == "network namespace"


def test_controller_that_is_missing_is_made_up_for(host: Callable[..., None]) -> None:
    host("memory pids", 2)
    limits = dict(probe._limits("bwrap"))
    assert (limits["memory"], limits["cpu"]) == ("cgroup v2", "pinned cores")


@pytest.mark.parametrize(
    ("tier", "uid", "holder"),
    [
        ("ns", 1000, "rlimit in the room's user namespace"),
        ("ns", 0, "rlimit of the room's own user"),
        ("landlock", 1000, "rlimit of the gateway's user"),
        ("landlock", 0, "rlimit of the room's own user"),
        ("unsafe", 0, "none"),
    ],
)
def test_processes_without_a_cgroup(host: Callable[..., None], tier: str, uid: int, holder: str) -> None:
    host(uid=uid)
    assert dict(probe._limits(tier))["pids"] == holder


def test_engines_hold_their_own_limits(host: Callable[..., None]) -> None:
    host()
    for engine in ("docker", "podman"):
        assert dict(probe._limits(engine))["memory"] == engine


@pytest.mark.parametrize(
    ("tier", "disk", "tmp", "file_size"),
    [
        ("ns", "size of a tmpfs", "size of a tmpfs", "rlimit"),
        ("podman", "size of a tmpfs", "size of a tmpfs", "rlimit"),
        ("landlock", "none: measured now and then, and reported", "none: a folder of the host", "rlimit"),
        ("unsafe", "none: measured now and then, and reported", "none: a folder of the host", "none"),
    ],
)
def test_files_are_held_by_what_is_said(
    host: Callable[..., None], tier: str, disk: str, tmp: str, file_size: str
) -> None:
    host()
    limits = dict(probe._limits(tier))
    assert (limits["disk"], limits["/tmp"], limits["file size"]) == (disk, tmp, file_size)
    assert limits["open files"] == file_size
    assert limits["wall time"] == "the gateway ends the room"


def test_landlock_must_keep_rooms_off_the_network(host: Callable[..., None]) -> None:
    host(abi=3)
    assert "ABI 3" in probe.weakness("landlock")
    assert dict(probe._limits("landlock"))["network"] == "seccomp: no UDP, TCP is open"
    host(abi=4)
    assert probe.weakness("landlock") == ""
    assert probe.weakness("ns") == ""


def test_landlock_is_not_taken_where_a_socket_leads_out(
    host: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    host()
    bus = "/run/user/1000/bus"
    monkeypatch.setattr(os, "access", lambda path, mode: path == bus)
    assert list(probe.powerful_sockets()) == [bus]
    assert "rooms could reach /run/user/1000/bus" in probe.weakness("landlock")
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # each room then has a user of its own, who may not
    assert probe.weakness("landlock") == ""


def test_best_is_the_first_that_is_good_enough() -> None:
    facts = host_facts.look()
    weak = TierReport("bwrap", ok=False, works=True, reason="weak")
    good = TierReport("landlock", ok=True, works=True)
    assert Report(facts, {}, (weak, good)).best == "landlock"
    assert Report(facts, {}, (weak,)).best is None
