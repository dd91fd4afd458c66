"""Tiers are probed by using them, and the best that works is taken."""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import host_facts, probe, probe_cache, probe_layers
from embedenv_jupyter.sandbox.choose import choose
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.probe import Report, TierReport
from embedenv_jupyter.sandbox.probe_layers import Attempt
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers.by_name import ORDER
from embedenv_jupyter.sandbox.tiers.container import ContainerTier


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "probe.json"


async def test_whole_probe_is_plausible() -> None:
    report = await probe.probe()
    assert [found.tier for found in report.tiers] == list(ORDER)
    assert set(report.layers) == set(probe_layers.ATTEMPTS)
    for found in report.tiers:
        assert found.ok == (found.reason == "")
        assert found.unprotected
        assert set(found.limits) == {
            "memory", "pids", "cpu", "disk", "/tmp", "file size", "open files", "wall time", "network",
        }  # fmt: skip
        assert not (found.ok and found.unlock)


async def test_tier_that_isolates_nothing_does_not_pass() -> None:
    found = await probe.try_tier("unsafe")
    assert not found.ok
    assert not found.works
    assert found.reason == "a room could read a file of the host"


@pytest.mark.parametrize("name", probe_layers.ATTEMPTS)
def test_layer_is_tried_without_harm(name: str) -> None:
    before = Path("/proc/self/status").read_text().splitlines()
    outcome = probe_layers.attempt(probe_layers.ATTEMPTS[name])
    assert outcome.ok or outcome.detail
    kept = [line for line in before if line.startswith(("Cap", "NoNewPrivs", "Seccomp"))]
    assert set(kept) <= set(Path("/proc/self/status").read_text().splitlines())


def test_attempt_that_hangs_is_ended() -> None:
    assert probe_layers.attempt(_wait_for_ever, deadline_s=0.2) == Attempt(
        False, "no outcome within 0.2 s", errno.ETIMEDOUT
    )


def _wait_for_ever() -> str:
    select.select([], [], [])
    return "never"


def _kill_itself() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def test_attempt_that_dies_is_an_outcome() -> None:
    outcome = probe_layers.attempt(_kill_itself)
    assert (outcome.ok, outcome.detail) == (False, "the attempt was ended by signal 9")


# Choosing.


def outcomes(monkeypatch: pytest.MonkeyPatch, **ok: bool) -> list[str]:
    """Let each tier's trial have a given outcome; return the list that trials are noted in."""
    tried: list[str] = []

    def report(name: str) -> TierReport:
        works = ok.get(name, False)
        return TierReport(
            name, works, works, "" if works else f"no {name} here", {}, (), (f"install {name}",)
        )

    async def try_tier(name: str, image: Image | None = None) -> TierReport:
        tried.append(name)
        return report(name)

    async def whole(names: Iterable[str] = ORDER, image: Image | None = None) -> Report:
        return Report(host_facts.look(), {}, tuple(report(name) for name in names))

    monkeypatch.setattr(probe, "try_tier", try_tier)
    monkeypatch.setattr(probe, "probe", whole)
    return tried


async def test_best_tier_that_works_is_taken_and_remembered(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    tried = outcomes(monkeypatch, bwrap=True, landlock=True)
    for _ in range(2):
        tier = await choose(cache=cache)
        assert tier.name == "bwrap"
        await tier.aclose()
    assert tried == ["ns", "bwrap"]


async def test_remembered_tier_that_fails_is_forgotten_and_the_best_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    outcomes(monkeypatch, docker=True, landlock=True)
    await (await choose(cache=cache)).aclose()
    monkeypatch.setattr(ContainerTier, "start", _refuse)
    tier = await choose(cache=cache)
    assert tier.name == "docker"
    tried = outcomes(monkeypatch, landlock=True)
    try:
        sandbox = await tier.start(SandboxSpec(id="r"))
        assert (tier.name, sandbox.tier_name) == ("landlock", "landlock")
    except SandboxUnavailableError as exc:
        pytest.skip(f"no tier that starts at once works here: {exc}")
    finally:
        await tier.aclose()
    assert tried == list(ORDER)
    assert not probe_cache.load(cache, host_facts.look())["docker"].ok


async def _refuse(tier: ContainerTier, spec: SandboxSpec) -> Sandbox:
    raise SandboxUnavailableError("the daemon was stopped")


async def test_finding_that_no_longer_holds_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    tried = outcomes(monkeypatch, landlock=True)
    await (await choose(cache=cache)).aclose()
    monkeypatch.setattr(host_facts, "__version__", "99")
    await (await choose(cache=cache)).aclose()
    assert tried == [*ORDER, *ORDER]


async def test_failure_is_never_remembered(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    outcomes(monkeypatch)
    with pytest.raises(SandboxUnavailableError):
        await choose(cache=cache)
    outcomes(monkeypatch, ns=True)
    tier = await choose(cache=cache)
    assert tier.name == "ns"
    await tier.aclose()


async def test_nothing_that_works_is_refused_with_all_reasons_and_remedies(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    outcomes(monkeypatch)
    with pytest.raises(SandboxUnavailableError) as caught:
        await choose(cache=cache)
    assert all(f"{name}: no {name} here." in caught.value.reason for name in ORDER)
    assert caught.value.remedies == tuple(f"install {name}" for name in ORDER)


async def test_no_isolation_is_taken_only_when_allowed_and_nothing_else_works(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    with pytest.raises(SandboxUnavailableError, match="isolates nothing and is not allowed"):
        await choose("unsafe")
    outcomes(monkeypatch)
    for name in ("unsafe", "auto"):
        tier = await choose(name, allow_unsafe=True, cache=cache)
        assert tier.name == "unsafe"
        await tier.aclose()
    outcomes(monkeypatch, landlock=True)
    tier = await choose(allow_unsafe=True, cache=cache)
    assert tier.name == "landlock"
    await tier.aclose()


async def test_tier_is_taken_by_name_or_its_refusal_told(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, landlock=True)
    tier = await choose("landlock")
    assert tier.name == "landlock"
    await tier.aclose()
    with pytest.raises(SandboxUnavailableError) as caught:
        await choose("bwrap")
    assert (caught.value.reason, caught.value.remedies) == ("bwrap: no bwrap here.", ("install bwrap",))


async def test_tier_of_no_such_name_is_refused() -> None:
    with pytest.raises(SandboxUnavailableError, match="no tier 'chroot', only auto, ns, bwrap"):
        await choose("chroot")


async def test_other_systems_are_told_that_rooms_need_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(SandboxUnavailableError, match="Rooms need Linux; this is Darwin"):
        await choose()


async def test_real_choice_is_kept_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDENV_DATA_DIR", str(tmp_path))
    try:
        tier = await choose()
    except SandboxUnavailableError as exc:
        pytest.skip(f"no tier works here: {exc}")
    await tier.aclose()
    assert probe_cache.load(tmp_path / "probe.json", host_facts.look())[tier.name].ok
