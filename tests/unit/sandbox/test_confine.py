from __future__ import annotations

import pytest

from embedenv_jupyter.sandbox import confine, landlock, oom, seccomp, syscalls
from embedenv_jupyter.sandbox.confine import Layer
from embedenv_jupyter.sandbox.spec import MIB, Limits, SandboxSpec

SPEC = SandboxSpec(id="room")


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what would be done to this process, in order."""
    done: list[str] = []

    def prepare() -> bool:
        done.append("score")
        return True

    monkeypatch.setattr(syscalls, "clear_capabilities", lambda: done.append("capabilities"))
    monkeypatch.setattr(syscalls, "set_no_new_privileges", lambda: done.append("no_new_privs"))
    monkeypatch.setattr(syscalls, "set_dumpable", lambda value: done.append(f"dumpable {value}"))
    monkeypatch.setattr(oom, "prepare", prepare)
    monkeypatch.setattr(landlock, "abi", lambda: 7)
    monkeypatch.setattr(landlock, "restrict", lambda rules: done.append("landlock"))
    monkeypatch.setattr(seccomp, "install", lambda program: done.append("seccomp"))
    monkeypatch.setattr("resource.setrlimit", lambda kind, pair: done.append("rlimit"))
    return done


def test_layers_are_applied_in_the_order_that_keeps_each_possible(applied: list[str]) -> None:
    held = confine.confine(SPEC, list(reversed(confine.EVERYWHERE)))
    assert held == [str(layer) for layer in confine.EVERYWHERE]
    assert [step for step in applied if step != "rlimit"] == [
        "dumpable True", "score", "capabilities", "no_new_privs", "dumpable False", "landlock", "seccomp",
    ]  # fmt: skip
    assert applied[2] == "rlimit"


@pytest.mark.parametrize("layer", [Layer.SECCOMP, Layer.LANDLOCK, Layer.NO_AFFINITY])
def test_what_needs_no_new_privileges_sets_them(applied: list[str], layer: Layer) -> None:
    assert Layer.NO_NEW_PRIVILEGES in confine.confine(SPEC, [layer])
    assert applied[0] == "no_new_privs"


def test_option_of_the_filter_brings_the_filter(applied: list[str]) -> None:
    assert Layer.SECCOMP in confine.confine(SPEC, [Layer.NO_SHARED_MEMORY])
    assert "seccomp" in applied


def test_kernel_without_landlock_is_no_error(applied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    assert Layer.LANDLOCK not in confine.confine(SPEC, confine.EVERYWHERE)
    assert "landlock" not in applied


def test_layer_that_does_not_exist_is_named(applied: list[str]) -> None:
    with pytest.raises(ValueError, match="armour"):
        confine.confine(SPEC, ["rlimits", "armour"])
    assert applied == []


def test_filter_is_compiled_once_for_the_same_options() -> None:
    first = confine.compiled_filter(confine.EVERYWHERE)
    assert confine.compiled_filter([*confine.EVERYWHERE, Layer.PROCESSES]) is first
    assert confine.compiled_filter([Layer.NO_SHARED_MEMORY]) != first
    assert confine.compiled_filter([Layer.RLIMITS]) == b""


def test_limits_only_go_down(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    seen: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr("resource.getrlimit", lambda kind: (10, 100))
    monkeypatch.setattr("resource.setrlimit", lambda kind, pair: seen.update({kind: pair}))
    limits = Limits(open_files=5000, file_bytes=None, pids=50, memory_bytes=MIB)
    confine.confine(SandboxSpec(id="r", limits=limits), [Layer.RLIMITS, Layer.PROCESSES, Layer.MEMORY])
    assert seen[resource.RLIMIT_NOFILE] == (100, 100)
    assert seen[resource.RLIMIT_NPROC] == (50, 50)
    assert seen[resource.RLIMIT_CORE] == (1, 1)
    assert seen[resource.RLIMIT_DATA] == (100, 100)
    assert resource.RLIMIT_FSIZE not in seen


def test_no_memory_limit_sets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.setrlimit", lambda kind, pair: pytest.fail("a limit was set"))
    confine.confine(SandboxSpec(id="r", limits=Limits(memory_bytes=None, pids=None)), ["memory", "processes"])
