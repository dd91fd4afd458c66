from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bench() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "bench_sandbox.py"))


def test_each_goal_is_met_or_missed(bench: dict[str, Any]) -> None:
    medians = {
        "embedenv ns, ready": 10.0, "embedenv ns, true": 20.0, "bwrap, true": 5.0, "podman run, true": 200.0,
    }  # fmt: skip
    assert list(bench["verdicts"](medians)) == [
        "embedenv ns, ready: 20.0× faster than podman run, goal ≥ 15×: met",
        "embedenv ns, ready: 2.00× the time of bare bwrap, goal ≤ 3×: met",
        "embedenv ns, true: 10.0× faster than podman run, goal ≥ 15×: MISSED",
        "embedenv ns, true: 4.00× the time of bare bwrap, goal ≤ 3×: MISSED",
    ]


def test_rivals_that_are_absent_have_no_goal(bench: dict[str, Any]) -> None:
    assert list(bench["verdicts"](dict.fromkeys(bench["OURS"], 1.0))) == []
