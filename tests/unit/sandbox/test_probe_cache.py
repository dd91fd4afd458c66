from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.sandbox import host_facts, probe, probe_cache
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.probe import TierReport

FACTS = replace(host_facts.look(), programs={})
NS = TierReport("ns", True, True, "", {"memory": "cgroup v2"}, ("kernel flaws",), ())
BWRAP = TierReport("bwrap", False, False, "not installed", {}, (), ("sudo apt-get install bubblewrap",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "probe.json"


def test_what_is_stored_is_loaded(path: Path) -> None:
    probe_cache.store(path, FACTS, [NS])
    probe_cache.store(path, FACTS, [BWRAP])
    assert probe_cache.load(path, FACTS) == {"ns": NS, "bwrap": BWRAP}
    assert [entry.name for entry in path.parent.iterdir()] == ["probe.json"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_later_finding_replaces_an_earlier_one(path: Path) -> None:
    probe_cache.store(path, FACTS, [NS])
    probe_cache.store(path, FACTS, [replace(NS, ok=False, works=False)])
    assert not probe_cache.load(path, FACTS)["ns"].ok


@pytest.mark.parametrize(
    "change",
    [
        {"boot_id": "another"}, {"uid": 12345}, {"userns_clone": 7}, {"groups": (4711,)}, {"seccomp": 7},
        {"no_new_privs": 7}, {"cgroups": ("0::/elsewhere",)}, {"namespaces": ("user:[7]",)},
    ],
)  # fmt: skip
def test_findings_of_another_boot_user_or_setting_do_not_hold(path: Path, change: dict[str, object]) -> None:
    probe_cache.store(path, FACTS, [NS])
    changed = replace(FACTS, **change)  # type: ignore[arg-type]
    assert probe_cache.load(path, changed) == {}
    probe_cache.store(path, changed, [BWRAP])
    assert set(probe_cache.load(path, changed)) == {"bwrap"}


MINE = Image.named("mine:1")


def test_findings_for_another_image_do_not_hold(path: Path) -> None:
    probe_cache.store(path, FACTS, [NS])
    assert probe_cache.load(path, FACTS, MINE) == {}
    probe_cache.store(path, FACTS, [NS], MINE)
    assert set(probe_cache.load(path, FACTS, MINE)) == {"ns"}


def test_forgotten_is_forgotten(path: Path) -> None:
    probe_cache.store(path, FACTS, [NS])
    probe_cache.forget(path)
    probe_cache.forget(path)
    assert probe_cache.load(path, FACTS) == {}


def test_weakness_is_looked_at_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe_cache.store(path, FACTS, [replace(NS, tier="landlock"), BWRAP])
    monkeypatch.setattr(probe, "weakness", lambda name: "a socket leads out")
    found = probe_cache.load(path, FACTS)
    assert (found["landlock"].ok, found["landlock"].reason) == (False, "a socket leads out")
    assert found["landlock"].works
    assert found["bwrap"] == BWRAP, "what does not work has its own reason"
    monkeypatch.setattr(probe, "weakness", lambda name: "")
    assert probe_cache.load(path, FACTS)["landlock"].ok


def test_file_that_others_can_write_is_not_believed(path: Path) -> None:
    probe_cache.store(path, FACTS, [NS])
    path.chmod(0o666)
    assert probe_cache.load(path, FACTS) == {}


def test_neither_a_link_nor_a_pipe_is_followed(path: Path, tmp_path: Path) -> None:
    probe_cache.store(path, FACTS, [NS])
    link = tmp_path / "link.json"
    link.symlink_to(path)
    assert probe_cache.load(link, FACTS) == {}
    os.mkfifo(tmp_path / "pipe.json", 0o600)
    assert probe_cache.load(tmp_path / "pipe.json", FACTS) == {}


def test_place_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    probe_cache.store(tmp_path / "file" / "probe.json", FACTS, [NS])
    assert probe_cache.load(tmp_path / "file" / "probe.json", FACTS) == {}


@given(
    st.recursive(st.none() | st.booleans() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))
)
def test_odd_content_is_no_finding(tmp_path_factory: pytest.TempPathFactory, odd: object) -> None:
    path = tmp_path_factory.mktemp("odd") / "probe.json"
    for content in (
        odd,
        {"fingerprint": {**host_facts.fingerprint(FACTS), "image": None}, "tiers": {"ns": odd}},
    ):
        path.write_text(json.dumps(content))
        path.chmod(0o600)
        assert probe_cache.load(path, FACTS) == {}


def test_default_place_follows_the_data(tmp_path: Path) -> None:
    assert probe_cache.default_path({"EMBEDENV_DATA_DIR": str(tmp_path)}) == tmp_path / "probe.json"


def test_default_place_lasts_for_a_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (
        probe_cache.default_path({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "embedenv" / "probe.json"
    )
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert probe_cache.default_path({}) == Path("/run/embedenv/probe.json")
