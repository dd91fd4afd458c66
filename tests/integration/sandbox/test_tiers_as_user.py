"""The tests of every tier that needs no engine once more, as an ordinary user."""

from __future__ import annotations

import pytest

from tests.integration.sandbox.as_user import HERE, run_as_user

TIMEOUT_S = 300


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("name", ["ns", "bwrap", "landlock"])
def test_interface_holds_for_an_ordinary_user(name: str) -> None:
    files = [str(path) for path in sorted(HERE.glob("test_supervisor*.py"))]
    run_as_user(*files, "-k", f"[{name}", timeout_s=TIMEOUT_S)


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("name", ["bwrap", "landlock"])
def test_tier_keeps_its_promises_for_an_ordinary_user(name: str) -> None:
    run_as_user(str(HERE / f"test_tier_{name}.py"), timeout_s=TIMEOUT_S)


@pytest.mark.timeout(TIMEOUT_S)
def test_probe_works_for_an_ordinary_user() -> None:
    run_as_user(str(HERE / "test_probe.py"), timeout_s=TIMEOUT_S)


@pytest.mark.timeout(TIMEOUT_S)
def test_rooms_of_an_ordinary_user_stand_on_trees() -> None:
    run_as_user(str(HERE / "test_on_tree.py"), timeout_s=TIMEOUT_S)
