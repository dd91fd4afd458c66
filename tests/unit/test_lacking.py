"""What is missing on a machine skips tests, and fails them in CI."""

from __future__ import annotations

import pytest

from tests.lacking import is_strict, lacking


@pytest.mark.parametrize(
    ("environment", "strict"),
    [
        ({}, False),
        ({"CI": ""}, False),
        ({"CI": "false"}, False),
        ({"CI": "true"}, True),
        ({"EMBEDENV_STRICT": "1"}, True),
        ({"EMBEDENV_STRICT": "0"}, False),
    ],
)
def test_ci_is_strict(environment: dict[str, str], strict: bool) -> None:
    assert is_strict(environment) is strict


@pytest.mark.parametrize(("value", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_want_skips_or_fails(
    monkeypatch: pytest.MonkeyPatch, value: str, outcome: type[BaseException]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("EMBEDENV_STRICT", value)
    with pytest.raises(outcome, match="apt-get install gcc"):
        lacking("gcc", "gcc")
