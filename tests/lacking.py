"""What a test needs of the machine: for want of it the test is skipped, and in CI it fails."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NoReturn

import pytest

_NO = ("", "0", "false", "no")


def is_strict(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether nothing may be missing: in CI, or where ``EMBEDENV_STRICT`` says so."""
    return any(environment.get(name, "").lower() not in _NO for name in ("CI", "EMBEDENV_STRICT"))


def lacking(what: str, package: str) -> NoReturn:
    """End a test for want of something that a package of Debian brings."""
    reason = f"{what} is not installed: apt-get install {package}"
    if is_strict():
        pytest.fail(f"{reason}; or unset CI and EMBEDENV_STRICT to skip this", pytrace=False)
    pytest.skip(reason)
